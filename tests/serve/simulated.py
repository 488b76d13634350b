"""A service without threads, network or time: a clock that is set, and a predictor whose answers name their rows."""

import math
from concurrent.futures import Future

import numpy as np

from dhauds_jax.serve.batching import Batcher, Item
from dhauds_jax.serve.compute import Compute

POISON = -7.0
"""A first sample for which the predictor's answer is not finite."""


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Rows:
    """Predicts a row's own two samples; notes what it was given, and takes `seconds` for a batch."""

    def __init__(self, clock, seconds=0.0, raising=()):
        self.clock, self.seconds, self.raising, self.batches, self.works = clock, seconds, raising, [], 0

    def predict(self, session, waves, weights):
        self.batches.append((session, waves.copy(), weights.copy()))
        self.clock.now += self.seconds
        if session in self.raising:
            raise RuntimeError(f"session {session}")
        said = waves.astype(np.float32)
        said[said[:, 0] == POISON] = np.nan
        return said, None

    def work(self):
        self.works += 1
        return False


class Simulated:
    """A batcher and a compute thread that never starts: `turn` takes its turns."""

    def __init__(self, shapes=(1, 2, 4), *, seconds=0.0, raising=(), **of_batcher):
        self.clock, self.items, self.refused = Clock(), [], 0
        self.predictor = Rows(self.clock, seconds, raising)
        self.batcher = Batcher(shapes, 2, clock=self.clock, **of_batcher)
        self.ran = []
        self.compute = Compute(self.predictor, self.batcher, clock=self.clock, ran=self.ran.append)

    def submit(self, windows, session="", seconds=math.inf, poison=None):
        """An item whose rows are (its number, 0), (its number, 1), ..., the one at `poison` poisoned."""
        waves = np.stack([np.full(windows, len(self.items)), np.arange(windows)], 1).astype(np.float32)
        if poison is not None:
            waves[poison % windows, 0] = POISON
        self.items.append(Item(waves, session, self.clock.now + seconds, Future()))
        self.batcher.submit(self.items[-1])
        return self.items[-1].future

    def turn(self):
        return self.compute.turn()

    def drain(self, limit=10_000):
        """Turns until nothing waits."""
        for _ in range(limit):
            wait = self.turn()
            if wait == math.inf:
                return
            self.clock.now += wait
        raise AssertionError(f"{len(self.batcher)} items wait after {limit} turns")
