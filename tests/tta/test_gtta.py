"""GTTA: sure clips, partners and both updates of a step worked out in numpy with central differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.methods.gtta import partners, sure_rows
from dhauds_jax.types import RunInfo, SourceData
from tests.tta import affine, by_hand, spread, tiny
from tests.tta.affine import BIAS, CLASSES, SCALE, normalised, softmax

KEY = jax.random.key(7)
START = np.concatenate([SCALE, BIAS])
SOURCE = SourceData(jnp.asarray(affine.wave(9, 12)), jnp.asarray(np.arange(12) % CLASSES, jnp.int32))
INFO = affine.INFO._replace(source=SOURCE)
WEIGHTS = np.array([1, 1, 1, 1, 1, 1, 1, 0.0])


def logits(x, numbers):
    return normalised(np.asarray(x, np.float64)) * numbers[:CLASSES] + numbers[CLASSES:]


def test_sure_rows_by_hand():
    p = np.array([[0.96, 0.02, 0.02], [0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.99, 0.005, 0.005]])
    found, average = sure_rows(jnp.log(p), jnp.asarray([1, 1, 1, 0.0]), jnp.float32(0.9))
    wanted = 0.9 * 0.9 + 0.1 * (0.96 + 0.9 + 0.4) / 3  # 0.8853, its root 0.9409
    assert float(average) == pytest.approx(wanted, rel=1e-6)
    assert list(found) == [1, 0, 0, 0]


def test_partners_are_the_real_clips_of_the_same_mind():
    source = jnp.asarray([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]])
    test = jnp.asarray([[0, 2.0, 0], [3.0, 0, 0], [0, 0, 9.0], [0, 1.0, 3.0]])
    assert list(partners(source, test, jnp.asarray([1, 1, 0, 1.0]))) == [1, 0, 3]


@pytest.fixture
def in_double():
    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("in_double")
def test_gtta_takes_three_steps_by_hand():
    """SGD with momentum goes through both updates of each step; the third batch has no clip that is sure."""
    lr, momentum, mixup = 0.05, 0.5, 0.25
    method, state = by_hand.make("gtta", INFO, lr=lr, optimiser="sgd", momentum=momentum, mixup=mixup, replay_clips=5)
    assert (method.passes, method.needs) == ((4, 2), ("source_data",))
    buffer, average, kept = np.zeros(6), 0.9, []
    for seed, begin in ((1, 3 * START), (2, None), (3, np.full(6, 0.01))):  # sharp first, in the end flat
        x, key = affine.wave(seed)[:7].astype(float), jax.random.key(seed)
        if begin is not None:
            numbers = begin
            given = {"scale": jnp.asarray(begin[:3]), "bias": jnp.asarray(begin[3:])}
            state = state._replace(variables={**state.variables, "params": {"encoder": {"batch_norm": given}}})
        first = logits(x, numbers)
        p, said = softmax(first), first.argmax(1)
        average = 0.9 * average + 0.1 * p.max(1).mean()
        sure = p.max(1) >= np.sqrt(average)
        rows = np.asarray(jax.random.permutation(key, 12)[:5])
        clips, labels = np.asarray(SOURCE.waves, np.float64)[rows], np.asarray(SOURCE.labels)[rows]
        partner = (softmax(logits(clips, numbers)) @ p.T).argmax(1)
        mixtures = mixup * x[partner] + (1 - mixup) * clips

        def on_source(n, mixtures=mixtures, labels=labels):
            return -by_hand.log_softmax(logits(mixtures, n))[np.arange(5), labels].mean()

        def on_test(n, x=x, sure=sure, said=said):
            return -by_hand.log_softmax(logits(x, n))[np.arange(7), said][sure].mean()

        losses = {"source": on_source(numbers), "kept": sure.mean()}
        buffer = momentum * buffer + by_hand.slopes(on_source, numbers)
        numbers = numbers - lr * buffer
        between = logits(x, numbers)
        if sure.any():
            losses["test"] = on_test(numbers)
            buffer = momentum * buffer + by_hand.slopes(on_test, numbers)
            numbers = numbers - lr * buffer
        padded = np.concatenate([x, np.full((1, 3), 5.0)])
        state, prediction = method.step(state, by_hand.batch(padded, WEIGHTS), key)
        for name, value in losses.items():
            assert float(prediction.losses[name]) == pytest.approx(value, rel=1e-7), name
        total = losses["source"] + losses.get("test", 0.0)
        assert float(prediction.losses["total"]) == pytest.approx(total, rel=1e-7)
        np.testing.assert_allclose(prediction.logits[:7], between, rtol=1e-7, atol=1e-8)
        np.testing.assert_allclose(np.concatenate(affine.parameters(state)), numbers, atol=1e-8)
        assert float(state.memory.confidence) == pytest.approx(average, rel=1e-8)
        kept.append(int(sure.sum()))
    assert int(state.step) == 3
    assert 0 < kept[0] < 7 and kept[2] == 0


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    source = SourceData(jnp.asarray(tiny.waves()[8:]), jnp.arange(14, dtype=jnp.int32) % tiny.CLASSES)
    spread.check("gtta", RunInfo(1, 7, tiny.CLASSES, source, 8), group="norm", replay_clips=4, lr=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluate": "mine"}, "unknown evaluate of method gtta 'mine': expected running or batch"),
        ({"mixup": 1.5}, r"gtta: mixup is 1\.5, expected a share from 0"),
        ({"replay_clips": 0}, "gtta: replay_clips is 0, expected at least 1"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(BadInput, match=message):
        affine.make("gtta", INFO, **given)


def test_without_source_clips_it_says_so():
    with pytest.raises(BadInput, match="method gtta needs labelled source clips, and this run has none: give some"):
        affine.make("gtta")
