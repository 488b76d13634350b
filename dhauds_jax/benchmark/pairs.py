"""Two programs timed in turns, A B A B: the paired ratios of their times, the median, an interval, when to go on."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.benchmark.device import summarised

FEWEST, MOST = 7, 31
"""Rounds: the fewest that give an interval, and those after which a ratio counts as not settled."""

WIDEST = 0.20
"""A ratio is settled where its 95 % interval is at most this share of it wide."""

TURN_S = 0.1
"""Seconds that a turn lasts at least: calls of a small program are repeated within it."""

MOST_CALLS = 100
DRAWS = 2000
PAUSE_S = 0.02
"""Seconds between two turns, in which the threads of the side that has just run go to sleep."""

Seconds = Callable[[int], float]
"""`calls -> seconds of a call`, the mean over so many calls one after the other."""


class Pairs(NamedTuple):
    """Seconds of a call of either side, a pair a round, and calls in a turn of each."""

    ours: list[float]
    theirs: list[float]
    calls: tuple[int, int]

    @property
    def ratios(self) -> list[float]:
        """Their time over ours, round by round."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


def calls_of(seconds: float) -> int:
    """Calls in a turn of a program that takes so long."""
    return max(1, min(MOST_CALLS, math.ceil(TURN_S / max(seconds, 1e-9))))


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median: quantiles of medians of rounds drawn with replacement.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile interval).
    """
    found = np.asarray(ratios, float)
    drawn = np.random.default_rng(seed).integers(0, len(found), (DRAWS, len(found)))
    low, high = np.quantile(np.median(found[drawn], 1), [0.025, 0.975])
    return float(low), float(high)


def settled(ratios: Sequence[float]) -> bool:
    """Whether the interval is narrow enough."""
    low, high = interval(ratios)
    return bool(high - low <= WIDEST * statistics.median(ratios))


def measured(ours: Seconds, theirs: Seconds, fewest: int = FEWEST, most: int = MOST) -> Pairs:
    """Turns of both, ours first, until the ratio is settled or `most` rounds are done.

    Args:
      ours: seconds of a call; it has been called before (compiled).
      theirs: likewise.
      fewest: rounds at least.
      most: rounds at the most.
    """
    calls = calls_of(ours(1)), calls_of(theirs(1))
    pairs = Pairs([], [], calls)
    while len(pairs.ours) < fewest or (len(pairs.ours) < most and not settled(pairs.ratios)):
        time.sleep(PAUSE_S)
        pairs.ours.append(ours(calls[0]))
        time.sleep(PAUSE_S)
        pairs.theirs.append(theirs(calls[1]))
    return pairs


def described(pairs: Pairs) -> dict[str, Any]:
    """What a row says of the pairs: times of both, `vs_torch` (above 1: ours is faster) and how sure it is."""
    ratios = pairs.ratios
    found = {
        **summarised(pairs.ours),
        "vs_torch": statistics.median(ratios),
        "vs_torch_interval": list(interval(ratios)),
        "vs_torch_rounds": len(ratios),
        "settled": settled(ratios),
        "calls_a_turn": list(pairs.calls),
    }
    return {**found, "torch": summarised(pairs.theirs)}
