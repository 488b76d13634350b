"""AST and SSAST: one vision transformer over the patches of a spectrogram.

A patch is `patch` bins of frequency by frames of time, every `stride`: 16 x 16 with an overlapping stride of 10, or
whole columns of 128 x 2. Tokens are ordered by frequency, then time; a cls token and, in the distilled layout, a
distillation token come before them (Gong et al., arXiv 2104.01778 and 2110.09784; the layout is timm's distilled DeiT).
The reference has no dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.dsp.stft import frame
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.layers import ACTIVATIONS, Dense, deviation, torch_uniform
from dhauds_jax.types import Mode

_zeros = nn.initializers.zeros_init()
_small = nn.initializers.normal(0.02)  # timm cuts at 2, that is at 100 deviations

ATTENTION = ("xla", "cudnn")
"""How attention may be computed: plain products and a float32 softmax, or cuDNN's fused kernel (GPUs, half types)."""


class Compute(NamedTuple):
    """How the transformer is computed; no part of what it is.

    Attributes:
      dtype: of matrix products (None: float32). Parameters, norms and the softmax stay float32.
      attention: one of `ATTENTION`.
      scan: one compiled block run `depth` times (compiles fast), or as many copies of it. Same parameters, stacked.
      remat: recompute blocks in the backward pass instead of keeping their inner activations.
    """

    dtype: DTypeLike | None = None
    attention: str = "xla"
    scan: bool = True
    remat: bool = False


class Encoded(NamedTuple):
    """What the encoder gives.

    Attributes:
      tokens: (batch, prefix + patches, width), after the last norm.
      raw: the same before that norm.
      layers: (depth, ...), what was kept of every block's output, by default all of it before that norm, or None.
    """

    tokens: Array
    raw: Array
    layers: Array | None


def grid_of(mels: int, frames: int, patch: tuple[int, int], stride: tuple[int, int]) -> tuple[int, int]:
    """Patches along frequency and time, `(size - patch) // stride + 1` each (0 or less: the spectrogram is too small).

    Args:
      mels: of the spectrogram.
      frames: of the spectrogram.
      patch: (bins of frequency, frames of time).
      stride: likewise.
    """
    return (mels - patch[0]) // stride[0] + 1, (frames - patch[1]) // stride[1] + 1


def unfold(
    features: Float[Array, "batch frames mels"], patch: tuple[int, int], stride: tuple[int, int]
) -> Float[Array, "batch patches values"]:
    """Every patch as a row of its `patch[0] * patch[1]` values, frequency first both among and within patches.

    Args:
      features: (batch, frames, mels).
      patch: (bins of frequency, frames of time).
      stride: likewise.

    Returns:
      (batch, patches, values), as PyTorch's `unfold` of the (mels, frames) image.
    """
    columns = frame(jnp.swapaxes(features, 1, 2), patch[1], stride[1])  # (batch, mels, columns, frames of a patch)
    patches = frame(jnp.moveaxis(columns, 1, -1), patch[0], stride[0])  # (batch, columns, frames, rows, bins)
    ordered = patches.transpose(0, 3, 1, 4, 2)
    return ordered.reshape(features.shape[0], -1, patch[0] * patch[1])


def layer_norm(epsilon: float, dtype: DTypeLike | None, name: str | None = None) -> nn.LayerNorm:
    """A layer norm whose statistics are float32 and whose result has the compute type."""
    return nn.LayerNorm(epsilon, dtype=dtype or jnp.float32, use_fast_variance=False, name=name)


class Block(nn.Module):
    """A pre-norm transformer block: attention (queries, keys and values in one product) and feed-forward.

    `keep` is what of its output is given beside it: nothing, all of it, or a function of it.
    """

    heads: int
    mlp: int
    epsilon: float
    compute: Compute = Compute()
    activation: str = "gelu"

    def _dense(self, features: int, name: str) -> Dense:
        return Dense(features, kernel_init=_small, bias_init=_zeros, dtype=self.compute.dtype, name=name)

    def _attend(self, x: Array) -> Array:
        batch, tokens, width = x.shape
        qkv = self._dense(3 * width, "qkv")(x).reshape(batch, tokens, 3, self.heads, -1)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        if self.compute.attention == "cudnn":
            mixed = jax.nn.dot_product_attention(q, k, v, implementation="cudnn")
        else:
            scores = jnp.einsum("bqhd,bkhd->bhqk", q * q.shape[-1] ** -0.5, k).astype(jnp.float32)
            mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1).astype(v.dtype), v)
        return self._dense(width, "out")(mixed.reshape(batch, tokens, width))

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch tokens width"], keep: bool | Callable[[Array], Array]
    ) -> tuple[Array, Array | None]:
        def norm(name: str) -> nn.LayerNorm:
            return layer_norm(self.epsilon, self.compute.dtype, name)

        x = x + self._attend(norm("layer_norm1")(x))
        hidden = ACTIVATIONS[self.activation](self._dense(self.mlp, "mlp1")(norm("layer_norm2")(x)))
        x = x + self._dense(x.shape[-1], "mlp2")(hidden)
        if callable(keep):
            return x, keep(x)
        return x, (x if keep else None)


class SpectrogramTransformer(nn.Module):
    """The encoder: spectrogram (batch, frames, mels) to tokens (batch, prefix + patches, width), normed.

    Attributes: the geometry (see `spectrogram_zoo.geometry`), `grid` (patches along frequency and time, which the
    position table is made for) and `compute`.
    """

    width: int
    depth: int
    heads: int
    mlp: int
    patch: tuple[int, int]
    stride: tuple[int, int]
    prefix: int
    epsilon: float
    grid: tuple[int, int]
    compute: Compute = Compute()
    activation: str = "gelu"

    def setup(self) -> None:
        values, dtype = self.patch[0] * self.patch[1], self.compute.dtype
        self.patch_embed = Dense(self.width, kernel_init=torch_uniform(values), dtype=dtype)
        if self.prefix:
            self.cls_token = self.param("cls_token", _small, (self.width,))
        if self.prefix == 2:
            self.dist_token = self.param("dist_token", _small, (self.width,))
        self.positions = self.param("positions", _small, (self.prefix + self.grid[0] * self.grid[1], self.width))
        block = nn.remat(Block, prevent_cse=not self.compute.scan, static_argnums=(2,)) if self.compute.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,
            length=self.depth,
            unroll=1 if self.compute.scan else self.depth,
        )
        self.blocks = stack(self.heads, self.mlp, self.epsilon, self.compute, self.activation)
        self.layer_norm = layer_norm(self.epsilon, None)

    def __call__(
        self,
        features: Float[Array, "batch frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch tokens width"]:
        """The tokens. No statistic couples the batch and nothing is dropped: the other arguments are not used."""
        return self.encode(self.embed(features)).tokens

    def embed(self, features: Float[Array, "batch frames mels"]) -> Float[Array, "batch patches width"]:
        """Every patch's embedding, before any position or other token (where pretraining puts its masks).

        Raises:
          BadInput: the spectrogram does not give the `grid` of patches.
        """
        _, frames, mels = features.shape
        found = grid_of(mels, frames, self.patch, self.stride)
        if found != self.grid:
            raise BadInput(
                f"spectrogram transformer: features have {frames} frames and {mels} mels, {found[0]} x {found[1]} "
                f"patches, expected {self.grid[0]} x {self.grid[1]} as in the checkpoint's config"
            )
        return self.patch_embed(unfold(features, self.patch, self.stride))

    def tap(
        self,
        features: Float[Array, "batch frames mels"],
        what: str,
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> tuple[Array, Array]:
        """The tokens, and what `types.Tap` calls "layers" (means over the patches alone) or "tokens".

        Or "rows", (batch, depth, rows of frequency, 2 width): the mean and the deviation over time of each row of
        patches after every block. No block's tokens are kept. The other arguments are not used, as in a call.
        """
        embedded = self.embed(features)
        if what == "tokens":
            encoded = self.encode(embedded)
            return encoded.tokens, encoded.raw.astype(jnp.float32)
        if what == "rows":
            encoded = self.encode(embedded, self._rows)
            return encoded.tokens, jnp.swapaxes(encoded.layers, 0, 1)
        # Inside the scan a module of outside cannot be called; there are no parameters before the first call.
        if self.is_initializing():
            self.layer_norm(embedded)
        params, norm = {"params": self.layer_norm.variables["params"]}, self.layer_norm.clone(parent=None)
        encoded = self.encode(embedded, lambda x: norm.apply(params, x[:, self.prefix :]).mean(1))
        return encoded.tokens, jnp.swapaxes(encoded.layers, 0, 1)

    def _rows(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch rows statistics"]:
        patches = x[:, self.prefix :].astype(jnp.float32).reshape(len(x), *self.grid, self.width)
        return jnp.concatenate([patches.mean(2), deviation(patches, 2)], -1)

    def encode(
        self, embedded: Float[Array, "batch patches width"], keep: bool | Callable[[Array], Array] = False
    ) -> Encoded:
        """The tokens from the patches' embeddings and, if wanted, of every block's output all or a function of it."""
        dtype = self.compute.dtype or jnp.float32
        x = embedded.astype(dtype)
        if self.prefix:
            ends = [self.cls_token, self.dist_token] if self.prefix == 2 else [self.cls_token]
            ends = jnp.broadcast_to(jnp.stack(ends).astype(dtype), (embedded.shape[0], self.prefix, self.width))
            x = jnp.concatenate([ends, x], 1)
        x = x + self.positions.astype(dtype)[None]
        x, layers = self.blocks(x, keep)
        return Encoded(self.layer_norm(x), x, layers)
