"""A user's own method that returns what protocols cannot use: one sentence that names the method, what and how."""

import re
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import borders, methods, protocols
from dhauds_jax.tta.methods.source import source
from dhauds_jax.types import Batch, Method, Prediction, RunInfo
from tests.tta import tiny

CLIPS, CLASSES = 6, tiny.CLASSES


def wrong(part, change):
    """A factory whose method is `source`, but for what one of its functions returns."""

    def factory(classifier, *, axis_name=None) -> Method:
        method = source(classifier)
        return method._replace(**{part: lambda *given: change(getattr(method, part)(*given))})

    return factory


WRONG = {
    "labels": ("step", lambda f: (f[0], f[1]._replace(logits=f[1].logits.argmax(-1)))),
    "one_less": ("step", lambda f: (f[0], f[1]._replace(logits=f[1].logits[:, :-1]))),
    "no_prediction": ("step", lambda f: f[0]),
    "a_dict": ("step", lambda f: (f[0], {"logits": f[1].logits})),
    "rows_of_loss": ("step", lambda f: (f[0], Prediction(f[1].logits, {"total": f[1].logits[:, 0]}))),
    "no_names": ("step", lambda f: (f[0], Prediction(f[1].logits, f[1].logits.mean()))),
    "another_state": ("step", lambda f: (f[0]._replace(memory=jnp.zeros(())), f[1])),
    "predict_labels": ("predict", lambda logits: logits.argmax(-1)),
    "no_state": ("init", lambda state: state.variables),
    "right": ("step", lambda f: (f[0], Prediction(f[1].logits, {"total": 0.0}))),
}
SAID = {
    "labels": r"its step returned an array of shape \(6,\) as logits, expected shape \(6, 4\): \(batch, classes\)",
    "one_less": r"its step returned an array of shape \(6, 3\) as logits, expected shape \(6, 4\): \(batch, classes\)",
    "no_prediction": r"its step returned an AdaptState, expected \(AdaptState, types.Prediction\)",
    "a_dict": r"its step returned \(an AdaptState, a dict\), expected \(AdaptState, types.Prediction\)",
    "rows_of_loss": r"its step's loss 'total' is an array of shape \(6,\), expected an array of shape \(\), such as .*",
    "no_names": r"its step's losses are an array of shape \(\), expected a dict of scalars by name",
    "another_state": (
        "its step must keep the structure, shapes and types of its state, but state.memory was not there and is "
        r"float32\[\]"
    ),
    "predict_labels": r"its predict returned an array of shape \(6,\) as logits, expected .*: \(batch, classes\)",
    "no_state": r"its init returned a dict, expected a types.AdaptState",
}


@pytest.fixture(scope="module")
def mine():
    module = types.ModuleType("a_users_methods")
    for name, made in WRONG.items():
        setattr(module, name, wrong(*made))
    sys.modules[module.__name__] = module
    yield module.__name__
    del sys.modules[module.__name__]


def run(mine, name):
    """The logits of an offline epoch's evaluations."""
    classifier = tiny.NETS["batch_norm"]()
    method = methods.make(f"{mine}:{name}", classifier, {})
    waves = tiny.waves()[:CLIPS]
    state = method.init(tiny.variables_of(classifier, tiny.LENGTH), RunInfo(1, CLIPS, CLASSES))
    given = {"epochs": 1, "batch_size": CLIPS, "key": jax.random.key(0)}
    return [epoch.logits for epoch in protocols.offline(protocols.compiled(method), state, waves, **given)]


@pytest.mark.parametrize("name", SAID)
def test_what_a_protocol_cannot_use_is_said_in_one_sentence(mine, name):
    with pytest.raises(BadInput) as raised:
        run(mine, name)
    assert re.fullmatch(rf"method {mine}:{name}: {SAID[name]}", str(raised.value))


def test_what_it_can_use_is_what_ours_gives(mine):
    ours = methods.make("source", tiny.NETS["batch_norm"](), {})
    assert methods.make(f"{mine}:right", tiny.NETS["batch_norm"](), {}).passes == ours.passes
    before, after = run(mine, "right")
    assert before.shape == (CLIPS, CLASSES)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("logits", [None, 3.0, [[0.1, 0.9]], {"logits": 1}, np.zeros((2, 5)), np.zeros((2, 4, 1))])
def test_anything_but_logits_is_a_fault(logits):
    batch = Batch(np.zeros((2, 8)), np.ones(2), np.arange(2))
    assert borders.fault_of_predict(batch, logits, 4).endswith("as logits, expected shape (2, 4): (batch, classes)")
    assert borders.fault_of_predict(batch, np.zeros((2, 4)), 4) is borders.fault_of_predict(
        batch, np.zeros((2, 9)), None
    )
