"""Matrix products in the full precision of their type, whatever is in force."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array


def product(a: Array, b: Array) -> Array:
    """`a @ b`."""
    return jnp.matmul(a, b, precision="highest")
