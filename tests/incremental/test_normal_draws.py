"""Normals that are JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental.normal_draws import columns, normal


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


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_columns_alone_are_those_of_the_whole(impl):
    """Those beyond the last are nobody's."""
    words = jax.random.key_data(jax.random.key(3, impl=impl))
    with jax.default_prng_impl(impl):
        whole = np.asarray(normal(words, (9, 25)))
        drawn = jax.jit(columns, static_argnums=(1, 3))
        for first in (0, 10, 20):
            found = np.asarray(drawn(words, (9, 25), first, 10))
            np.testing.assert_array_equal(found[:, : 25 - first], whole[:, first : first + 10])
