"""Nearest neighbours in the embedding space, of a batch or of a whole set, in fixed shapes."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

BLOCK = 256
"""Rows whose distances to all others are held at once."""


class Neighbours(NamedTuple):
    """A graph over rows as fixed-size lists.

    Attributes:
      index: (rows, k) the neighbours of each row, nearest first.
      counts: (rows, k) 1 where the place holds a neighbour, 0 where it is to be left out.
    """

    index: Int[Array, "rows k"]
    counts: Float[Array, "rows k"]


def of_unit_length(rows: Float[Array, "*rows features"]) -> Float[Array, "*rows features"]:
    """Rows divided by their L2 lengths; rows of zeros stay."""
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


@functools.partial(jax.jit, static_argnames=("k", "mutual"))
def nearest(
    features: Float[Array, "rows features"],
    k: int,
    weights: Float[Array, " rows"] | None = None,
    mutual: bool = False,
) -> Neighbours:
    """The `k` real rows nearest to each row by Euclidean distance, itself left out.

    Args:
      features: (rows, features) embeddings.
      k: neighbours of a row, at least 1; with fewer other rows, all of them.
      weights: (rows,) 0 for padded rows, which are nobody's neighbours and have none.
      mutual: keep only pairs that are each other's neighbours.
    """
    rows = features.shape[0]
    real = jnp.ones(rows, bool) if weights is None else weights > 0
    squares = jnp.square(features).sum(-1)
    places = max(min(k, rows - 1), 1)  # a single row has one place, which stays empty

    def row(i: Array) -> tuple[Array, Array]:
        # |a - b|^2 up to |a|^2, which all b share; full precision, for near neighbours differ in the last digits.
        gap = squares - 2 * jnp.dot(features, features[i], precision="highest")
        gap = jnp.where(real & (jnp.arange(rows) != i), gap, jnp.inf)
        closeness, index = jax.lax.top_k(-gap, places)
        return index, jnp.isfinite(closeness) & real[i]

    index, found = jax.lax.map(row, jnp.arange(rows), batch_size=min(BLOCK, rows))
    if mutual:
        back = (index[index] == jnp.arange(rows)[:, None, None]) & found[index]
        found = found & back.any(-1)
    return Neighbours(index, found.astype(features.dtype))


def summed(values: Float[Array, "rows classes"], graph: Neighbours) -> Float[Array, "rows classes"]:
    """Sum of the neighbours' values of each row."""
    return jnp.einsum("rk,rkc->rc", graph.counts, values[graph.index])


def mean(values: Float[Array, "rows classes"], graph: Neighbours) -> Float[Array, "rows classes"]:
    """Mean of the neighbours' values of each row; 0 for rows without any."""
    return summed(values, graph) / jnp.maximum(graph.counts.sum(-1, keepdims=True), 1.0)
