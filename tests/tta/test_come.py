"""COME: the opinion's entropy and its gradient by hand, and a step of each base by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.batchwise import FEW_CLASSES
from dhauds_jax.tta.methods.come import opinion, opinion_entropy_rows
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, normalised, parameters, softmax

KEY = jax.random.key(0)
LR, SEED = 0.5, 1
START = np.concatenate([SCALE, BIAS])
LN = np.log(CLASSES)


def doubtful_entropy(z, length=None):
    """Entropy of beliefs and doubt, evidence written out; with `length`, of the logits brought to it."""
    z = z if length is None else z * (length / np.linalg.norm(z, axis=1))[:, None]
    evidence = np.exp(z)
    total = evidence.sum(1, keepdims=True) + z.shape[1]
    masses = np.concatenate([evidence, np.full((len(z), 1), z.shape[1])], 1) / total + 1e-7
    return -(masses * np.log(masses)).sum(1)


def test_an_opinion_by_hand():
    """Evidence 4 and 2 of two classes: S = 8, beliefs 1/2 and 1/4, doubt 1/4, and the entropy 1.5 ln 2."""
    z = jnp.log(jnp.asarray([[4.0, 2.0]]))
    np.testing.assert_allclose(opinion(z), [[0.5, 0.25, 0.25]], rtol=1e-6)
    np.testing.assert_allclose(opinion_entropy_rows(z), [1.5 * np.log(2)], rtol=1e-5)
    # Where no class has evidence all is doubt, and the entropy is as low as that of a sure clip.
    nothing, sure = opinion_entropy_rows(jnp.asarray([[-40.0, -40.0], [40.0, -40.0]]))
    assert float(nothing) == pytest.approx(float(sure), abs=1e-5)
    assert float(nothing) < 1e-5


def test_the_gradient_turns_the_logits_and_does_not_lengthen_them():
    z = np.random.default_rng(3).normal(size=(5, 4)) * 2
    found = np.asarray(jax.grad(lambda x: opinion_entropy_rows(x).sum())(jnp.asarray(z, jnp.float32)))
    length, step, wanted = np.linalg.norm(z, axis=1), 1e-6, np.zeros_like(z)
    for k in range(4):
        e = step * np.eye(4)[k]
        wanted[:, k] = (doubtful_entropy(z + e, length) - doubtful_entropy(z - e, length)) / (2 * step)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose((found * z).sum(1), 0.0, atol=1e-5)
    assert np.array_equal(jax.grad(lambda x: opinion_entropy_rows(x).sum())(jnp.zeros((1, 3))), np.zeros((1, 3)))


def logits(numbers, x):
    return normalised(x) * numbers[:CLASSES] + numbers[CLASSES:]


def value(numbers, x, length, rows=None, factor=None):
    """Mean of the chosen rows' entropies, lengths of logits and factors held."""
    found = doubtful_entropy(logits(numbers, x), length) * (1.0 if factor is None else factor)
    return found.mean() if rows is None else found[rows].mean()


def slope(numbers, x, rows=None, factor=None):
    """Central differences in float64."""
    length, steps = np.linalg.norm(logits(numbers, x), axis=1), 1e-6 * np.eye(len(numbers))
    args = (x, length, rows, factor)
    return np.array([(value(numbers + e, *args) - value(numbers - e, *args)) / 2e-6 for e in steps])


def moved(state):
    return np.concatenate(parameters(state))


def test_tents_two_steps_with_momentum():
    x1, x2 = affine.wave(1), affine.wave(2)
    method, state = affine.make("come", lr=LR)
    state, first = method.step(state, affine.batch(x1), KEY)
    g1 = slope(START, x1)
    np.testing.assert_allclose(moved(state), START - LR * g1, rtol=1e-4, atol=1e-5)
    assert float(first.losses["total"]) == pytest.approx(doubtful_entropy(logits(START, x1)).mean(), rel=1e-5)
    theta = START - LR * g1
    state, _ = method.step(state, affine.batch(x2), KEY)
    np.testing.assert_allclose(moved(state), theta - LR * (0.9 * g1 + slope(theta, x2)), rtol=1e-4, atol=1e-5)
    assert np.abs(moved(state) - START).max() > 0.01


def test_eata_chooses_and_weighs_by_the_opinion_and_compares_by_the_softmax():
    x = affine.wave(1)
    method, state = affine.make("come", base="eata", lr=LR, margin=1.0, fisher=0.0)
    state, prediction = method.step(state, affine.batch(x), KEY)
    entropy = doubtful_entropy(logits(START, x))
    rows = entropy < LN
    assert 1 < rows.sum() < 8
    factor = np.exp(LN - entropy)
    np.testing.assert_allclose(moved(state), START - LR * slope(START, x, rows, factor), rtol=1e-4, atol=1e-5)
    assert float(prediction.losses["total"]) == pytest.approx((factor * entropy)[rows].mean(), rel=1e-5)
    np.testing.assert_allclose(state.memory.average, softmax(logits(START, x))[rows].mean(0), rtol=1e-5)


def test_few_classes_are_the_base_s():
    """A second batch like the first is redundant to 0.4 as given, and not to 0.4 sqrt(10 / C)."""
    made = {
        few: affine.make("come", base="eata", lr=LR, margin=1.0, fisher=0.0, few_classes=few) for few in FEW_CLASSES
    }
    kept = {}
    for few, (method, state) in made.items():
        for seed in (1, 2):
            state, prediction = method.step(state, affine.batch(affine.wave(seed)), KEY)
        kept[few] = float(prediction.losses["kept"])
    assert kept["scaled"] > kept["as_given"] == 0.0  # the cosine of two sure classes is above 0.4


@pytest.mark.slow
def test_sar_climbs_and_descends_by_the_opinion():
    x = affine.wave(SEED)
    method, state = affine.make("come", base="sar", lr=LR, rho=0.4, margin=1.0, recover=0.0)
    state, prediction = method.step(state, affine.batch(x), KEY)
    rows = doubtful_entropy(logits(START, x)) < LN
    climb = slope(START, x, rows)
    top = START + 0.4 * climb / np.linalg.norm(climb)
    rows &= doubtful_entropy(logits(top, x)) < LN
    np.testing.assert_allclose(moved(state), START - LR * slope(top, x, rows), rtol=1e-4, atol=1e-5)
    assert float(prediction.losses["total"]) == pytest.approx(doubtful_entropy(logits(top, x))[rows].mean(), rel=1e-4)


def test_an_unknown_base_gets_one_sentence():
    with pytest.raises(ValueError, match="unknown base of method come 'roid': expected tent, eata or sar"):
        methods.make("come", affine.classifier(), {"base": "roid"})
