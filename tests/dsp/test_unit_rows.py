"""Rows of length 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.dsp.unit_rows import unit_rows


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_zeros_stay_zeros_in_every_precision(dtype):
    found = unit_rows(jnp.array([[0, 0], [3, 4]], dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(np.asarray(found, np.float32), [[0, 0], [0.6, 0.8]], atol=4e-3)  # 7 bits of bfloat16


def test_derivatives_are_finite_and_leave_out_the_length():
    rows = jnp.array([[0.0, 0.0], [3.0, 4.0], [1e-12, 0.0]])
    slopes = np.asarray(jax.grad(lambda x: (unit_rows(x) * jnp.array([[1.0, 2.0]])).sum())(rows))
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[1] @ [3.0, 4.0], 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(unit_rows(rows), axis=1), [0, 1, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "size"), [(jnp.float16, 1e-4), (jnp.float16, 200), (jnp.float32, 1e-23), (jnp.float32, 1e30)]
)
def test_small_and_large_rows_have_length_1(dtype, size):
    """Before, their squares were 0 or infinite: rows of 1e-4 stayed, those of 200 became 0."""
    rows = jnp.full((2, 4), size, dtype).at[1].multiply(-1)
    found = np.asarray(unit_rows(rows), np.float32)
    np.testing.assert_allclose(found, [[0.5] * 4, [-0.5] * 4], rtol=1e-3 if dtype == jnp.float16 else 1e-6)


def test_ordinary_rows_keep_their_bits():
    rows = np.random.default_rng(0).standard_normal((9, 768)).astype(np.float32)
    found = np.asarray(unit_rows(jnp.asarray(rows)))
    plain = jnp.asarray(rows) / jnp.sqrt(jnp.square(jnp.asarray(rows)).sum(-1, keepdims=True))
    np.testing.assert_array_equal(found, np.asarray(plain))
