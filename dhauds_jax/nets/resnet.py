"""The image networks of TTA-in-AC over log-mel spectrograms: a ResNet with an auxiliary head, a small CNN.

Images are (batch, mels, frames, channels); convolutions have the type of what they are given, BatchNorms and linear
layers are float32. Sources: TTA-in-AC (arXiv 2507.15523), ttt/models and lib/models.py; the
ResNet is that of Sun et al., ICML 2020, arXiv 1909.13231, after He et al., ECCV 2016, arXiv 1603.05027.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from dhauds_jax.nets.convolution import conv2d
from dhauds_jax.nets.heads import LinearHead
from dhauds_jax.nets.layers import BatchNorm, torch_uniform
from dhauds_jax.types import Mode, Variables

_he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")
_he_leaky = nn.initializers.variance_scaling(2.0 / (1 + 0.1**2), "fan_in", "normal")


class Conv2d(nn.Module):
    """A convolution with `taps // 2` zeros on every side, as PyTorch pads it.

    Output sizes are `(size - 1) // stride + 1` for an odd number of taps. `bias_init` None: no bias.
    """

    features: int
    taps: int
    stride: int
    kernel_init: nn.initializers.Initializer
    bias_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "batch mels frames channels"]) -> Float[Array, "batch rows columns features"]:
        kernel = self.param("kernel", self.kernel_init, (self.taps, self.taps, x.shape[-1], self.features))
        y = conv2d(x, kernel.astype(x.dtype), self.stride)
        if self.bias_init is None:
            return y
        return y + self.param("bias", self.bias_init, (self.features,)).astype(x.dtype)[None, None, None]


def average_pool(
    x: Float[Array, "batch mels frames channels"], size: int
) -> Float[Array, "batch rows columns channels"]:
    """Means of squares of `size` side by side; what is left over at the ends is dropped, as in PyTorch."""
    batch, rows, columns, channels = x.shape[0], x.shape[1] // size, x.shape[2] // size, x.shape[3]
    x = x[:, : rows * size, : columns * size]
    return x.reshape(batch, rows, size, columns, size, channels).mean((2, 4))


class PreActivationBlock(nn.Module):
    """`shortcut(x) + conv(relu(norm(conv(relu(norm(x))))))`, 3x3 convolutions without bias.

    Where the shape changes the shortcut is the average over `stride` by `stride` with channels of zeros behind;
    it branches off before the first norm.
    """

    features: int
    stride: int

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch mels frames channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch rows columns features"]:
        norm = functools.partial(BatchNorm, 1e-5)
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        y = nn.relu(norm(name="batch_norm1")(x, **batch))
        y = Conv2d(self.features, 3, self.stride, _he_fan_out, name="conv1")(y)
        y = nn.relu(norm(name="batch_norm2")(y, **batch))
        y = Conv2d(self.features, 3, 1, _he_fan_out, name="conv2")(y)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = average_pool(x, self.stride)
            x = jnp.pad(x, [(0, 0)] * 3 + [(0, self.features - x.shape[-1])])
        return x + y


class Group(nn.Module):
    """`blocks` blocks of one width, the first with the stride."""

    features: int
    blocks: int
    stride: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch mels frames channels"], **batch: Any) -> Float[Array, "batch ..."]:
        for i in range(self.blocks):
            x = PreActivationBlock(self.features, self.stride if i == 0 else 1, name=f"block{i}")(x, **batch)
        return x


class Extractor(nn.Module):
    """The first convolution and all groups but the last: what the classifier and the auxiliary head share."""

    widths: tuple[int, ...]
    blocks: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch mels frames 1"], **batch: Any) -> Float[Array, "batch ..."]:
        x = Conv2d(self.widths[0], 3, 1, _he_fan_out, name="conv")(x)
        for i, width in enumerate(self.widths):
            x = Group(width, self.blocks, 1 if i == 0 else 2, name=f"group{i + 1}")(x, **batch)
        return x


class LastGroup(nn.Module):
    """The last group, BatchNorm, ReLU and the average pool, as tokens in reading order of the pooled image."""

    features: int
    blocks: int
    pool: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch mels frames channels"], **batch: Any
    ) -> Float[Array, "batch tokens features"]:
        x = Group(self.features, self.blocks, 2, name="group")(x, **batch)
        x = average_pool(nn.relu(BatchNorm(1e-5, name="batch_norm")(x, **batch)), self.pool)
        return x.reshape(x.shape[0], -1, self.features)


class ResNet(nn.Module):
    """A pre-activation ResNet of `6 blocks + 2` layers over a log-mel spectrogram, up to its pooled tokens.

    Attributes:
      widths: channels of the groups; all but the first group halve the image.
      blocks: of each group.
      pool: side of the squares that are averaged at the end.
      shares: whether the image before the last group is returned too, for an auxiliary head.
      dtype: of convolutions and of the images between them (None: float32).
    """

    widths: tuple[int, ...]
    blocks: int
    pool: int
    shares: bool
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "batch frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch tokens width"] | tuple[Float[Array, "batch tokens width"], Float[Array, "batch ..."]]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        image = jnp.swapaxes(features, 1, 2)[..., None].astype(self.dtype or features.dtype)
        shared = Extractor(self.widths[:-1], self.blocks, name="extractor")(image, **batch)
        tokens = LastGroup(self.widths[-1], self.blocks, self.pool, name="last_group")(shared, **batch)
        tokens = tokens.astype(features.dtype)
        return (tokens, shared) if self.shares else tokens


class AuxHead(nn.Module):
    """The auxiliary head: a last group of its own and a linear layer over the extractor's image."""

    features: int
    blocks: int
    pool: int
    classes: int

    @nn.compact
    def __call__(
        self,
        shared: Float[Array, "batch rows columns channels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch classes"]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        tokens = LastGroup(self.features, self.blocks, self.pool, name="last_group")(shared, **batch)
        return LinearHead(self.classes, softmax_output=False, name="linear")(tokens.astype(jnp.float32), **batch)[0]

    @staticmethod
    def begun(variables: Variables) -> Variables:
        """Drawn variables with the last group copied from the classifier's, as the reference begins its training."""
        return {
            kind: {**tree, "aux": {**tree["aux"], "last_group": tree["encoder"]["last_group"]}}
            for kind, tree in variables.items()
        }


class SmallCNN(nn.Module):
    """BatchNorm of the spectrogram, strided convolutions with BatchNorm and ReLU, the mean over the image as one token.

    The first convolution has 5x5 taps, the others 3x3. `channels`: of the convolutions; `dtype`: as of `ResNet`.
    """

    channels: tuple[int, ...]
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "batch frames mels"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch 1 width"]:
        batch = {"mode": mode, "weights": weights, "axis_name": axis_name}
        x = BatchNorm(1e-5, name="batch_norm0")(jnp.swapaxes(features, 1, 2)[..., None], **batch)
        x = x.astype(self.dtype or x.dtype)
        for i, width in enumerate(self.channels):
            taps = 5 if i == 0 else 3
            last = i == len(self.channels) - 1  # the reference leaves the last one with PyTorch's defaults
            default = torch_uniform(taps * taps * x.shape[-1])
            inits = (default, default) if last else (_he_leaky, nn.initializers.zeros_init())
            x = Conv2d(width, taps, 2, *inits, name=f"conv{i + 1}")(x)
            x = nn.relu(BatchNorm(1e-5, name=f"batch_norm{i + 1}")(x, **batch))
        return x.astype(features.dtype).mean((1, 2))[:, None]
