"""Dropout masks drawn row by row, so that a batch spread over devices gets the masks of one device."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def drop_rows(
    x: Float[Array, "batch *rest"], key: PRNGKeyArray, rate: float, axis_name: str | None = None
) -> Float[Array, "batch *rest"]:
    """Zeroes values with probability `rate` and scales the others by 1 / (1 - rate).

    A row's mask depends on the key and on its number in the whole batch (rows in device order along `axis_name`). The
    draw has 16 bits, half of what a float needs: the probability is `rate` to within 1 / 131072. For blocks that get
    their key as an argument (HuBERT, CoNMix); AMAuT has the module `layers.Dropout`, which draws from linen's rngs with
    32 bits. Other masks for one key and rate: recorded runs depend on each, so neither replaces the other.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * x.shape[0]
    rows = first + jnp.arange(x.shape[0])
    threshold = round(rate * 65536)
    bits = jax.vmap(lambda row: jax.random.bits(jax.random.fold_in(key, row), x.shape[1:], jnp.uint16))(rows)
    return jnp.where(bits >= threshold, x * (1.0 / (1.0 - rate)), jnp.zeros_like(x))
