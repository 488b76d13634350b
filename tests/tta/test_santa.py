"""SANTA: the distillation and a whole step worked out in numpy with central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.augment import Augmentation, augmented
from dhauds_jax.tta.methods.santa import anchored
from dhauds_jax.types import RunInfo, SourceData
from tests.tta import affine, by_hand, spread, tiny
from tests.tta.affine import CLASSES, normalised

KEY = jax.random.key(7)
START = by_hand.both(affine.VARIABLES["params"])
SOURCE = SourceData(jnp.asarray(affine.wave(9, 12)), jnp.asarray(np.arange(12) % CLASSES, jnp.int32))
X, WEIGHTS = affine.wave(1), np.array([1, 1, 1, 1, 1, 1, 1, 0.0])
OPTIONS = {"lr": 0.05, "optimiser": "sgd", "momentum": 0.0, "projection": 4, "noise": 0.0, "shift": 0.0}
OPTIONS |= {"gain_db": 6.0, "temperature": 0.5, "self_training": 0.8, "contrast": 0.6}


def logits(x, numbers):
    """Of the classifier with the statistics of these rows."""
    return normalised(np.asarray(x, np.float64)) * numbers[:CLASSES] + numbers[CLASSES:]


def distilled(z, anchor):
    """mariodoebler/test-time-adaptation, utils/losses.py: the student's softmax against the anchor's log-softmax."""
    return -(np.exp(by_hand.log_softmax(z)) * by_hand.log_softmax(anchor)).sum(1)


def terms_of(prototypes, key):
    """A step's losses as a function of scales, shifts and projector, all in one array."""
    copies = augmented(key, jnp.asarray(X, jnp.float64), jnp.arange(8, dtype=jnp.int32), Augmentation(0.0, 6.0, 0.0))[
        :7
    ]
    anchor = logits(X[:7], START)

    def terms(numbers):
        plain, changed = (logits(view, numbers[:6]) for view in (X[:7], copies))
        projector = by_hand.projector_of(numbers[6:], CLASSES, 4)
        found = {
            "self_training": (distilled(plain, anchor) + distilled(changed, anchor)).mean() / 2,
            "contrast": by_hand.alignment(projector, prototypes, plain, changed, 0.5),
        }
        return found | {"total": 0.8 * found["self_training"] + 0.6 * found["contrast"]}

    return terms


def test_the_distillation_by_hand():
    p, a = np.array([[0.7, 0.2, 0.1]]), np.array([[0.5, 0.25, 0.25]])
    wanted = -(0.7 * np.log(0.5) + 0.3 * np.log(0.25))
    np.testing.assert_allclose(anchored(jnp.log(p), jnp.log(a)), [wanted], rtol=1e-6)
    # Its slope by z is p (H - h), h_c = -log a_c: it pulls towards the anchor's likeliest class.
    slope = jax.grad(lambda z: anchored(z, jnp.log(a)).sum())(jnp.log(jnp.asarray(p)))
    np.testing.assert_allclose(slope, p * (-np.log(a) - wanted), rtol=1e-4, atol=1e-6)
    z, w = (np.random.default_rng(s).normal(0, 3, (64, 6)) for s in (1, 2))
    with jax.enable_x64(True):
        np.testing.assert_allclose(anchored(jnp.asarray(z), jnp.asarray(w)), distilled(z, w), rtol=1e-13)


@pytest.fixture
def in_double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("in_double")
def test_santa_takes_two_steps_by_hand():
    """Two, so that student and anchor differ in the second."""
    method, state = by_hand.make("santa", affine.INFO._replace(source=SOURCE), **OPTIONS)
    assert (method.passes, method.needs) == ((3, 2), ("source_data",))
    numbers = np.concatenate([START, by_hand.numbers_of(state.memory.projector)])
    for key in (KEY, jax.random.key(8)):
        terms = terms_of(np.asarray(state.memory.prototypes.vectors, np.float64), key)
        state, prediction = method.step(state, by_hand.batch(X, WEIGHTS), key)
        assert sorted(prediction.losses) == ["contrast", "self_training", "total"]
        for name, value in terms(numbers).items():
            assert float(prediction.losses[name]) == pytest.approx(value, rel=1e-8), (
                name
            )  # of numbers after a central difference
        np.testing.assert_allclose(prediction.logits[:7], logits(X[:7], numbers[:6]), rtol=1e-7, atol=1e-9)
        numbers = numbers - 0.05 * by_hand.slopes(lambda n, terms=terms: terms(n)["total"], numbers)
        np.testing.assert_allclose(np.concatenate(affine.parameters(state)), numbers[:6], atol=1e-8)
        np.testing.assert_allclose(by_hand.numbers_of(state.memory.projector), numbers[6:], atol=1e-8)
    np.testing.assert_array_equal(by_hand.both(state.memory.anchor), START)
    assert np.abs(numbers[:6] - START).max() > 1e-3


def test_with_the_heads_columns_no_source_clips_are_needed():
    method, state = affine.make("santa", prototypes="head")
    assert method.needs == ()
    np.testing.assert_array_equal(state.memory.prototypes.vectors, np.eye(CLASSES))
    said = "method santa needs source clips for its prototypes: give some, or set prototypes=head"
    with pytest.raises(BadInput, match=said):
        affine.make("santa")


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("santa", RunInfo(1, 7, tiny.CLASSES), prototypes="head", lr=0.01, optimiser="sgd")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prototypes": "mine"}, "unknown prototypes of method santa 'mine': expected source or head"),
        ({"evaluate": "mine"}, "unknown evaluate of method santa 'mine': expected running or batch"),
        ({"temperature": 0.0}, r"santa: temperature is 0\.0 and projection 128, expected above 0 and at least 1"),
        ({"noise": -1.0}, r"santa: noise is -1\.0, expected a number from 0 on"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(BadInput, match=message):
        affine.make("santa", **given)
