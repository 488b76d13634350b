"""VGGish: a VGG over the log-mel examples of a clip, and what its published embeddings go through afterwards.

Activations are (examples, frames, bands, channels). Sources: Hershey et al., ICASSP 2017, arXiv 1609.09430; google's
AudioSet models, vggish; harritaylor/torchvggish.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt8

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import winograd
from dhauds_jax.nets.convolution import conv2d
from dhauds_jax.nets.layers import BatchNorm, Dense, torch_uniform
from dhauds_jax.types import Mode

LEAST_CHANNELS = 16
"""Fewer are convolved directly."""


def max_pool2x2(
    x: Float[Array, "batch rows columns channels"],
) -> Float[Array, "batch half_rows half_columns channels"]:
    """Largest of squares of 2 by 2, by elementwise maxima, whose gradient is elementwise too (`max_pool1d`)."""
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


class Conv3x3(nn.Module):
    """A convolution with bias that keeps the image's size, with PyTorch's default initialisation.

    `pool` takes the largest of every square of 2 by 2 outputs; `convolution` as of `VGGish`.
    """

    features: int
    pool: bool
    convolution: str

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns channels"]
    ) -> Float[Array, "batch out_rows out_columns features"]:
        init = torch_uniform(9 * x.shape[-1])
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features)).astype(x.dtype)
        bias = self.param("bias", init, (self.features,))
        if self.convolution == "winograd" and x.shape[-1] >= LEAST_CHANNELS and x.dtype == jnp.float32:
            y = winograd.pooled_conv3x3(x, kernel) if self.pool else winograd.conv3x3(x, kernel)
        else:
            y = max_pool2x2(conv2d(x, kernel)) if self.pool else conv2d(x, kernel)
        return y + jnp.broadcast_to(bias.astype(x.dtype), y.shape)


class VGGish(nn.Module):
    """Stages of 3x3 convolutions and a halving of the image each, then linear layers: an embedding an example.

    Attributes:
      widths: channels of the stages.
      convs: convolutions of each stage.
      dense: outputs of the linear layers, ReLUs between them.
      final_relu: whether a ReLU follows the last one: torchvggish's embeddings are after it, Google's, to which the
        published PCA was fitted, before it (torchvggish#24).
      batch_norm: whether a BatchNorm follows every convolution (ours; its statistics are over clips and examples).
      dtype: of the products and the images between them (None: float32); the embedding is float32.
      convolution: "direct", or "winograd" (`nets.winograd`; float32 alone): on a CPU forward passes and gradients are
        cheaper by a third, but each shape takes some seconds longer to compile, so it is for long runs.
    """

    widths: tuple[int, ...]
    convs: tuple[int, ...]
    dense: tuple[int, ...]
    final_relu: bool
    batch_norm: bool
    dtype: DTypeLike | None = None
    convolution: str = "direct"

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "batch examples frames bands"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
    ) -> Float[Array, "batch examples width"]:
        batch, count = features.shape[:2]
        x = features.reshape(-1, *features.shape[2:], 1).astype(self.dtype or features.dtype)
        number = 0
        for width, convs in zip(self.widths, self.convs, strict=True):
            for i in range(convs):
                number += 1
                last = i == convs - 1
                # Bias and ReLU keep an order, a BatchNorm may not: what is pooled first is four times cheaper.
                x = Conv3x3(width, last and not self.batch_norm, self.convolution, name=f"conv{number}")(x)
                if self.batch_norm:
                    clips = x.reshape(batch, count, *x.shape[1:])
                    norm = BatchNorm(1e-5, name=f"batch_norm{number}")
                    x = norm(clips, mode=mode, weights=weights, axis_name=axis_name).reshape(x.shape)
                    x = max_pool2x2(x) if last else x
                x = nn.relu(x)
        x = x.reshape(batch, count, -1)
        for i, width in enumerate(self.dense):
            x = Dense(width, dtype=self.dtype, name=f"dense{i + 1}")(x)
            x = nn.relu(x) if self.final_relu or i < len(self.dense) - 1 else x
        return x.astype(features.dtype)


def principal_components(
    embedding: Float[np.ndarray | Array, "examples width"],
    eigen_vectors: Float[np.ndarray | Array, "width width"],
    means: Float[np.ndarray | Array, "width *1"],
) -> Float[np.ndarray, "examples width"]:
    """What AudioSet's embeddings go through first: `eigen_vectors @ (embedding - means)`, in float64 on the host.

    Args:
      embedding: (examples, width); AudioSet's are those before the last ReLU.
      eigen_vectors: (width, width), rows are components.
      means: (width,) or (width, 1).
    """
    centred = np.asarray(embedding, np.float64) - np.asarray(means, np.float64).reshape(1, -1)
    return centred @ np.asarray(eigen_vectors, np.float64).T


def quantised(
    components: Float[np.ndarray | Array, "examples width"], rule: str = "nearest"
) -> UInt8[np.ndarray, "examples width"]:
    """The components as 8-bit levels, 0 for -2 and below, 255 for 2 and above.

    Args:
      components: (examples, width), of `principal_components`.
      rule: "nearest" level, torchvggish's, or the one "below", AudioSet's.

    Raises:
      BadInput: another rule.
    """
    if rule not in ("nearest", "below"):
        raise BadInput(f"quantised: rule is {rule!r}, expected 'nearest' or 'below'")
    levels = (np.clip(np.asarray(components, np.float64), -2.0, 2.0) + 2.0) * (255.0 / 4.0)
    return (np.rint(levels) if rule == "nearest" else np.floor(levels)).astype(np.uint8)
