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
