"""Attention pooling as the dog-sound classifier of team ADEE has it: self-attention, the mean, a linear layer."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.dsp import vggish
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.heads import FCEClassifier, last_layer
from dhauds_jax.nets.layers import Attention, Dense, torch_uniform
from dhauds_jax.types import Mode

MASKS = ("none", "trailing_zeros")
"""none: all tokens count; trailing_zeros: those of the silence that a clip ends with do not (`dsp.vggish.heard`)."""


class AttentionPool(nn.Module):
    """Multi-head self-attention over the tokens, their mean (the embedding), a linear layer; no query of its own.

    `dropout` is on the attention weights. With `mask` "trailing_zeros" the tokens of examples that lie wholly in the
    zeros at a clip's end are neither looked at nor in the mean; it reads the front end's output for that, which
    `needs_features` says.

    Source: Splend1d/Tomofun-Challenge-Audio-Classificaiton, src/mymodel.py (without a mask).
    """

    classes: int
    heads: int = 4
    dropout: float = 0.1
    mask: str = "none"
    dtype: DTypeLike | None = None

    @property
    def needs_features(self) -> bool:
        """Whether the front end's output has to be given beside the tokens."""
        return self.mask != "none"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        features: Float[Array, "batch tokens frames bands"] | None = None,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch width"]]:
        heard = vggish.heard(features) if self.needs_features and not self.is_initializing() else None
        width = tokens.shape[-1]
        attention = Attention(
            self.heads,
            self.dropout,
            dtype=self.dtype,
            # PyTorch draws the three projections as one matrix of three times the outputs, and no bias
            kernel_init=nn.initializers.variance_scaling(0.5, "fan_avg", "uniform"),
            bias_init=nn.initializers.zeros_init(),
            out_kernel_init=torch_uniform(width),
            name="attention",
        )
        mask = None if heard is None else heard[:, None, None]
        x = attention(tokens, active=mode.dropout, mask=mask, axis_name=axis_name).astype(tokens.dtype)
        if heard is None:
            x = x.mean(1)
        else:
            x = jnp.where(heard[..., None], x, 0.0).sum(1) / heard.sum(1).astype(x.dtype)[:, None]
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)

    @staticmethod
    def check(heads: Any, dropout: Any, mask: Any) -> None:
        """Raises `BadInput` for options that the head does not take."""
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise BadInput(f"config head: heads is {heads!r}, expected a whole number from 1 on")
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
            raise BadInput(f"config head: dropout is {dropout!r}, expected a number from 0 to below 1")
        if mask not in MASKS:
            raise BadInput(f"config head: mask is {mask!r}, expected {' or '.join(map(repr, MASKS))}")
