"""Several blocks' means weighed by a small network, and a head over their sum: MAR's.

Source: YongjieSi/MAR, utils/inc_net.py:82-87 and 190, models/ast_models.py:171-181 (arXiv 2506.18406).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.layers import Dense, torch_uniform
from dhauds_jax.nets.prototypes import Prototypes
from dhauds_jax.types import Mode

HIDDEN = 64
"""Width of the network that weighs levels."""


class Fusion(nn.Module):
    """`sum_l a_l x_l`, `a = softmax(W2 relu(W1 [x_1 ... x_L] + b1) + b2)`, over L levels of equal width."""

    @nn.compact
    def __call__(
        self, levels: Float[Array, "batch levels width"]
    ) -> tuple[Float[Array, "batch width"], Float[Array, "batch levels"]]:
        """The sum, and the weights."""
        count, width = levels.shape[1:]
        flat = levels.reshape(len(levels), count * width)

        def linear(features: int, inputs: int, name: str) -> Dense:
            init = torch_uniform(inputs)
            return Dense(features, kernel_init=init, bias_init=init, name=name, precision="highest")

        hidden = nn.relu(linear(HIDDEN, count * width, "hidden")(flat))
        weights = jax.nn.softmax(linear(count, HIDDEN, "output")(hidden), -1)
        return jnp.einsum("bl,blw->bw", weights, levels, precision="highest"), weights


def last_levels(layers: Float[Array, "batch depth width"], count: int) -> Float[Array, "batch levels width"]:
    """The last `count` levels; all where the network has fewer."""
    return layers[:, max(0, layers.shape[1] - count) :]


class Levels(nn.Module):
    """`scale cos(e, w_k)`, e the fused last `levels` of the encoder's means; `inner` is the head it took the place of.

    `e` has length 1 as the embedding; the columns of `kernel` have length 1 too.
    """

    classes: int
    inner: Mapping[str, Any]
    levels: int
    scale: float

    @property
    def reads(self) -> str:
        """What of `Classifier.tap` it is given beside the tokens."""
        return "layers"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        read: Float[Array, "batch depth width"],
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch width"]]:
        fused, _ = Fusion(name="fusion")(last_levels(read, self.levels))
        x = unit_rows(fused)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.classes))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.classes,))
        return self.scale * jnp.matmul(x, kernel, precision="highest") + bias[None], x

    linear = Prototypes.linear

    @staticmethod
    def check(inner: Any, levels: Any, scale: Any) -> None:
        """Raises `BadInput` for options that the head does not take."""
        Prototypes.check(inner, True, scale)
        if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
            raise BadInput(f"config head: levels is {levels!r}, expected a whole number of at least 1")
