"""One-dimensional convolution and max pooling over (batch, time, channels), padded as in PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted


def conv1d(
    x: Float[Array, "batch time channels"], kernel: Float[Array, "taps channels features"], stride: int, padding: int
) -> Float[Array, "batch out features"]:
    """Cross-correlation over time with `padding` zeros on both sides; 1x1 kernels are matrix products."""
    if kernel.shape[0] == 1 and padding == 0:
        return x[:, ::stride] @ kernel[0]
    dims = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,), [(padding, padding)], dimension_numbers=dims)


def max_pool1d(
    x: Float[Array, "batch time channels"], taps: int, stride: int, padding: int
) -> Float[Array, "batch out channels"]:
    """Largest of `taps` neighbours every `stride` frames, ends padded with -inf.

    An elementwise maximum of shifted copies: its gradient is elementwise too, where that of `reduce_window` is a
    select-and-scatter, which is slow on CPU. Ties share the gradient.

    Raises:
      BadInput: fewer frames than the taps reach, which is a clip too short for the network.
    """
    frames = (x.shape[1] + 2 * padding - taps) // stride + 1
    if frames < 1:
        found = counted(x.shape[1], "frame is", "frames are")
        raise BadInput(f"{found} left for a max pool of {taps}, expected at least {taps - 2 * padding}")
    padded = jnp.pad(x, ((0, 0), (padding, padding), (0, 0)), constant_values=-jnp.inf)
    last = (frames - 1) * stride + 1
    best = padded[:, :last:stride]
    for tap in range(1, taps):
        best = jnp.maximum(best, padded[:, tap : tap + last : stride])
    return best
