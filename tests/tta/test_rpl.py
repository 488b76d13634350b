"""RPL: the generalised cross-entropy, its slope and a whole step worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta.methods.rpl import generalised_cross_entropy
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, normalised, parameters, softmax

KEY = jax.random.key(0)
P = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])


def test_the_loss_by_hand():
    found = generalised_cross_entropy(jnp.log(P), 0.8)
    np.testing.assert_allclose(found, [(1 - 0.7**0.8) / 0.8, (1 - 0.5**0.8) / 0.8], rtol=2e-6)
    np.testing.assert_allclose(found, [0.310302, 0.532064], rtol=2e-6)
    np.testing.assert_allclose(generalised_cross_entropy(jnp.log(P), 1.0), [0.3, 0.5], rtol=2e-6)
    np.testing.assert_allclose(generalised_cross_entropy(jnp.log(P), 0.0), -np.log([0.7, 0.5]), rtol=2e-6)


def test_it_agrees_with_the_formula_of_a_public_library_in_float64():
    """mariodoebler/test-time-adaptation, utils/losses.py: (1 - softmax[label] ** q) / q, retyped."""
    z = np.random.default_rng(2).normal(0, 3, (64, 6))
    p = softmax(z)
    wanted = (1.0 - p[np.arange(64), p.argmax(1)] ** 0.8) / 0.8
    with jax.enable_x64(True):
        found = np.asarray(generalised_cross_entropy(jnp.asarray(z), 0.8))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, atol=1e-14)


def test_the_slope_is_that_of_the_cross_entropy_times_a_power():
    z, q = jnp.log(jnp.asarray(P)), 0.8
    found = jax.jit(jax.grad(lambda z: generalised_cross_entropy(z, q).sum()))(z)
    hit = P.max(1, keepdims=True)
    wanted = hit**q * (P - (hit == P))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("q", [0.8, 1.0])
def test_rpl_takes_a_step_by_hand(q):
    x, lr = affine.wave(1), 0.05
    weights = np.array([1, 1, 1, 1, 1, 1, 1, 0.0])
    method, state = affine.make("rpl", lr=lr, optimiser="sgd", q=q)
    assert method.passes == (1, 1)
    state, prediction = method.step(state, affine.batch(x, weights), KEY)
    real = normalised(x, weights > 0)[:7]
    p = softmax(real * SCALE + BIAS)
    hit = p.max(1)
    assert float(prediction.losses["total"]) == pytest.approx(((1 - hit**q) / q).mean(), rel=1e-5)
    dz = (hit**q)[:, None] * (p - np.eye(CLASSES)[p.argmax(1)]) / 7
    slope = affine_slope(dz, real)
    np.testing.assert_allclose(parameters(state), [SCALE - lr * slope[0], BIAS - lr * slope[1]], rtol=1e-5)
    np.testing.assert_allclose(prediction.logits[:7], real * SCALE + BIAS, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(affine.running(state)[0], 0.9 * 0.2 + 0.1 * x[:7].mean(0), rtol=1e-5)


def test_rpl_refuses_a_q_above_one():
    with pytest.raises(ValueError, match=r"rpl: q is 1\.5, expected a number from 0"):
        affine.make("rpl", q=1.5)
