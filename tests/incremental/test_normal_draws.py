"""Normals that are JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental.normal_draws import normal


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize(("seed", "shape"), [(0, (5,)), (7, (33, 21)), (2**31 - 1, (768, 5))])
def test_they_are_those_of_jax(seed, shape, double):
    key = jax.random.key(seed)
    wanted = jax.random.normal(key, shape, jnp.float32)
    with jax.enable_x64(double):
        drawn = jax.jit(normal, static_argnums=1)(jax.random.key_data(key), shape)
    assert drawn.dtype == jnp.float32
    np.testing.assert_array_equal(drawn, wanted)


def test_another_generators_words_are_drawn_by_jax():
    key = jax.random.key(3, impl="rbg")
    words = jax.random.key_data(key)
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(normal(words, (4, 3)), jax.random.normal(key, (4, 3), jnp.float32))
