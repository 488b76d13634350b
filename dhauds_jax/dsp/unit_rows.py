"""Rows of length 1."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def unit_rows(x: Float[Array, "*rows width"]) -> Float[Array, "*rows width"]:
    """Rows of length 1; a row of zeros stays one, and its derivative is finite."""
    squares = jnp.square(x).sum(-1, keepdims=True)
    return x / jnp.sqrt(jnp.where(squares > 0, squares, 1.0))
