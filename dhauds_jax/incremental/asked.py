"""Clips that a learner is asked about after every session: what stays of their predictions is computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.types import Learner, LearnerState

Take = Callable[[Int[np.ndarray, " some"]], Float[np.ndarray, "some ..."]]
"""What is read of clips, by their places among those that are asked about."""


class Asked:
    """Predicts the same clips again and again, in batches of one shape, each clip by itself.

    Of a learner whose predictions have parts that stay (`Learner.part`) each part of a clip is made once and held here,
    (1 + max_sessions, features) numbers a clip. It holds for one course with one network, whose sessions follow each
    other.

    Args:
      learner: compiled.
      clips: how many there are.
      sessions: the most there can be.
      batch_size: clips that are predicted at once.
    """

    def __init__(self, learner: Learner, clips: int, sessions: int, batch_size: int) -> None:
        self._learner, self._sessions, self._size = learner, sessions, batch_size
        self._done, self._parts = np.zeros(clips, int), None

    def logits(
        self, state: LearnerState, take: Take, heads: Sequence[str], count: int | None = None
    ) -> dict[str, Float[np.ndarray, "clips max_classes"]]:
        """What the heads say, float64, of all clips or of the first `count`; the others then come later."""
        clips = len(self._done) if count is None else count
        found: dict[str, list[np.ndarray]] = {head: [] for head in heads}
        for first in range(0, clips, self._size):
            some = np.arange(first, min(first + self._size, clips))
            full = np.resize(some, self._size)
            if self._learner.part is None or self._learner.predict_parts is None:
                said = self._learner.predict(state, take(full))
            else:
                said = self._learner.predict_parts(state, self._made(state, take, some, full))
            for head in heads:
                found[head].append(np.asarray(said[head], np.float64)[: len(some)])
        return {head: np.concatenate(parts) for head, parts in found.items()}

    def _made(
        self, state: LearnerState, take: Take, some: Int[np.ndarray, " some"], full: Int[np.ndarray, " size"]
    ) -> Float[np.ndarray, "size parts features"]:
        """The parts of some clips up to the last session, filled up to a batch."""
        known, done = int(state.session) + 1, int(self._done[some].min())
        inputs = take(full) if done < known else None
        for number in range(done, known):
            part = np.asarray(self._learner.part(state, inputs, np.int32(number)))
            if self._parts is None:
                shape = (len(self._done), 1 + self._sessions, *part.shape[1:])
                self._parts = np.zeros(shape, part.dtype)
            self._parts[some, number] = part[: len(some)]
        self._done[some] = known
        return self._parts[full]
