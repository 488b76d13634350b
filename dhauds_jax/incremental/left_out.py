"""What a learner says of its own shots, each as if it had not been learnt: the only honest forecast that shots give."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.incremental.rooms import ROWS, Learned, doubled, padded, relearnt
from dhauds_jax.types import LearnerState, Shots

MOST_FOLDS = 10
"""Relearnings at most, where there is no closed form."""


def folds(
    labels: Int[np.ndarray, " clips"], clips: Int[np.ndarray, " clips"], most: int = MOST_FOLDS
) -> Int[np.ndarray, " rows"]:
    """The fold of each row: the j-th clip of every class is in fold j, modulo `most`; windows stay with their clip.

    Args:
      labels: (rows,) class of each row.
      clips: (rows,) clip of each row.
      most: folds at most.
    """
    found = np.zeros(len(labels), int)
    for label in np.unique(labels):
        mine = labels == label
        _, place = np.unique(clips[mine], return_inverse=True)
        found[mine] = place % most
    return found


def by_relearning(
    relearn: Callable[[Float[np.ndarray, " rows"]], LearnerState],
    predict: Callable[[LearnerState], Float[np.ndarray, "rows max_classes"]],
    fold: Int[np.ndarray, " rows"],
) -> Float[np.ndarray, "rows max_classes"]:
    """Logits of all rows, those of a fold by a learner that has seen the other folds alone.

    Args:
      relearn: `kept -> state`, all sessions anew with the rows whose `kept` is 1.
      predict: `state -> logits` of all rows.
      fold: (rows,) of each row; -1 is never left out, and its rows have no logits.
    """
    out = None
    for number in np.unique(fold[fold >= 0]):
        held = fold == number
        logits = np.asarray(predict(relearn((~held).astype(np.float32))), np.float64)
        out = np.full(logits.shape, -np.inf) if out is None else out
        out[held] = logits[held]
    return out


class LeftOut(NamedTuple):
    """What a learner says of its own clips.

    Attributes:
      logits: (windows, max_classes), each window's as if its clip had been left out.
      labels: (windows,) places in the room.
      owner: (windows,) numbers of clips.
      how: in words.
    """

    logits: Float[np.ndarray, "windows max_classes"]
    labels: Int[np.ndarray, " windows"]
    owner: Int[np.ndarray, " windows"]
    how: str


def held_out(learned: Learned) -> LeftOut:
    """Each clip as if it had been left out; those of classes with no other clip are not among them.

    By the learner's closed form where each clip is one window, else all sessions are learnt again without the j-th clip
    of every class, for each j.
    """
    rows, learner = learned.rows, learned.learner
    _, windows = np.unique(rows.clip, return_counts=True)
    counts = {label: len(np.unique(rows.clip[rows.labels == label])) for label in np.unique(rows.labels)}
    real = np.array([bool(learned.clips[clip].digest) for clip in rows.clip], bool)
    judged = real & np.array([counts[label] > 1 for label in rows.labels], bool)
    if not judged.any():
        nothing = np.zeros(0, np.int32)
        return LeftOut(np.zeros((0, learned.info.max_classes)), nothing, nothing, "no class has two clips")
    size = doubled(ROWS, len(rows.labels))
    if learner.held_out is not None and windows.max() == 1 and rows.weights.min() == 1:
        shots = Shots(*(padded(values, size) for values in (*rows[:3], np.zeros_like(rows.weights), rows.clip)))
        found = learner.held_out(learned.state, shots)[learned.head]
        logits, how = np.asarray(found, np.float64)[: len(rows.labels)], "one clip left out at a time"
    else:
        fold = np.where(judged, folds(rows.labels, rows.clip), -1)
        inputs = padded(rows.inputs, size)

        def predict(state: LearnerState) -> np.ndarray:
            return np.asarray(learner.predict(state, inputs)[learned.head])[: len(rows.labels)]

        logits = by_relearning(lambda kept: relearnt(learned, kept), predict, fold)
        how = f"a clip of each class left out, {len(set(fold[judged].tolist()))} times"
    return LeftOut(logits[judged], rows.labels[judged], rows.clip[judged], how)
