"""The queue: items of any number of windows go in, batches of few shapes come out (`choosing`), answers go back.

Written for this service since no library that was read keeps to all of it: a batch is of one session, since adaptation
couples its rows; it has one of a few numbers of rows, compiled ahead; an item fails alone; who left is not computed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from dhauds_jax.serve.choosing import Waiting, choose
from dhauds_jax.serve.contracts import Full, Late
from dhauds_jax.serve.items import Batch, Item, Queued, batch_of

__all__ = ["Batch", "Batcher", "Item"]


class Batcher:
    """The queue. Any thread submits; one alone, the compute thread, takes batches and settles them."""

    def __init__(
        self,
        shapes: Sequence[int],
        length: int,
        *,
        wait_s: float = 0.005,
        limit: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A queue for batches of `shapes` rows of `length` samples, at most `limit` items at a time."""
        self.shapes, self.length, self.wait_s, self.limit, self.clock = tuple(shapes), length, wait_s, limit, clock
        self._queue: tuple[Queued, ...] = ()  # with what is being computed; replaced, never changed in place
        self._new: list[Queued] = []
        self._wake, self._woken = threading.Condition(), False
        self.coming = 0  # requests within `expecting`
        self._closed: Exception | None = None

    def __len__(self) -> int:
        """Items that have no answer yet, those that are being computed included."""
        with self._wake:
            return len(self._queue) + len(self._new)

    def oldest(self) -> float:
        """Seconds since the oldest of them came; 0 where there is none."""
        with self._wake:
            return self.clock() - min((one.arrived for one in (*self._queue, *self._new)), default=self.clock())

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Around what stands between a request whose body is here and its `submit`: others wait for it a little."""
        with self._wake:
            self.coming += 1
        try:
            yield
        finally:
            with self._wake:
                self.coming -= 1
            self.wake()

    def submit(self, item: Item) -> None:
        """Puts an item into the queue.

        Raises:
          Full: as many wait as are allowed. ValueError: windows of another shape. What `close` was given.
        """
        if item.waves.ndim != 2 or not len(item.waves) or item.waves.shape[1] != self.length:
            raise ValueError(f"waves of shape {item.waves.shape}, expected (windows, {self.length}), at least one")
        with self._wake:
            if self._closed is not None:
                raise self._closed
            if len(self._queue) + len(self._new) >= self.limit:
                raise Full(f"{self.limit} requests wait, as many as are allowed")
            self._new.append(Queued(item, self.clock()))
        self.wake()

    def wake(self) -> None:
        """Ends the compute thread's `wait`, the present one or the next."""
        with self._wake:
            self._woken = True
            self._wake.notify()

    def wait(self, seconds: float) -> None:
        """Waits for something new since the last `wait`, at most `seconds`."""
        with self._wake:
            if not self._woken:
                self._wake.wait(seconds)
            self._woken = False

    def take(self) -> Batch | float:
        """The next batch, or the seconds after which to ask again (infinite: nothing waits).

        Cancelled items leave the queue, late ones fail.
        """
        now = self.clock()
        with self._wake:
            left = [one for one in (*self._queue, *self._new) if not one.settled]
            queue = self._queue = tuple(one for one in left if now < one.item.deadline)
            self._new, coming = [], self.coming
        for one in left:
            if now >= one.item.deadline:
                one.fail(Late(f"not computed within {one.item.deadline - one.arrived:.3g} s"))
        waiting = [Waiting(one.item.session, one.left, one.arrived) for one in queue]
        choice = choose(waiting, self.shapes, now, self.wait_s, coming)
        if not choice.rows:
            return choice.wait
        parts = [(queue[i], count) for i, count in choice.rows]
        for one, _ in parts:
            one.queue_s = one.queue_s if one.done else now - one.arrived
        return batch_of(parts, choice.shape, self.length)

    def settle(self, batch: Batch, probabilities: np.ndarray, source: np.ndarray | None, seconds: float) -> None:
        """Gives the items of a batch what was computed of them; rows beyond `batch.rows` are padding.

        An item with numbers that are not finite fails alone.
        """
        first = 0
        for one, count in batch.parts:
            mine = slice(first, first := first + count)
            one.add(probabilities[mine], None if source is None else source[mine], seconds, batch.rows)
        self._behind(batch)

    def fail(self, batch: Batch, error: Exception) -> None:
        """Fails the items of a batch that could not be computed, and no other one."""
        for one, _ in batch.parts:
            one.fail(error)
        self._behind(batch)

    def close(self, error: Exception) -> None:
        """Fails whatever waits, and what is submitted from now on; from any thread."""
        with self._wake:
            self._closed = error
            waiting, self._queue, self._new = (*self._queue, *self._new), (), []
        for one in waiting:
            one.fail(error)
        self.wake()

    def _behind(self, batch: Batch) -> None:
        """Puts what is unfinished of a batch behind what waits: a long item does not hold the queue up."""
        ran = {one for one, _ in batch.parts}
        with self._wake:
            left = [one for one in self._queue if not one.settled]  # none where it was closed meanwhile
            self._queue = tuple(sorted(left, key=ran.__contains__))  # a stable sort
