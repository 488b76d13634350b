"""Resizing spectrograms, as PyTorch's `interpolate` without antialiasing: bilinear, and bicubic (corners aligned)."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput


def bilinear_places(size: int, wanted: int) -> tuple[Int[np.ndarray, " {wanted}"], Float[np.ndarray, " {wanted}"]]:
    """Where each of `wanted` values lies among `size` ones: the neighbour before it, and how far it is beyond that one.

    Output i lies at `(i + 1/2) size / wanted - 1/2` of the input, moved into [0, size - 1].
    """
    place = np.clip((np.arange(wanted) + 0.5) * (size / wanted) - 0.5, 0, size - 1)
    first = np.minimum(place.astype(int), max(size - 2, 0))
    return first, place - first


@functools.lru_cache
def bilinear_weights(size: int, wanted: int) -> np.ndarray:
    """The matrix (wanted, size) that takes one axis of `size` values to `wanted` ones, float32 on the host.

    Every output is the mean of its two neighbours (see `bilinear_places`), weighted by nearness.

    Args:
      size: values of the input axis.
      wanted: values of the output axis.

    Raises:
      BadInput: a size below 1.
    """
    _check_sizes(size, wanted)
    first, share = bilinear_places(size, wanted)
    weights = np.zeros((wanted, size), np.float32)
    rows = np.arange(wanted)
    weights[rows, first] = 1 - share
    weights[rows, np.minimum(first + 1, size - 1)] += share
    weights.setflags(write=False)
    return weights


@functools.lru_cache
def bicubic_weights(size: int, wanted: int) -> np.ndarray:
    """The matrix (wanted, size) of bicubic interpolation with aligned corners, float32 on the host.

    Output i lies at `i (size - 1) / (wanted - 1)` of the input and weighs its four neighbours by the cubic convolution
    kernel with a = -0.75; neighbours beyond an end are the value at that end. Computed in float64 and rounded once:
    PyTorch computes places and weights in float32 and is itself 2.5e-4 off for 1001 -> 1024 values.

    Args:
      size: values of the input axis.
      wanted: values of the output axis.

    Raises:
      BadInput: a size below 1.

    Source: Keys, IEEE Trans. ASSP 29 (1981), with PyTorch's a.
    """
    _check_sizes(size, wanted)
    place = np.arange(wanted) * (size - 1) / max(wanted - 1, 1)
    first = np.floor(place).astype(int)
    share = place - first
    weights, rows = np.zeros((wanted, size)), np.arange(wanted)
    for tap in range(-1, 3):
        np.add.at(weights, (rows, np.clip(first + tap, 0, size - 1)), _cubic(np.abs(share - tap)))
    weights = weights.astype(np.float32)
    weights.setflags(write=False)
    return weights


def _check_sizes(size: int, wanted: int) -> None:
    if size < 1 or wanted < 1:
        raise BadInput(f"resize: from {size} to {wanted} values, expected at least 1 of each")


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """The cubic convolution kernel at distances from 0 to 2."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, far)


def resize(image: Float[Array, "*batch rows columns"], rows: int, columns: int) -> Float[Array, "*batch new_rows new"]:
    """The image with `rows` and `columns` pixels, `R image C^T` with the matrices of `bilinear_weights`."""
    down = jnp.asarray(bilinear_weights(image.shape[-2], rows))
    across = jnp.asarray(bilinear_weights(image.shape[-1], columns))
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("rm,...mf,cf->...rc", down, image, across, precision=exact)
