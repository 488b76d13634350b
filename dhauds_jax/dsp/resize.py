"""Resizing spectrograms as images: bilinear, as PyTorch's `interpolate` without antialiasing (align_corners off)."""

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
    if size < 1 or wanted < 1:
        raise BadInput(f"resize: from {size} to {wanted} values, expected at least 1 of each")
    first, share = bilinear_places(size, wanted)
    weights = np.zeros((wanted, size), np.float32)
    rows = np.arange(wanted)
    weights[rows, first] = 1 - share
    weights[rows, np.minimum(first + 1, size - 1)] += share
    weights.setflags(write=False)
    return weights


def resize(image: Float[Array, "*batch rows columns"], rows: int, columns: int) -> Float[Array, "*batch new_rows new"]:
    """The image with `rows` and `columns` pixels, `R image C^T` with the matrices of `bilinear_weights`."""
    down = jnp.asarray(bilinear_weights(image.shape[-2], rows))
    across = jnp.asarray(bilinear_weights(image.shape[-1], columns))
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum("rm,...mf,cf->...rc", down, image, across, precision=exact)
