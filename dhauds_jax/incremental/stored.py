"""A learner and what it knows, as a checkpoint's `extra["learner"]` holds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from dhauds_jax import schemas
from dhauds_jax.errors import BadInput
from dhauds_jax.incremental.rooms import Clip, Learned, Rows
from dhauds_jax.types import Learner, LearnerInfo, Variables

SCHEMA = schemas.Schema(1)
"""Of a learner in a checkpoint."""


def to_extra(learned: Learned, backbone: str) -> dict[str, Any]:
    """The record: what JSON holds, and arrays.

    Args:
      learned: the learner and what it knows.
      backbone: the hash of the network that it reads.
    """
    leaves = [_as_array(leaf) for leaf in jax.tree.leaves(learned.state)]
    return {
        **schemas.stamp(SCHEMA),
        "name": learned.name,
        "options": dict(learned.options),
        "head": learned.head,
        "seed": learned.seed,
        "room": {name: value if np.isscalar(value) else list(value) for name, value in learned.info._asdict().items()},
        "classes": list(learned.classes),
        "backbone": backbone,
        "clips": [list(clip) for clip in learned.clips],
        "rows": learned.rows._asdict(),
        "state": {f"{place:04d}": leaf for place, leaf in enumerate(leaves) if leaf.size},
    }


def from_extra(
    entry: Mapping[str, Any], learner_of: Callable[[str, Mapping[str, Any]], Learner], variables: Variables
) -> Learned:
    """The learner that a record holds.

    Args:
      entry: of `to_extra`.
      learner_of: `(name, options) -> learner`, compiled.
      variables: of the network that it reads.

    Raises:
      BadInput: a damaged record, one that a newer version wrote, or a learner or an option that there is no more.
    """
    try:
        entry = schemas.migrated(entry, SCHEMA, "the checkpoint's learner")
        room = {**entry["room"], "shape": tuple(entry["room"]["shape"])}
        info = LearnerInfo(**room)
        learner = learner_of(entry["name"], entry["options"])
        rows = Rows(**{name: np.asarray(entry["rows"][name]) for name in Rows._fields})
        state = learner.init(variables, info, jax.random.key(entry["seed"]))
        leaves, tree = jax.tree.flatten(state)
        found = [_restored(leaf, entry["state"].get(f"{place:04d}")) for place, leaf in enumerate(leaves)]
        clips = tuple(Clip(*clip) for clip in entry["clips"])
        about = (entry["name"], entry["options"], entry["head"], entry["seed"])
        return Learned(
            *about, learner, variables, info, tuple(entry["classes"]), jax.tree.unflatten(tree, found), rows, clips
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise BadInput(
            f"the checkpoint's learner is damaged ({type(error).__name__}: {error}), expected one of experiments.learn"
        ) from error


def _as_array(leaf: Any) -> np.ndarray:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(jax.device_get(leaf))


def _restored(leaf: Any, stored: np.ndarray | None) -> Any:
    """A leaf of the state as it was stored; those without a number are not."""
    if stored is None:
        if np.size(leaf):
            raise KeyError("state")
        return leaf
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(np.asarray(stored))
    stored = np.asarray(stored)
    if stored.shape != leaf.shape or stored.dtype != leaf.dtype:
        raise TypeError(f"{stored.dtype} {stored.shape} in place of {leaf.dtype} {leaf.shape}")
    return stored
