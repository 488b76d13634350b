"""Which of the items that wait are computed next: a pure function of the queue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """An item as the choice sees it: its session, the rows that are left of it, and when it came (seconds)."""

    session: str
    rows: int
    arrived: float


class Choice(NamedTuple):
    """What to do now.

    Attributes:
      shape: rows of the batch, padding included; 0 for none yet.
      rows: (position among those that wait, rows of it) of each item in it, in the order of the queue.
      wait: seconds after which to ask again where there is no batch (infinite: nothing waits).
    """

    shape: int
    rows: tuple[tuple[int, int], ...]
    wait: float


def choose(waiting: Sequence[Waiting], shapes: tuple[int, ...], now: float, wait_s: float, coming: int) -> Choice:
    """The next batch, of the first session in the queue that is ready.

    A session is ready when it fills the largest shape, when nobody else is on the way, and `wait_s` after its first
    item came. Its batch has the largest shape that it fills; only below the smallest one is there padding.

    Args:
      waiting: the queue, first come first.
      shapes: numbers of rows that are compiled, ascending.
      now: seconds.
      wait_s: how long an item may wait for company.
      coming: requests that are being read.
    """
    sessions: dict[str, list[int]] = {}
    for position, one in enumerate(waiting):
        sessions.setdefault(one.session, []).append(position)
    wait = math.inf
    for positions in sessions.values():
        rows = [waiting[i].rows for i in positions]
        left = wait_s - (now - min(waiting[i].arrived for i in positions))
        if left <= 0 or not coming or sum(rows) >= shapes[-1]:
            shape, taken = shared(rows, shapes)
            return Choice(shape, tuple((i, n) for i, n in zip(positions, taken, strict=True) if n), 0.0)
        wait = min(wait, left)
    return Choice(0, (), wait)


def shared(rows: Sequence[int], shapes: tuple[int, ...]) -> tuple[int, list[int]]:
    """The shape of a session's batch, and how many of each item's rows are in it.

    Beside others an item gets at most half of the largest shape, and of a smaller one more than half only if it would
    be padded otherwise. The first item always gets a row: what has gone round the queue is not put off for ever.
    """
    most = shapes[-1] if len(rows) == 1 else max(1, shapes[-1] // 2)
    offered = sum(min(n, most) for n in rows)
    shape = max((s for s in shapes if s <= offered), default=shapes[0])
    taken, room = [0] * len(rows), shape
    for limit in (min(most, max(1, shape // 2)), most):
        for i, n in enumerate(rows):
            more = min(min(n, limit) - taken[i], room)
            taken[i], room = taken[i] + more, room - more
    return shape, taken
