"""AMAuT: a one-dimensional residual network and a transformer over log-mel frames, with a cls and a tail token.

Sources: the AMAuT and DHAuDS repositories (AuT/lib/embed.py, AuT/lib/model.py).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.layers import Attention, Bottleneck, Dense, Dropout, Stem, gelu, xavier_uniform
from dhauds_jax.types import Mode


class Compute(NamedTuple):
    """How an AMAuT is computed; no part of what it is.

    Attributes:
      dtype: of matrix products and convolutions (None: float32). Parameters, norms, weight standardisation, the
        softmax and the transformer's residual stream stay float32.
      remat: recompute each block in the backward pass instead of keeping its inner activations.
    """

    dtype: DTypeLike | None = None
    remat: bool = False


# PyTorch's trunc_normal_ cuts at +-2 absolute, a hundred standard deviations away: a normal distribution.
_tokens_init = nn.initializers.normal(0.02)


class TransformerBlock(nn.Module):
    """`x += attention(norm(x)); x += mlp(x)`.

    `mlp_norm="discarded"` keeps the reference's quirk: the second LayerNorm is computed and thrown away, so the MLP
    sees the raw stream (DHAuDS, AuT/lib/model.py:117); its dead parameters are left out of the tree. "applied" uses it.
    """

    heads: int
    mlp: int
    mlp_norm: str = "discarded"
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        norm = functools.partial(nn.LayerNorm, 1e-6, use_fast_variance=False)
        x = x + Attention(self.heads, dtype=self.dtype, name="attention")(norm(name="layer_norm1")(x))
        y = norm(name="layer_norm2")(x) if self.mlp_norm == "applied" else x
        inits = {"kernel_init": xavier_uniform, "bias_init": nn.initializers.normal(1e-6)}
        dense = functools.partial(Dense, **inits, dtype=self.dtype)
        y = gelu(dense(self.mlp, name="mlp1")(y))
        return x + dense(x.shape[-1], name="mlp2")(y)


class AMAuT(nn.Module):
    """Log-mel frames to tokens: cls, one per 8 frames (16 with three stages), tail.

    Attributes:
      width: channels of the stem and of the first stage's inner convolutions.
      stages: blocks after the first of each residual stage; later stages double the width and halve the frames.
      embed: width of the tokens.
      depth, heads, mlp: transformer blocks, attention heads, inner width of the MLP.
      token_dropout: rate after the positions are added.
      mlp_norm: see `TransformerBlock`.
      compute: how it is computed.
    """

    width: int
    stages: tuple[int, ...]
    embed: int
    depth: int
    heads: int
    mlp: int
    token_dropout: float = 0.15
    mlp_norm: str = "discarded"
    compute: Compute = Compute()

    def __call__(
        self,
        features: Float[Array, "batch frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch tokens embed"]:
        """The tokens after the last norm."""
        return self.encode(features, mode=mode, weights=weights, axis_name=axis_name)[0]

    def tap(
        self,
        features: Float[Array, "batch frames mels"],
        what: str,
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Array, Array]:
        """The tokens, and what `types.Tap` calls "layers" (means over the frames, without cls and tail) or "tokens"."""
        tokens, raw, means = self.encode(
            features, mode=mode, weights=weights, axis_name=axis_name, means=what == "layers"
        )
        return tokens, raw if means is None else means

    @nn.compact
    def encode(
        self,
        features: Float[Array, "batch frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        means: bool = False,
    ) -> tuple[Array, Array, Array | None]:
        """The tokens after the last norm, before it, and, if `means`, of every block the mean of its normed frames."""
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        dtype = self.compute.dtype

        def run(block: nn.Module, x: Array, **batch: Any) -> Array:
            if self.compute.remat and not self.is_initializing():
                return nn.remat(lambda module, x: module(x, **batch))(block, x)
            return block(x, **batch)

        # Convolutions have the type of what they are given.
        x = Stem(self.width, name="stem")(features.astype(dtype or features.dtype), **batch)
        block, middle = 0, self.width
        for stage, blocks in enumerate(self.stages):
            for i in range(1 + blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                x = run(Bottleneck(4 * middle, middle, stride, name=f"block{block}"), x, **batch)
                block += 1
            middle *= 2
        x = Dense(self.embed, name="embed")(x).astype(features.dtype)
        cls = self.param("cls_token", _tokens_init, (self.embed,))
        tail = self.param("tail_token", _tokens_init, (self.embed,))
        ends = (x.shape[0], 1, self.embed)
        x = jnp.concatenate([jnp.broadcast_to(cls, ends), x, jnp.broadcast_to(tail, ends)], 1)
        x = x + self.param("positions", _tokens_init, x.shape[1:])[None]
        x = Dropout(self.token_dropout, name="token_dropout")(x, active=mode.dropout, axis_name=axis_name)
        norm, kept = nn.LayerNorm(1e-6, use_fast_variance=False, name="layer_norm"), []
        for i in range(self.depth):
            x = run(TransformerBlock(self.heads, self.mlp, self.mlp_norm, dtype, name=f"layer{i}"), x)
            if means:
                kept.append(norm(x[:, 1:-1]).mean(1))
        return norm(x), x, jnp.stack(kept, 1) if means else None


def tokens(config: ClassifierConfig, frames: int) -> int:
    """Tokens that come out for `frames` log-mel frames, cls and tail included."""
    frames = ((frames - 2) // 2 + 1 - 2) // 2 + 1
    for _ in config.geometry["stages"][1:]:
        frames = (frames - 1) // 2 + 1
    return frames + 2
