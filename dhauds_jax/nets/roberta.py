"""RoBERTa, CLAP's text encoder: a post-norm transformer over token ids and the pooler of its first token.

Position numbers start at 2 and count the tokens of a text alone: padding has number 1 (Liu et al., arXiv 1907.11692).
It is computed as in evaluation; nothing is dropped.
"""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.layers import Dense, gelu
from dhauds_jax.nets.spectrogram_transformer import layer_norm
from dhauds_jax.nets.swin import Compute

_zeros = nn.initializers.zeros_init()
_small = nn.initializers.normal(0.02)

PADDING = 1
"""Number of the padding token, and position number of a padded place."""


class Encoded(NamedTuple):
    """What the encoder gives.

    Attributes:
      pooled: (batch, width), of the first token.
      embedded: (batch, tokens, width), what goes into the first block.
      layers: (depth, batch, tokens, width), every block's output, or None. Padded places mean nothing.
    """

    pooled: Array
    embedded: Array
    layers: Array | None


class Block(nn.Module):
    """A post-norm transformer block: attention (queries, keys and values in one product) and feed-forward."""

    heads: int
    mlp: int
    epsilon: float
    compute: Compute = Compute()

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(features, kernel_init=_small, bias_init=_zeros, dtype=self.compute.dtype, name=name)

    def _attend(self, x: Array, mask: Array) -> Array:
        batch, tokens, width = x.shape
        qkv = self._dense(3 * width, "qkv")(x).reshape(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = jnp.einsum("bqhd,bkhd->bhqk", q * q.shape[-1] ** -0.5, k).astype(jnp.float32)
        seen = jnp.broadcast_to(mask[:, None, None, :], scores.shape)
        shares = jax.nn.softmax(jnp.where(seen, scores, jnp.finfo(jnp.float32).min), -1)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", shares.astype(v.dtype), v)
        return self._dense(width, "out")(mixed.reshape(batch, tokens, width))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens width"], mask: Bool[Array, "batch tokens"], keep: bool
    ) -> tuple[Array, Array | None]:
        def norm(name: str) -> nn.LayerNorm:
            return layer_norm(self.epsilon, self.compute.dtype, name)

        x = norm("layer_norm1")(x + self._attend(x, mask))
        hidden = gelu(self._dense(self.mlp, "mlp1")(x))
        x = norm("layer_norm2")(x + self._dense(x.shape[-1], "mlp2")(hidden))
        return x, (x if keep else None)


class Roberta(nn.Module):
    """The encoder: token ids (batch, tokens) and which of them are no padding, to (batch, width).

    Attributes: the geometry (see `clap_zoo.text_geometry`) and `compute`.
    """

    width: int
    depth: int
    heads: int
    mlp: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    compute: Compute = Compute()

    def setup(self) -> None:
        self.words = self.param("words", _small, (self.vocabulary, self.width))
        self.places = self.param("places", _small, (self.positions, self.width))
        self.kinds = self.param("kinds", _small, (self.types, self.width))
        self.layer_norm = layer_norm(self.epsilon, self.compute.dtype)
        block = nn.remat(Block, prevent_cse=False, static_argnums=(3,)) if self.compute.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast, nn.broadcast),
            length=self.depth,
        )
        self.blocks = stack(self.heads, self.mlp, self.epsilon, self.compute)
        self.pooler = Dense(self.width, kernel_init=_small, bias_init=_zeros, precision="highest")

    def __call__(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"]
    ) -> Float[Array, "batch width"]:
        """The pooled first token of every text; padding changes nothing."""
        return self.encode(ids, mask).pooled

    def encode(
        self, ids: Int[Array, "batch tokens"], mask: Bool[Array, "batch tokens"], keep_all: bool = False
    ) -> Encoded:
        """The pooled first token, what goes into the first block and, if `keep_all`, every block's output.

        Args:
          ids: (batch, tokens) numbers in the vocabulary.
          mask: (batch, tokens) True for tokens, False for padding behind them.

        Raises:
          BadInput: more tokens than there are positions.
        """
        most = self.positions - PADDING - 1
        if ids.shape[1] > most:
            raise BadInput(f"roberta: texts of {ids.shape[1]} tokens, expected at most {most}; cut them before")
        places = jnp.cumsum(mask, axis=1) * mask + PADDING
        embedded = self.words[ids] + self.places[places] + jnp.broadcast_to(self.kinds[0], (*ids.shape, self.width))
        embedded = self.layer_norm(embedded)
        x, layers = self.blocks(embedded, mask, keep_all)
        return Encoded(jnp.tanh(self.pooler(x[:, 0].astype(jnp.float32))), embedded, layers)
