"""Embeddings of a cell's clips before and after adaptation, and how well they keep the classes apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax import metrics
from dhauds_jax.cells.targets import Target
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.parallel import writes
from dhauds_jax.tta import protocols
from dhauds_jax.types import AdaptState, Batch, Variables

CLIPS = 500
"""At most; more clips are thinned evenly."""


def rows_of(clips: int) -> np.ndarray:
    """The rows that are looked at."""
    return np.unique(np.linspace(0, clips - 1, min(clips, CLIPS)).astype(int))


def groups_of(labels: np.ndarray, classes: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """A group a clip and the groups' names: its class or, for clips with several labels, the set of its classes.

    Raises:
      BadInput: fewer than two groups, or a group for every clip: they have no silhouette.
    """
    if np.ndim(labels) == 2:
        sets, group = np.unique(np.asarray(labels) > 0, axis=0, return_inverse=True)
        names = ["+".join(classes[c] for c in np.flatnonzero(row)) or "none" for row in sets]
    else:
        found, group = np.unique(labels, return_inverse=True)
        names = [classes[c] for c in found]
    if not 2 <= len(names) < len(labels):
        raise BadInput(
            f"--embeddings: {len(labels)} clips have {len(names)} different labels, expected at least two labels and "
            "some that several clips share; leave the flag out"
        )
    return group.ravel(), names


def keep(
    path: Path,
    observe: Callable[[AdaptState, Batch], Any],
    classes: Sequence[str],
    weights: tuple[Variables, Variables],
    target: Target,
    batch_size: int,
) -> dict[str, list[float]]:
    """Stores the embeddings of up to `CLIPS` clips and returns what the record says of them.

    `silhouette` is of the inputs of the last linear layer, which are stored; `silhouette_tokens` of the encoder's
    flattened tokens, as DHAuDS has it: each before and after. Networks run in evaluation mode, whatever statistics the
    method itself predicts with, on the draw whose numbers are reported.

    Args:
      path: of the npz: before, after (clips, features), labels (clips,), classes, silhouette.
      observe: of the network, as `Programs.embeddings` makes it.
      classes: their names.
      weights: before and after adaptation.
      target: the corrupted set.
      batch_size: clips in a forward pass.

    Raises:
      BadInput: labels that have no silhouette.
    """
    rows = rows_of(len(target.waves))
    group, names = groups_of(target.labels[rows], classes)
    waves = (target.waves if target.evaluation is None else target.evaluation)[rows]
    stored, scores, of_tokens = [], [], []
    for variables in weights:
        state = AdaptState(variables, (), (), np.int32(0))
        embedding, tokens = protocols.evaluate(observe, state, waves, batch_size)
        stored.append(np.asarray(embedding, np.float32))
        scores.append(metrics.silhouette(embedding, group))
        of_tokens.append(metrics.silhouette(tokens, group))
    arrays = {"before": stored[0], "after": stored[1], "labels": group, "classes": np.array(names)}
    if writes():
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays, silhouette=np.array(scores)))
    return {"silhouette": scores, "silhouette_tokens": of_tokens}
