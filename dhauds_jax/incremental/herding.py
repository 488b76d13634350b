"""Which clips of each class are kept: iCaRL's herding."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows

EQUAL = 1e-6
"""Squared distances of unit vectors that differ by less differ by rounding."""


class Herd(NamedTuple):
    """The chosen clips.

    Attributes:
      rows: (max_classes, count) positions in what was chosen from, in the order of choice.
      weights: (max_classes, count) 1 for a clip, 0 where the class has no more; `rows` is 0 there.
    """

    rows: Int[Array, "max_classes count"]
    weights: Float[Array, "max_classes count"]


def herding(
    vectors: Float[Array, "rows width"],
    labels: Int[Array, " rows"],
    weights: Float[Array, " rows"],
    *,
    max_classes: int,
    count: int,
    ids: Int[Array, " rows"] | None = None,
) -> Herd:
    """`count` clips of each class, one after the other, whose mean stays nearest to the mean of all.

    With unit vectors v of a class and their mean mu, the k-th choice is

        p_k = argmin_{v not chosen} | mu - (v + p_1 + ... + p_{k-1}) / k |,

    of equal ones (as both of two clips are) the one of the lowest id; `count` 1 gives the clip nearest to the mean. The
    mean is not brought to length 1.

    Args:
      vectors: (rows, width) embeddings of any length.
      labels: (rows,) classes.
      weights: (rows,) 1 for a clip, 0 for padding, which is never chosen.
      max_classes: room for classes.
      count: clips of each class.
      ids: (rows,) numbers of the clips; None: their positions.

    Source: Rebuffi et al. 2017, iCaRL (arXiv 1611.07725), algorithm 4; YongjieSi/EDE, models/base.py:426-448.
    """
    real = weights > 0
    mine = (labels[None] == jnp.arange(max_classes)[:, None]) & real[None]
    unit = jnp.where(real[:, None], unit_rows(vectors), 0.0)
    number = jnp.maximum(mine.sum(1), 1)[:, None]
    mean = jnp.matmul(mine.astype(unit.dtype), unit, precision="highest") / number
    safe = jnp.clip(labels, 0, max_classes - 1)
    ids = jnp.arange(len(labels)) if ids is None else ids
    total, free, rows, filled = jnp.zeros_like(mean), real, [], []
    for k in range(1, count + 1):
        distance = jnp.square(mean[safe] - (unit + total[safe]) / k).sum(-1)
        distances = jnp.where(mine & free[None], distance[None], jnp.inf)
        least = distances.min(1, keepdims=True)
        equal = distances <= least + EQUAL
        chosen = jnp.where(equal, ids[None], jnp.iinfo(ids.dtype).max).argmin(1)
        there = jnp.isfinite(least[:, 0])
        total = total + jnp.where(there[:, None], unit[chosen], 0.0)
        taken = jax.nn.one_hot(chosen, len(labels), dtype=bool) & there[:, None]
        free = free & ~taken.any(0)
        rows.append(jnp.where(there, chosen, 0))
        filled.append(there)
    if not count:
        return Herd(jnp.zeros((max_classes, 0), jnp.int32), jnp.zeros((max_classes, 0)))
    return Herd(jnp.stack(rows, 1).astype(jnp.int32), jnp.stack(filled, 1).astype(jnp.float32))
