"""Rows of length 1."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def unit_rows(x: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
    """Rows of length 1; a row of zeros stays one, and its derivative is finite.

    Rows whose squares leave their type's range are divided by their largest magnitude first; others are left alone.
    """
    x = jnp.asarray(x)
    known = jnp.finfo(x.dtype)
    least, most = np.sqrt(float(known.tiny) / float(known.eps)), np.sqrt(float(known.max) / max(1, x.shape[-1]))
    largest = jax.lax.stop_gradient(jnp.abs(x).max(-1, keepdims=True))  # of which the result is no function
    ordinary = ((largest >= least) & (largest <= most)) | (largest == 0)
    x = x / jnp.where(ordinary, 1.0, largest).astype(x.dtype)
    squares = jnp.square(x).sum(-1, keepdims=True)
    return x / jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
