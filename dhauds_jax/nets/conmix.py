"""CoNMix's network over a log-mel image: a ResNet with group norms, a vision transformer over its pixels, a mean.

The R50 + ViT-B/16 hybrid of TransUNet (Chen et al., arXiv 2102.04306; ResNet after Kolesnikov et al., arXiv 1912.11370,
transformer after Dosovitskiy et al., arXiv 2010.11929) as CoNMix (Kumar et al., WACV 2023, arXiv 2211.01840) uses it
for sounds: no position embedding, no class token, no padding in the max-pool (quirk 41). TransUNet's decoder, which the
reference builds, counts and never runs, is not in the tree (`DECODER`).

Images are (batch, rows, columns, channels).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.convolution import conv2d, max_pool1d
from dhauds_jax.nets.dropout import drop_rows
from dhauds_jax.nets.layers import Attention, Dense, gelu, standardise, torch_uniform, xavier_uniform
from dhauds_jax.nets.mel_image import NAME
from dhauds_jax.types import Mode

DECODER_CONVS = ((1024, 256), (512, 128), (192, 64), (64, 16))
"""(inputs, outputs) of the stages of the decoder that nothing runs."""

DECODER = sum(9 * (inputs + outputs) * outputs + 4 * outputs for inputs, outputs in DECODER_CONVS)
"""Parameters of the published net's decoder: four stages of two 3x3 convolutions, each with a BatchNorm."""

_tiny_normal = nn.initializers.normal(1e-6)


class Compute(NamedTuple):
    """How the network is computed; no part of what it is.

    Attributes:
      dtype: of matrix products and convolutions (None: float32). Parameters, norms and the softmax stay float32.
      remat: recompute transformer blocks in the backward pass instead of keeping their inner activations.
      scan: one compiled block run `depth` times (compiles fast), or as many copies of it. Same parameters, stacked.
    """

    dtype: DTypeLike | None = None
    remat: bool = False
    scan: bool = True


class InputNorm(nn.Module):
    """`(x - mean) / deviation` with the statistics of `nets.mel_image`, (1,) each in dB; nothing updates them."""

    mean: float
    deviation: float

    @nn.compact
    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        mean = self.variable("batch_stats", "mean", lambda: jnp.full((1,), self.mean, jnp.float32))
        deviation = self.variable("batch_stats", "deviation", lambda: jnp.full((1,), self.deviation, jnp.float32))
        mean, deviation = (jnp.broadcast_to(v.value, x.shape) for v in (mean, deviation))
        return (x - mean) / deviation


class StdConv2d(nn.Module):
    """A convolution without bias whose kernel is standardised per output channel, `taps // 2` zeros on every side.

    An input of one channel stands for `channels` equal ones: the kernel is then summed over its inputs.
    """

    features: int
    taps: int = 1
    stride: int = 1
    channels: int | None = None
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch rows columns inputs"]) -> Float[Array, "batch r c features"]:
        channels, dtype = self.channels or x.shape[-1], self.dtype or x.dtype
        shape = (self.taps, self.taps, channels, self.features)
        kernel = standardise(self.param("kernel", torch_uniform(self.taps**2 * channels), shape))
        if x.shape[-1] == 1 and channels > 1:
            kernel = kernel.sum(2, keepdims=True)
        return conv2d(x.astype(dtype), kernel.astype(dtype), self.stride)


class GroupNorm(nn.Module):
    """Group norm over the pixels and the channels of a group, in float32, biased variance."""

    groups: int
    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "batch rows columns channels"]) -> Float[Array, "batch rows columns channels"]:
        channels = x.shape[-1]
        if channels % self.groups:
            raise BadInput(f"GroupNorm: {channels} channels are no multiple of {self.groups} groups")
        scale = self.param("scale", nn.initializers.ones_init(), (channels,))
        bias = self.param("bias", nn.initializers.zeros_init(), (channels,))
        y = x.astype(jnp.float32).reshape(x.shape[0], -1, self.groups, channels // self.groups)
        y = y - y.mean((1, 3), keepdims=True)
        y = y * jax.lax.rsqrt(jnp.square(y).mean((1, 3), keepdims=True) + self.epsilon)
        scale, bias = (jnp.broadcast_to(v, x.shape) for v in (scale, bias))
        return (y.reshape(x.shape) * scale + bias).astype(x.dtype)


class Unit(nn.Module):
    """The residual unit: 1x1, 3x3 (with the stride), 1x1, each with a group norm; ReLU after the sum.

    The shortcut is a strided 1x1 convolution with one group per channel and epsilon 1e-5 where the shape changes, the
    identity elsewhere; the main path has `groups` groups and epsilon 1e-6.
    """

    features: int
    middle: int
    stride: int
    groups: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch rows columns channels"]) -> Float[Array, "batch r c features"]:
        def conv(name: str, features: int, taps: int = 1, stride: int = 1) -> StdConv2d:
            return StdConv2d(features, taps, stride, dtype=self.dtype, name=name)

        shortcut = x
        if self.stride != 1 or x.shape[-1] != self.features:
            shortcut = conv("shortcut", self.features, stride=self.stride)(x)
            shortcut = GroupNorm(self.features, 1e-5, name="group_norm_shortcut")(shortcut)
        y = nn.relu(GroupNorm(self.groups, 1e-6, name="group_norm1")(conv("conv1", self.middle)(x)))
        y = conv("conv2", self.middle, 3, self.stride)(y)
        y = nn.relu(GroupNorm(self.groups, 1e-6, name="group_norm2")(y))
        y = GroupNorm(self.groups, 1e-6, name="group_norm3")(conv("conv3", self.features)(y))
        return nn.relu(shortcut + y)


def _halved(x: Float[Array, "batch rows columns channels"]) -> Float[Array, "batch r c channels"]:
    """Largest of 3 by 3 pixels every 2, without padding."""
    batch, rows, columns, channels = x.shape
    x = max_pool1d(x.reshape(batch * rows, columns, channels), 3, 2, 0)
    columns = x.shape[1]
    x = max_pool1d(x.reshape(batch, rows, columns * channels), 3, 2, 0)
    return x.reshape(batch, -1, columns, channels)


class ResNet(nn.Module):
    """The convolutional half: 7x7 stride 2, max-pool 3 stride 2, three stages, the last two of which halve the image.

    Attributes:
      root: channels of the first convolution; the stages have 4, 8 and 16 times as many.
      units: of each stage.
      groups: of the group norms.
    """

    root: int
    units: tuple[int, ...]
    groups: int
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch rows columns channels"]) -> Float[Array, "batch r c features"]:
        x = StdConv2d(self.root, 7, 2, channels=3, dtype=self.dtype, name="root")(x)
        x = _halved(nn.relu(GroupNorm(self.groups, 1e-6, name="group_norm_root")(x)))
        for stage, units in enumerate(self.units):
            middle = self.root * 2**stage
            for i in range(units):
                stride = 2 if stage and i == 0 else 1
                name = f"block{stage + 1}_unit{i + 1}"
                x = Unit(4 * middle, middle, stride, self.groups, self.dtype, name=name)(x)
        return x


class Block(nn.Module):
    """A pre-norm transformer block; dropout twice in its MLP (`key` None: everything kept), none on the attention."""

    heads: int
    mlp: int
    dropout: float
    dtype: DTypeLike | None = None
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch tokens width"], key: Array | None) -> tuple[Array, None]:
        def norm(name: str) -> nn.LayerNorm:
            return nn.LayerNorm(1e-6, use_fast_variance=False, name=name)

        def dense(features: int, name: str) -> Dense:
            return Dense(features, kernel_init=xavier_uniform, bias_init=_tiny_normal, dtype=self.dtype, name=name)

        def drop(y: Array, site: int) -> Array:
            if key is None or self.dropout == 0.0:
                return y
            return drop_rows(y, jax.random.fold_in(key, site), self.dropout, self.axis_name)

        x = x + Attention(self.heads, dtype=self.dtype, name="attention")(norm("layer_norm1")(x))
        y = drop(gelu(dense(self.mlp, "mlp1")(norm("layer_norm2")(x))), 0)
        return x + drop(dense(x.shape[-1], "mlp2")(y), 1), None


class Hybrid(nn.Module):
    """Images to one token a clip: normalise, ResNet, 1x1 projection, transformer, mean over pixels, linear layer.

    Attributes: the geometry (see `conmix_zoo.geometry`), the statistics that the normalisation starts with (dB) and
    `compute`. Needs the rng `dropout` when `mode.dropout`.
    """

    root: int
    units: tuple[int, ...]
    groups: int
    width: int
    depth: int
    heads: int
    mlp: int
    dropout: float
    features: int
    mean: float = 0.0
    deviation: float = 1.0
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch rows columns *channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch 1 features"]:
        """The clip's feature as one token. No statistic couples the batch, so `weights` is not used.

        Args:
          images: (batch, rows, columns) of one channel that stands for three equal ones, or with three channels.
          mode: only `dropout` matters.
          weights: not used.
          axis_name: the mapped axis over which the batch is spread.
        """
        images = images[..., None] if images.ndim == 3 else images
        key = self.make_rng("dropout") if mode.dropout and self.dropout else None
        x = InputNorm(self.mean, self.deviation, name=NAME)(images)
        x = ResNet(self.root, self.units, self.groups, self.compute.dtype, name="resnet")(x)
        x = x.astype(jnp.float32).reshape(x.shape[0], -1, x.shape[-1])
        x = Dense(self.width, dtype=self.compute.dtype, name="embed")(x).astype(jnp.float32)
        if key is not None:
            x = drop_rows(x, jax.random.fold_in(key, self.depth), self.dropout, axis_name)
        x = self._blocks(x, key, axis_name)
        x = nn.LayerNorm(1e-6, use_fast_variance=False, name="layer_norm")(x)
        return Dense(self.features, name="expand")(x.astype(jnp.float32).mean(1, keepdims=True))

    def _blocks(self, x: Array, key: Array | None, axis_name: str | None) -> Array:
        keys = None if key is None else jax.vmap(lambda site: jax.random.fold_in(key, site))(jnp.arange(self.depth))
        sizes: dict[str, Any] = {"heads": self.heads, "mlp": self.mlp, "dropout": self.dropout}
        stack = nn.scan(
            nn.remat(Block, prevent_cse=not self.compute.scan) if self.compute.remat else Block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast if key is None else 0,
            length=self.depth,
            unroll=1 if self.compute.scan else self.depth,
        )
        return stack(**sizes, dtype=self.compute.dtype, axis_name=axis_name, name="blocks")(x, keys)[0]
