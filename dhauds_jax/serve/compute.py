"""The compute thread: it alone calls JAX and touches what sessions hold; batches, calls and updates take turns."""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import Any, NamedTuple

from dhauds_jax.serve.batching import Batch, Batcher
from dhauds_jax.serve.contracts import Predictor, Stuck

BEAT_S = 0.25
"""The longest that the thread sleeps without a sign of life, in seconds."""

STUCK = 4
"""The code with which a process ends whose compute thread is stuck."""


LAST_WORDS_S = 1.5
"""Seconds from then on in which those that wait get their answers, which say so."""


class Ran(NamedTuple):
    """A piece of work that is done.

    Attributes:
      kind: "batch", "call" or "work".
      seconds: that it took.
      rows: of a batch, padding left out.
      shape: of a batch, rows with padding.
      error: what it raised; None: it did not.
    """

    kind: str
    seconds: float
    rows: int = 0
    shape: int = 0
    error: Exception | None = None


class Compute:
    """A thread that computes what the batcher gives, calls what it is asked to, and works when nothing waits.

    An exception fails the items of its batch, or its call, and nothing else.
    """

    def __init__(
        self,
        predictor: Predictor,
        batcher: Batcher,
        *,
        ran: Callable[[Ran], Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A thread that is not started yet; `ran` is told of each piece of work, on the thread, and must be quick."""
        self.predictor, self.batcher, self.clock = predictor, batcher, clock
        self._ran = ran
        self._calls: collections.deque[tuple[Callable[[], Any], Future]] = collections.deque()
        self._running: Future | None = None
        self._told: set[type[Exception]] = set()
        self._beat = clock()
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="compute", daemon=True)
        self.stuck = False

    def start(self) -> None:
        """Starts the thread."""
        self._beat = self.clock()
        self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Ends the thread when everything that waits has its answer; whether it ended within `timeout` seconds."""
        self._stopping.set()
        self.batcher.wake()
        return self._ended.wait(timeout)

    def call(self, function: Callable[[], Any]) -> Future:
        """A future of `function()`, called on the thread between two batches. Do not wait for it there."""
        future: Future = Future()
        if self._ended.is_set() or self.stuck:
            future.set_exception(Stuck("the compute thread has ended"))
            return future
        self._calls.append((function, future))
        self.batcher.wake()
        if self._ended.is_set() or self.stuck:  # since the look above: nobody may take it any more
            self._give_up("the compute thread has ended")
        return future

    def _give_up(self, said: str) -> None:
        """Fails the calls that wait, and the one that runs."""
        with contextlib.suppress(IndexError):
            while True:
                _fail(self._calls.popleft()[1], Stuck(said))
        if self._running is not None:
            _fail(self._running, Stuck(said))

    def stalled(self) -> float:
        """Seconds since the thread's last sign of life: a turn, or the beginning of a piece of work."""
        return self.clock() - self._beat

    def watch(self, stuck_s: float, then: Callable[[], Any] | None = None, every_s: float = 1.0) -> threading.Thread:
        """Watches from a thread of its own: after `stuck_s` without a sign of life `stuck` is true.

        Whatever waits then fails as `Stuck`, and `then` (None: `end_process`) is called, which ends the process: a
        compiled program that hangs cannot be broken off. A turn may take as long as a compilation: warm up first.
        """

        def look() -> None:
            while not self._ended.wait(every_s):
                if self.stalled() > stuck_s:
                    break
            else:
                if self._stopping.is_set():
                    return
            self.stuck = True
            said = f"the compute thread has shown no life for {self.stalled():.0f} s"
            self.batcher.close(Stuck(said))
            self._give_up(said)
            (then or end_process)()

        thread = threading.Thread(target=look, name="watchdog", daemon=True)
        thread.start()
        return thread

    def turn(self) -> float:
        """One turn: the calls that wait, then a batch, else a piece of work; the seconds until the next one is due.

        The thread's loop; public for tests, which take turns without a thread.
        """
        self._beat = self.clock()
        with contextlib.suppress(IndexError):  # the watchdog may have given them up meanwhile
            for _ in range(len(self._calls)):
                self._call(*self._calls.popleft())
        found = self.batcher.take()
        if isinstance(found, Batch):
            self._compute(found)
            return 0.0
        idle = found == math.inf and not self.batcher.coming and not self._stopping.is_set()
        return 0.0 if idle and self._timed(Ran("work", 0.0), self.predictor.work)[0] else found

    def _loop(self) -> None:
        try:
            while True:
                wait = self.turn()
                if wait == math.inf and self._stopping.is_set() and not self._calls and not len(self.batcher):
                    return
                if wait:
                    self.batcher.wait(min(wait, BEAT_S))
        finally:
            self._ended.set()
            self.batcher.close(Stuck("the compute thread has ended"))
            self._give_up("the compute thread has ended")

    def _call(self, function: Callable[[], Any], future: Future) -> None:
        if not future.set_running_or_notify_cancel():
            return
        self._running = future
        value, ran = self._timed(Ran("call", 0.0), function)
        self._running = None
        if ran.error is not None:
            _fail(future, ran.error)
        else:
            with contextlib.suppress(InvalidStateError):  # it was given up
                future.set_result(value)

    def _compute(self, batch: Batch) -> None:
        def function() -> tuple[Any, Any]:
            probabilities, source = self.predictor.predict(batch.session, batch.waves, batch.weights)
            for one in (probabilities, source):
                if one is not None and (one.ndim != 2 or len(one) != len(batch.waves)):
                    raise ValueError(f"predictions of shape {one.shape} for {len(batch.waves)} rows")
            return probabilities, source

        value, ran = self._timed(Ran("batch", 0.0, batch.rows, len(batch.waves)), function)
        if ran.error is None:
            self.batcher.settle(batch, *value, ran.seconds)
        else:
            self.batcher.fail(batch, ran.error)

    def _timed(self, ran: Ran, function: Callable[[], Any]) -> tuple[Any, Ran]:
        """What a piece of work gives (None where it raises), and how it went."""
        value, error, start = None, None, self.clock()
        self._beat = start
        try:
            value = function()
        except Exception as raised:  # whatever it is, it is that piece's alone
            error = raised
            if ran.kind == "work" and type(raised) not in self._told:  # nobody waits for it: it would be silent
                self._told.add(type(raised))
                traceback.print_exception(raised, file=sys.stderr)
        ran = ran._replace(seconds=self.clock() - start, error=error)
        self._beat = self.clock()
        if self._ran is not None:
            self._ran(ran)
        return value, ran


def _fail(future: Future, error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):  # it has its answer, or was given up
        future.set_exception(error)


def end_process() -> None:
    """Says on stderr where each thread is, and ends the process with code 4: a stuck thread cannot be ended.

    `LAST_WORDS_S` before that, in which clients are told.
    """
    print("the compute thread is stuck; the process ends", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    time.sleep(LAST_WORDS_S)
    os._exit(STUCK)
