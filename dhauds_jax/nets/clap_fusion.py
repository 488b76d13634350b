"""Attentional feature fusion: how CLAP lets three crops of a long clip speak beside the whole of it.

Of two images x and y, a weight w in (0, 1) is learned for every value from x + y, once from each token and once from
their mean over the image; the result is `2 w x + 2 (1 - w) y` (Dai et al., arXiv 2009.14082).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from dhauds_jax.nets.layers import BatchNorm, Dense
from dhauds_jax.parallel import total
from dhauds_jax.types import Mode


class Branch(nn.Module):
    """Two linear layers, each with BatchNorm, ReLU between them; `inner` wide in the middle."""

    inner: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch rows columns width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch rows columns width"]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        hidden = BatchNorm(name="batch_norm1")(Dense(self.inner, dtype=self.dtype, name="dense1")(x), **batch)
        widened = Dense(x.shape[-1], dtype=self.dtype, name="dense2")(jax.nn.relu(hidden))
        return BatchNorm(name="batch_norm2")(widened, **batch)


class Fusion(nn.Module):
    """The fusion of two images of tokens; rows of weight 0 touch no statistic."""

    inner: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch rows columns width"],
        y: Float[Array, "batch rows columns width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch rows columns width"]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        summed = x + y
        pooled = summed.astype(jnp.float32).mean((1, 2), keepdims=True).astype(summed.dtype)
        each = Branch(self.inner, self.dtype, name="local_attention")(summed, **batch)
        whole = Branch(self.inner, self.dtype, name="global_attention")(pooled, **batch)
        share = jax.nn.sigmoid(each + jnp.broadcast_to(whole, each.shape))
        return 2 * x * share + 2 * y * (1 - share)


def rows_that_count(
    longer: Bool[Array, " batch"], weights: Float[Array, " batch"] | None, axis_name: str | None
) -> Float[Array, " batch"]:
    """Weights for the fusion's statistics: of the longer rows alone, or of all where the batch has no longer one.

    In that case nobody reads the fusion; statistics of no rows would be no numbers.
    """
    weights = jnp.ones(longer.shape) if weights is None else weights
    chosen = weights * longer
    return jnp.where(total(chosen.sum(), axis_name) > 0, chosen, weights)
