"""Convolution and max pooling over (batch, positions, channels), padded as in PyTorch.

On a processor XLA has a fast path for convolutions in the order (batch, positions, channels). It brings others into
that order, those of gradients among them, but not inside a loop (jax-ml/jax#12868), where they take up to a hundred
times as long. So the gradients are written out in that order here: the same operations to the same bits, in loops too.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted

Padding = tuple[tuple[int, int], ...]
"""Zeros before and after along each axis of positions."""

PHASES = 4
"""The most phases, strides multiplied, that a gradient by the inputs is taken apart into."""


def by_xla(
    x: Array,
    kernel: Array,
    strides: Sequence[int],
    padding: Padding,
    spread: Sequence[int] | None = None,
    apart: Sequence[int] | None = None,
) -> Array:
    """XLA's cross-correlation; `spread` and `apart` are the distances at which inputs and taps lie."""
    letters = "DHW"[-len(strides) :]
    dims = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, lhs_dilation=spread, rhs_dilation=apart, dimension_numbers=dims
    )


def _backwards(kernel: Array) -> Array:
    """The kernel that takes features back to channels: taps in reverse, inputs and outputs exchanged."""
    axes = tuple(range(kernel.ndim - 2))
    return jnp.swapaxes(jnp.flip(kernel, axes), -1, -2)


def _by_inputs(sizes: Sequence[int], kernel: Array, dy: Array, strides: Sequence[int], padding: Padding) -> Array:
    """The gradient by the inputs, as one convolution of `dy` with its values `strides` apart, zeros between them."""
    pads = []
    for size, taps, out, stride, (before, _) in zip(sizes, kernel.shape, dy.shape[1:], strides, padding, strict=False):
        first = taps - 1 - before
        pads.append((first, size + before - ((out - 1) * stride + 1)))
    return by_xla(dy, _backwards(kernel), (1,) * len(strides), tuple(pads), spread=strides)


def _by_inputs_in_phases(
    sizes: Sequence[int], kernel: Array, dy: Array, strides: Sequence[int], padding: Padding
) -> Array:
    """The same without the products with zeros: positions of each remainder by the stride have taps of their own."""
    counts = [-(-size // stride) for size, stride in zip(sizes, strides, strict=True)]
    parts = []
    for phase in itertools.product(*map(range, strides)):
        taps, pads = [], []
        for axis, (at, stride, (before, _)) in enumerate(zip(phase, strides, padding, strict=True)):
            ahead, first = divmod(at + before, stride)
            number = len(range(first, kernel.shape[axis], stride))
            taps.append(slice(first, None, stride))
            left = number - 1 - ahead
            pads.append((left, counts[axis] + number - 1 - dy.shape[1 + axis] - left))
        own = kernel[tuple(taps)]
        if 0 in own.shape:
            parts.append(jnp.zeros((dy.shape[0], *counts, kernel.shape[-2]), dy.dtype))
        else:
            parts.append(by_xla(dy, _backwards(own), (1,) * len(strides), tuple(pads)))
    axes = len(strides)
    whole = jnp.stack(parts, -2).reshape(dy.shape[0], *counts, *strides, -1)
    # (batch, counts..., strides..., channels): each axis of strides goes behind its own axis of counts.
    order = [0, *itertools.chain(*((1 + i, 1 + axes + i) for i in range(axes))), 1 + 2 * axes]
    whole = whole.transpose(order).reshape(
        dy.shape[0], *(count * stride for count, stride in zip(counts, strides, strict=True)), -1
    )
    return whole[(slice(None), *(slice(size) for size in sizes))]


def _by_kernel(x: Array, taps: Sequence[int], dy: Array, strides: Sequence[int], padding: Padding) -> Array:
    """The gradient by the kernel: a convolution of the inputs with `dy`, clips in the place of channels."""
    pads = []
    for size, tap, out, stride, (before, _) in zip(x.shape[1:], taps, dy.shape[1:], strides, padding, strict=False):
        pads.append((before, (out - 1) * stride + tap - size - before))
    clips_last = jnp.swapaxes(x, 0, -1)
    found = by_xla(clips_last, jnp.moveaxis(dy, 0, -2), (1,) * len(strides), tuple(pads), apart=strides)
    return jnp.moveaxis(found, 0, -2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _ordered(x: Array, kernel: Array, strides: tuple[int, ...], padding: Padding) -> Array:
    return by_xla(x, kernel, strides, padding)


def _ordered_forward(x: Array, kernel: Array, strides: tuple[int, ...], padding: Padding) -> tuple[Array, tuple]:
    return by_xla(x, kernel, strides, padding), (x, kernel)


def _ordered_backward(strides: tuple[int, ...], padding: Padding, kept: tuple, dy: Array) -> tuple[Array, Array]:
    x, kernel = kept
    sizes, taps = x.shape[1:-1], kernel.shape[:-2]
    apart = x.shape[-1] > 1 and 1 < math.prod(strides) <= PHASES
    by_inputs = _by_inputs_in_phases if apart else _by_inputs
    return by_inputs(sizes, kernel, dy, strides, padding), _by_kernel(x, taps, dy, strides, padding)


_ordered.defvjp(_ordered_forward, _ordered_backward)


def convolve(
    x: Float[Array, "batch *positions channels"],
    kernel: Float[Array, "*taps channels features"],
    strides: tuple[int, ...],
    padding: Padding,
) -> Float[Array, "batch *out features"]:
    """Cross-correlation over one to three axes of positions, with gradients that are fast on a processor.

    Elsewhere XLA's own gradients are taken, which its libraries recognise. Gradients of gradients can be had, forward
    derivatives (`jax.jvp`) on a processor cannot.

    Args:
      x: (batch, positions..., channels).
      kernel: (taps..., channels, features).
      strides: of each axis of positions.
      padding: zeros before and after along each.

    Returns:
      (batch, (size + before + after - taps) // stride + 1..., features).
    """
    return (_ordered if jax.default_backend() == "cpu" else by_xla)(x, kernel, strides, padding)


def conv1d(
    x: Float[Array, "batch time channels"], kernel: Float[Array, "taps channels features"], stride: int, padding: int
) -> Float[Array, "batch out features"]:
    """Cross-correlation over time with `padding` zeros on both sides; 1x1 kernels are matrix products."""
    if kernel.shape[0] == 1 and padding == 0:
        return x[:, ::stride] @ kernel[0]
    return convolve(x, kernel, (stride,), ((padding, padding),))


def conv2d(
    x: Float[Array, "batch rows columns channels"],
    kernel: Float[Array, "down across channels features"],
    stride: int = 1,
) -> Float[Array, "batch out_rows out_columns features"]:
    """Cross-correlation over an image with `taps // 2` zeros on every side; 1x1 kernels are matrix products."""
    if kernel.shape[:2] == (1, 1):
        return x[:, ::stride, ::stride] @ kernel[0, 0]
    around = tuple((taps // 2, taps // 2) for taps in kernel.shape[:2])
    return convolve(x, kernel, (stride, stride), around)


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
