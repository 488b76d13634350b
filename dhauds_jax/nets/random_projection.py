"""Classification by a linear layer on random features of any other head's embedding, as RanPAC learns it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.prototypes import Prototypes
from dhauds_jax.types import Mode


class RandomProjection(nn.Module):
    """`scale (relu(e @ projection) @ kernel) + bias`, e the embedding of the head that `inner` describes.

    `features` is the width of the projection, whose output after the ReLU is this head's embedding; `unit` brings e to
    length 1 first; `scale` is a number of the record. Source: McDonnell et al. 2023, arXiv 2307.02251.
    """

    classes: int
    inner: Mapping[str, Any]
    features: int
    unit: bool
    scale: float
    dtype: DTypeLike | None = None

    needs_features = Prototypes.needs_features
    reads = Prototypes.reads

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        **beside: Array,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        inner = build_head(self.inner, 0, self.dtype, name="inner")
        _, x = inner(tokens, mode=mode, weights=weights, axis_name=axis_name, **beside)
        x = unit_rows(x) if self.unit else x
        normal, zeros = nn.initializers.normal(1.0), nn.initializers.zeros_init()
        projection = self.param("projection", normal, (x.shape[-1], self.features))
        x = nn.relu(jnp.matmul(x, projection, precision="highest"))
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.features, self.classes))
        bias = self.param("bias", zeros, (self.classes,))
        return self.scale * jnp.matmul(x, kernel, precision="highest") + bias[None], x

    linear = Prototypes.linear

    @staticmethod
    def check(inner: Any, features: Any, unit: Any, scale: Any) -> None:
        """Raises `BadInput` for options that the head does not take."""
        Prototypes.check(inner, unit, scale)
        if isinstance(features, bool) or not isinstance(features, int) or features < 1:
            raise BadInput(f"config head: features is {features!r}, expected a whole number above 0")
