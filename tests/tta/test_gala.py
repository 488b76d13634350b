"""GALA as TTA-in-AC runs it: Adam on the first batch of a pass, gated plain steps after it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta.methods.gala import gated_step
from tests.tta import affine
from tests.tta.affine import BIAS, SCALE, affine_slope, entropy_slope, normalised, parameters, softmax

KEY = jax.random.key(0)


def test_a_layer_moves_when_its_own_next_value_points_its_way():
    moving = {
        "a": {"batch_norm": {"scale": jnp.asarray([3.0]), "bias": jnp.asarray([4.0])}},
        "b": {"batch_norm": {"scale": jnp.asarray([3.0]), "bias": jnp.asarray([4.0])}},
        "zero": {"batch_norm": {"scale": jnp.asarray([0.0]), "bias": jnp.asarray([0.0])}},
    }
    slope = lambda s, b: {"batch_norm": {"scale": jnp.asarray([s]), "bias": jnp.asarray([b])}}  # noqa: E731
    # a: (3, 4) -> (4, 3), cosine 24/25; b: (3, 4) -> (4, -3), cosine 0
    grads = {"a": slope(-10.0, 10.0), "b": slope(-10.0, 70.0), "zero": slope(1.0, 1.0)}
    moved, share = gated_step(moving, grads, 0.1, 0.95)
    np.testing.assert_allclose([moved["a"]["batch_norm"][k][0] for k in ("scale", "bias")], [4.0, 3.0], rtol=1e-6)
    assert jax.tree.all(jax.tree.map(np.array_equal, moved["b"], moving["b"]))
    assert jax.tree.all(jax.tree.map(np.array_equal, moved["zero"], moving["zero"]))
    assert float(share) == pytest.approx(1 / 3)
    assert float(gated_step(moving, grads, 0.1, 0.97)[1]) == 0.0


def test_stacked_layers_are_gated_one_by_one():
    moving = {"layer_norm": {"scale": jnp.asarray([[3.0], [3.0]]), "bias": jnp.asarray([[4.0], [4.0]])}}
    grads = {"layer_norm": {"scale": jnp.asarray([[-10.0], [-10.0]]), "bias": jnp.asarray([[10.0], [70.0]])}}
    moved, share = gated_step(moving, grads, 0.1, 0.95)
    np.testing.assert_allclose(moved["layer_norm"]["scale"], [[4.0], [3.0]], rtol=1e-6)
    np.testing.assert_allclose(moved["layer_norm"]["bias"], [[3.0], [4.0]], rtol=1e-6)
    assert float(share) == 0.5


def slope(theta, x):
    p = softmax(normalised(x) * theta[0] + theta[1])
    return affine_slope(entropy_slope(p) / len(x), normalised(x))


def test_gala_takes_three_steps_by_hand():
    """Passes of two steps: Adam, plain, Adam with the moments of the first Adam step alone."""
    lr, b1, b2, waves = 0.01, 0.9, 0.99, [affine.wave(seed) for seed in (1, 2, 4)]
    method, state = affine.make("gala", lr=lr)
    theta = np.array([SCALE, BIAS])
    g1 = np.array(slope(theta, waves[0]))
    theta = theta - lr * g1 / (np.abs(g1) + 1e-8)
    state, _ = method.step(state, affine.batch(waves[0]), KEY)
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)

    theta = theta - lr * np.array(slope(theta, waves[1]))
    state, prediction = method.step(state, affine.batch(waves[1]), KEY)
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)
    assert float(prediction.losses["layers"]) == 1.0

    g3 = np.array(slope(theta, waves[2]))
    first = (b1 * (1 - b1) * g1 + (1 - b1) * g3) / (1 - b1**2)
    second = (b2 * (1 - b2) * g1**2 + (1 - b2) * g3**2) / (1 - b2**2)
    theta = theta - lr * first / (np.sqrt(second) + 1e-8)
    state, _ = method.step(state, affine.batch(waves[2]), KEY)
    np.testing.assert_allclose(parameters(state), theta, rtol=1e-5)


def test_gala_takes_norm_layers_alone():
    with pytest.raises(ValueError, match="unknown group of method gala 'all': expected batch_norm or norm"):
        affine.make("gala", group="all")
