"""Rows of a batch that is spread over devices, for what cannot be written as a sum over rows (neighbours, memories)."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array, Shaped


def whole_batch(rows: Any, axis_name: str | None) -> Any:
    """All rows of the batch, in device order, from each device's own: a pytree of (rows, ...) arrays.

    Sums over the batch go through `types.total`, which is cheaper; gradients must not flow through this.
    """
    if axis_name is None:
        return rows
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, tiled=True), rows)


def own_rows(whole: Shaped[Array, "batch *rest"], count: int, axis_name: str | None) -> Shaped[Array, "{count} *rest"]:
    """This device's `count` rows of the whole batch: the inverse of `whole_batch`."""
    if axis_name is None:
        return whole
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(axis_name) * count, count)
