"""Swin's blocks: attention within windows, every second block's windows shifted, and the merging of patches.

Images of tokens are (batch, rows, columns, width). A window is `window` tokens high and wide; where an image is no
larger than that there is one window and no shift (Liu et al., arXiv 2103.14030).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.nets.dropout import drop_rows
from dhauds_jax.nets.layers import Dense, gelu
from dhauds_jax.nets.spectrogram_transformer import layer_norm

_zeros = nn.initializers.zeros_init()
_small = nn.initializers.normal(0.02)

APART = -100.0
"""What is added to the attention score of two tokens that only the shift brought into one window."""


class Compute(NamedTuple):
    """How the encoder is computed; no part of what it is.

    Attributes:
      dtype: of matrix products (None: float32). Parameters, norms and the softmax stay float32.
      remat: recompute blocks in the backward pass instead of keeping their inner activations.
    """

    dtype: DTypeLike | None = None
    remat: bool = False


class Window(NamedTuple):
    """The windows of one block: their side and by how many tokens they are shifted, down and to the right."""

    size: int
    shift: int


def window_of(side: int, window: int, block: int) -> Window:
    """The windows of block `block` of a stage whose image is `side` tokens high and wide."""
    if side <= window:
        return Window(side, 0)
    return Window(window, window // 2 if block % 2 else 0)


def partition(
    x: Float[Array, "batch rows columns width"], size: int
) -> Float[Array, "batch windows size_squared width"]:
    """The windows of an image, row by row, and the tokens of each, row by row."""
    batch, rows, columns, width = x.shape
    tiles = x.reshape(batch, rows // size, size, columns // size, size, width).transpose(0, 1, 3, 2, 4, 5)
    return tiles.reshape(batch, -1, size * size, width)


def reverse(
    windows: Float[Array, "batch windows size_squared width"], size: int, rows: int
) -> Float[Array, "batch rows columns width"]:
    """The image, `rows` tokens high, whose windows these are: the inverse of `partition`."""
    batch, count, _, width = windows.shape
    down = rows // size
    tiles = windows.reshape(batch, down, count // down, size, size, width).transpose(0, 1, 3, 2, 4, 5)
    return tiles.reshape(batch, rows, -1, width)


@functools.lru_cache
def relative_positions(size: int) -> np.ndarray:
    """For every pair of tokens of a window, the row of the bias table that holds their distance: (size^2, size^2).

    The table has `(2 size - 1)^2` rows, by how far down and then how far right the query lies of the key.
    """
    place = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij")).reshape(2, -1)
    down, right = place[:, :, None] - place[:, None, :] + size - 1
    return down * (2 * size - 1) + right


@functools.lru_cache
def shift_mask(side: int, window: Window) -> np.ndarray:
    """What is added to the scores of each window of a shifted image: (windows, size^2, size^2), 0 or `APART`.

    The shift moves the image's first rows and columns behind its last ones; tokens that meet so do not attend to each
    other.
    """
    size, shift = window
    index = np.arange(side)
    region = (index >= side - size).astype(int) + (index >= side - shift)
    image = (3 * region[:, None] + region[None]).reshape(side // size, size, side // size, size)
    tokens = image.transpose(0, 2, 1, 3).reshape(-1, size * size)
    return np.where(tokens[:, :, None] == tokens[:, None, :], 0.0, APART).astype(np.float32)


def merge_neighbours(
    x: Float[Array, "batch rows columns width"],
) -> Float[Array, "batch half_rows half_columns four_width"]:
    """Four neighbours side by side: (even row, even column), (odd, even), (even, odd), (odd, odd)."""
    batch, rows, columns, width = x.shape
    pairs = x.reshape(batch, rows // 2, 2, columns // 2, 2, width).transpose(0, 1, 3, 4, 2, 5)
    return pairs.reshape(batch, rows // 2, columns // 2, 4 * width)


class WindowAttention(nn.Module):
    """Attention within windows of side `window`: a learned bias by relative position, a mask where it is shifted."""

    heads: int
    window: Window
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch side side width"]) -> Float[Array, "batch side side width"]:
        (size, shift), (side, width) = self.window, x.shape[2:]
        bias = self.param("position_bias", _small, ((2 * size - 1) ** 2, self.heads))
        bias = bias[relative_positions(size)].transpose(2, 0, 1)[None]
        if shift:
            x = jnp.roll(x, (-shift, -shift), (1, 2))
            bias = bias + jnp.asarray(shift_mask(side, self.window))[:, None]
        qkv = Dense(3 * width, kernel_init=_small, bias_init=_zeros, dtype=self.dtype, name="qkv")(x)
        qkv = partition(qkv, size)
        q, k, v = jnp.moveaxis(qkv.reshape(*qkv.shape[:3], 3, self.heads, -1), 3, 0)
        scores = jnp.einsum("bwqhd,bwkhd->bwhqk", q * q.shape[-1] ** -0.5, k).astype(jnp.float32)
        shares = jax.nn.softmax(scores + jnp.broadcast_to(bias[None], scores.shape), -1)
        mixed = jnp.einsum("bwhqk,bwkhd->bwqhd", shares.astype(v.dtype), v)
        mixed = reverse(mixed.reshape(*mixed.shape[:3], width), size, side)
        mixed = Dense(width, kernel_init=_small, bias_init=_zeros, dtype=self.dtype, name="out")(mixed)
        return jnp.roll(mixed, (shift, shift), (1, 2)) if shift else mixed


class Block(nn.Module):
    """A pre-norm block: attention within windows, then feed-forward; both dropped row by row with `drop_path`."""

    heads: int
    window: Window
    mlp_ratio: int
    epsilon: float
    drop_path: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch side side width"], dropping: bool, axis_name: str | None
    ) -> Float[Array, "batch side side width"]:
        def kept(y: Array) -> Array:
            if not dropping or self.drop_path == 0.0:
                return y
            scale = drop_rows(jnp.ones(y.shape[:1], y.dtype), self.make_rng("dropout"), self.drop_path, axis_name)
            return y * jnp.broadcast_to(scale[:, None, None, None], y.shape)

        def dense(features: int, name: str) -> Dense:
            return Dense(features, kernel_init=_small, bias_init=_zeros, dtype=self.dtype, name=name)

        width = x.shape[-1]
        normed = layer_norm(self.epsilon, self.dtype, "layer_norm1")(x)
        x = x + kept(WindowAttention(self.heads, self.window, self.dtype, name="attention")(normed))
        normed = layer_norm(self.epsilon, self.dtype, "layer_norm2")(x)
        return x + kept(dense(width, "mlp2")(gelu(dense(self.mlp_ratio * width, "mlp1")(normed))))


class Merging(nn.Module):
    """Patch merging: four neighbours become one token of twice the width."""

    epsilon: float
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch side side width"]) -> Float[Array, "batch half half twice"]:
        merged = layer_norm(self.epsilon, self.dtype, "layer_norm")(merge_neighbours(x))
        reduction = Dense(2 * x.shape[-1], use_bias=False, kernel_init=_small, dtype=self.dtype, name="reduction")
        return reduction(merged)


class Stage(nn.Module):
    """Some blocks and, but for the last stage, the merging of their result.

    Attributes:
      drop_paths: rate of every block.
    """

    heads: int
    window: int
    mlp_ratio: int
    epsilon: float
    drop_paths: tuple[float, ...]
    merges: bool
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch side side width"], dropping: bool, axis_name: str | None
    ) -> Float[Array, "batch new_side new_side new_width"]:
        block = nn.remat(Block, static_argnums=(2, 3)) if self.compute.remat else Block
        sizes, dtype = (self.mlp_ratio, self.epsilon), self.compute.dtype
        for i, rate in enumerate(self.drop_paths):
            window = window_of(x.shape[1], self.window, i)
            x = block(self.heads, window, *sizes, rate, dtype, name=f"block{i}")(x, dropping, axis_name)
        return Merging(self.epsilon, dtype, name="merging")(x) if self.merges else x
