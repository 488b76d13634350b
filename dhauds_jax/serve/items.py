"""One request on its way through the queue, and the batches that its windows are computed in."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dhauds_jax.serve.contracts import Answer, NotFinite

FULL_SCALE = 32_768.0
"""What int16 samples are divided by."""


class Item(NamedTuple):
    """One request.

    Attributes:
      waves: (windows, length), at least one window, int16 or float32.
      session: whose state answers; "" is the source model.
      deadline: of the batcher's clock, in seconds; what is not computed by then fails as `Late`.
      future: gets the `Answer`; cancel it, and nothing more is computed of the item.
    """

    waves: np.ndarray
    session: str
    deadline: float
    future: Future


@dataclass(eq=False)
class Queued:
    """An item in the queue, with what is computed of it so far."""

    item: Item
    arrived: float
    done: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    batch: int = 0
    parts: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Rows that are not computed yet."""
        return len(self.item.waves) - self.done

    @property
    def settled(self) -> bool:
        """Whether it needs no more computing: answered, failed or cancelled."""
        return self.item.future.done()

    def add(self, probabilities: np.ndarray, source: np.ndarray | None, seconds: float, batch: int) -> None:
        """Takes what a batch of so many rows gave for its next rows; answers when they are all there."""
        self.parts.append((probabilities, source))
        self.done, self.compute_s, self.batch = (
            self.done + len(probabilities),
            self.compute_s + seconds,
            max(self.batch, batch),
        )
        if not all(np.isfinite(values).all() for values in (probabilities, source) if values is not None):
            self.fail(NotFinite("the network's probabilities are not finite"))
        elif not self.left:
            whole, given = zip(*self.parts, strict=True)
            both = None if any(part is None for part in given) else np.concatenate(given)
            with contextlib.suppress(InvalidStateError):  # its client left in this moment
                self.item.future.set_result(
                    Answer(np.concatenate(whole), both, self.queue_s, self.compute_s, self.batch)
                )

    def fail(self, error: Exception) -> None:
        """Gives the error as the answer, unless there is one."""
        with contextlib.suppress(InvalidStateError):
            self.item.future.set_exception(error)


class Batch(NamedTuple):
    """What is computed at once: `waves` (shape, length), `weights` (shape,), and whose the first rows are, in order."""

    session: str
    waves: np.ndarray
    weights: np.ndarray
    parts: tuple[tuple[Queued, int], ...]

    @property
    def rows(self) -> int:
        """Rows that are no padding."""
        return sum(count for _, count in self.parts)


def batch_of(parts: Sequence[tuple[Queued, int]], shape: int, length: int) -> Batch:
    """The next rows of each item one below the other, and silence of weight 0 up to `shape` rows.

    int16 where all items are; else float32, in which int16 samples lie in [-1, 1).
    """
    rows = [one.item.waves[one.done : one.done + count] for one, count in parts]
    whole = all(piece.dtype == np.int16 for piece in rows)
    waves, weights, first = np.zeros((shape, length), np.int16 if whole else np.float32), np.zeros(shape, np.float32), 0
    for piece in rows:
        waves[first : first + len(piece)] = piece / FULL_SCALE if piece.dtype == np.int16 and not whole else piece
        first += len(piece)
    weights[:first] = 1
    return Batch(parts[0][0].item.session, waves, weights, tuple(parts))
