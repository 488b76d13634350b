"""Labelled rows that a learner keeps, in a room of fixed size: free places have weight 0 and hold zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from dhauds_jax.types import LearnerInfo, Shots

EIGHTHS = (1, 2, 4, 6, 8)
"""Parts of a room, in eighths, of which the least that holds all rows is computed on (`of_those`)."""

SMALLEST = 32
"""Rows of a room that is not divided."""


class KeptRows(NamedTuple):
    """Rows of sessions so far, those that are there in the order in which they came.

    Attributes:
      inputs: (room, ...) of each row what the learner reads.
      labels: (room,) its class.
      weights: (room,) 1 where there is a row, 0 where there is none.
      clip: (room,) its position in its set, -1 where there is none.
    """

    inputs: Array
    labels: Int[Array, " room"]
    weights: Float[Array, " room"]
    clip: Int[Array, " room"]


def empty(info: LearnerInfo, room: int) -> KeptRows:
    """No rows, and room for so many of the shape that `info` says."""
    return KeptRows(
        jnp.zeros((room, *info.shape), jnp.float32),
        jnp.zeros(room, jnp.int32),
        jnp.zeros(room, jnp.float32),
        jnp.full(room, -1, jnp.int32),
    )


def added(kept: KeptRows, rows: Shots | KeptRows) -> KeptRows:
    """With more rows, in the first free places; what has no room is lost, so whoever calls sees to it that there is."""
    both = packed(KeptRows(*(jnp.concatenate(pair) for pair in zip(kept, as_kept(rows)))))
    return KeptRows(*(leaf[: len(kept.weights)] for leaf in both))


def packed(kept: KeptRows) -> KeptRows:
    """The rows first, in their order, then the free places."""
    order = jnp.argsort(-kept.weights, stable=True)
    return KeptRows(*(leaf[order] for leaf in kept))


def of_those(kept: KeptRows, found: Callable[[KeptRows], Any]) -> Any:
    """`found` of the rows that are there, computed on the least part of the room that holds them.

    Args:
      kept: packed.
      found: the same of rows in a small room and in a large one, of shapes that do not depend on the room.
    """
    room = len(kept.weights)
    sizes = sorted({-(-room * part // EIGHTHS[-1]) for part in EIGHTHS})
    sizes = [size for size in sizes if size >= SMALLEST] or [room]
    count = _largest((kept.weights > 0).sum().astype(jnp.int32))
    parts = [lambda rows, size=size: found(KeptRows(*(leaf[:size] for leaf in rows))) for size in sizes]
    return jax.lax.switch((count > jnp.asarray(sizes[:-1], jnp.int32)).sum(), parts, kept)


@jax.custom_batching.custom_vmap
def _largest(count: Int[Array, ""]) -> Int[Array, ""]:
    """The number; of many at once the largest, so that one branch serves all and not every branch each."""
    return count


@_largest.def_vmap
def _largest_of(axis_size: int, in_batched: list[bool], count: Array) -> tuple[Array, bool]:
    return (count.max() if in_batched[0] else count), False


def as_kept(rows: Shots | KeptRows) -> KeptRows:
    """Rows of a session, nothing left of what stands in free places."""
    return masked(KeptRows(rows.inputs, rows.labels, rows.weights, rows.clip), rows.weights > 0)


def masked(kept: KeptRows, stays: Bool[Array, " room"]) -> KeptRows:
    """With those rows alone that stay, in their places."""
    inputs = jnp.where(stays.reshape(-1, *[1] * (kept.inputs.ndim - 1)), kept.inputs, 0).astype(jnp.float32)
    labels, clip = jnp.where(stays, kept.labels, 0), jnp.where(stays, kept.clip, -1)
    return KeptRows(inputs, labels.astype(jnp.int32), stays.astype(jnp.float32), clip.astype(jnp.int32))


def without(kept: KeptRows, which: Int[Array, ""]) -> KeptRows:
    """Without the rows of one class, the others packed."""
    return packed(masked(kept, (kept.weights > 0) & (kept.labels != which)))


def joined(kept: KeptRows, other: KeptRows, labels: Int[Array, " max_classes"]) -> KeptRows:
    """With another's rows, whose classes are called what `labels` says."""
    return added(kept, other._replace(labels=labels[other.labels]))


def members(labels: Int[Array, " rows"], weights: Float[Array, " rows"], classes: int, dtype: Any) -> Array:
    """(rows, classes): 1 where a row is of a class; rows of weight 0 are of none."""
    same = labels[:, None] == jnp.arange(classes)[None]
    return (same & (weights[:, None] > 0)).astype(dtype)


def counts(kept: KeptRows, classes: int) -> Float[Array, " classes"]:
    """Rows of each class."""
    return members(kept.labels, kept.weights, classes, jnp.float32).sum(0)


def nearest(kept: KeptRows, row: Array, label: Int[Array, ""]) -> Int[Array, ""]:
    """Place of the kept row of that class that is nearest: of a row that is kept, its own."""
    distance = jnp.square(kept.inputs - row[None]).sum(1)
    return jnp.argmin(jnp.where((kept.labels == label) & (kept.weights > 0), distance, jnp.inf))


def nbytes(kept: KeptRows) -> int:
    """Of the rows that are there, their labels included; on the host."""
    real = int(np.asarray(kept.weights).sum())
    return real * (int(np.prod(kept.inputs.shape[1:])) * kept.inputs.dtype.itemsize + 4)
