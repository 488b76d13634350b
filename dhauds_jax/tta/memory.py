"""Clips kept in a method's memory: fixed shapes, filled slot by slot, never with a padded row.

Which clip goes where is decided over labels alone (a scan over a batch's rows); the waves are then moved at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.types import Classifier

EMPTY = -1
"""The label of a slot that holds nothing."""

KEEP = -1
"""The origin of a slot that keeps its clip; other origins are rows of the batch."""


def check_sizes(name: str, capacity: int, every: int) -> None:
    """Raises `BadInput` that names the method when the memory or the rhythm of its updates is impossible."""
    for option, value in (("capacity", capacity), ("every", every)):
        if value < 1:
            raise BadInput(f"{name}: {option} is {value}, expected at least 1 clip")


def empty_waves(
    classifier: Classifier, capacity: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "{capacity} time"]:
    """Room for `capacity` clips of the classifier's length (`config.length`, samples)."""
    return jnp.zeros((capacity, classifier.config.length), dtype)


def empty_labels(capacity: int) -> Int[Array, " {capacity}"]:
    """Labels of slots that hold nothing yet."""
    return jnp.full((capacity,), EMPTY, jnp.int32)


def per_class(labels: Int[Array, " slots"], classes: int) -> Int[Array, " {classes}"]:
    """How many slots hold each class; empty slots count for none."""
    return (labels[:, None] == jnp.arange(classes)[None]).sum(0)


def random_slot(key: PRNGKeyArray, among: Bool[Array, " slots"]) -> Int[Array, ""]:
    """One of the slots of `among`, each as likely."""
    return jnp.argmax(jnp.where(among, jax.random.uniform(key, among.shape, jnp.float32), -1.0)).astype(jnp.int32)


def moved_in(
    name: str, waves: Float[Array, "slots time"], batch: Array, origin: Int[Array, " slots"]
) -> Float[Array, "slots time"]:
    """The memory after its slots took the batch's rows `origin` (`KEEP`: as before).

    Raises:
      BadInput: the batch's clips are not as long as the memory's.
    """
    if batch.shape[1:] != waves.shape[1:]:
        raise BadInput(
            f"method {name} keeps clips of {waves.shape[1]} samples (the classifier's config.length), "
            f"but the batch has rows of shape {batch.shape[1:]}: cut or pad the clips to that length"
        )
    return jnp.where((origin == KEEP)[:, None], waves, batch[jnp.maximum(origin, 0)])


def filled_by(
    decide: Callable[[Any, Any], tuple[Any, Int[Array, ""]]],
    state: Any,
    rows: Any,
    weights: Float[Array, " batch"],
    capacity: int,
) -> tuple[Any, Int[Array, " {capacity}"]]:
    """Offers a batch's real rows to a memory, one after the other.

    Args:
      decide: `(state, row) -> (state, slot)`, slot in 0 to `capacity`; `capacity` itself refuses the row.
      state: what `decide` knows of the memory, a pytree.
      rows: pytree of (batch, ...), what `decide` may know of each row.
      weights: (batch,) 0 for rows that are not offered at all.
      capacity: slots of the memory.

    Returns:
      the state after the batch, and the row of the batch that each slot took last (`KEEP`: none).
    """

    def offer(carry: tuple[Any, Array], row: tuple[Any, Array, Array]) -> tuple[tuple[Any, Array], None]:
        before, origin = carry
        known, weight, position = row
        after, slot = decide(before, known)
        real = weight > 0
        after = jax.tree.map(lambda new, old: jnp.where(real, new, old), after, before)
        slot = jnp.where(real, slot, capacity)
        # A slot beyond the end is dropped: that is how a refusal is written.
        return (after, origin.at[slot].set(position, mode="drop")), None

    positions = jnp.arange(weights.shape[0], dtype=jnp.int32)
    start = (state, jnp.full((capacity,), KEEP, jnp.int32))
    (state, origin), _ = jax.lax.scan(offer, start, (rows, weights, positions))
    return state, origin


def update_due(seen: Int[Array, ""], arriving: Int[Array, ""], every: Int[Array, ""]) -> Bool[Array, ""]:
    """Whether a multiple of `every` clips is reached by the `arriving` ones."""
    return (seen + arriving) // every > seen // every
