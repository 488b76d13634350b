"""A sentence for users of a board, protocol by protocol: which method to take, which to leave alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dhauds_jax.report import board, floors
from dhauds_jax.report.tables import Record, grouped, shifted

NEAR = 0.01
"""Share of the metric's range within which two methods are as good as each other: a point."""

COSTS = 0.005
"""Share of the metric's range from which on learning counts as a loss: half a point, one clip in 200."""

OFTEN = 0.1
"""Share of runs worse than no adaptation from which on a method is one to leave alone."""

RULE = (
    "*Take* is the cheapest method within a point of the best that is in no run worse than no adaptation (of all, "
    "where each is in one). *Learnt* is what it gains over itself at rate 0. *Leave alone* are methods that are worse "
    "than no adaptation in more than a tenth of their runs, and those that lose half a point or more by learning."
)


def picks(found: Sequence[Record]) -> str:
    """A line a protocol, of the methods that have all its cells; floors take no part. `RULE` says by what."""
    shown = shifted(found)
    return "".join(f"* *{name}*: {_of(group)}\n" for (name,), group in grouped(shown, ("protocol",)).items())


def _of(found: Sequence[Record]) -> str:
    """The sentence of one protocol's records."""
    whole = board.cost_points(found)
    points = {name: point for name, point in whole.items() if name != "source"}
    if not points:
        return "no method has all cells."
    groups = {method: group for (method,), group in grouped(floors.without_floors(found), ("method",)).items()}
    harm = {name: float(np.mean(board.below_source(groups[name]))) for name in points}
    top = max(points, key=lambda name: points[name][1])
    before = float(np.mean([r["non_adapted"] for r in groups[top]]))
    near = [name for name, (_, value) in points.items() if value >= points[top][1] - NEAR]
    harmless = [name for name in near if not harm[name]] or near
    taken = min(harmless, key=lambda name: points[name][0])
    if points[top][1] <= before:
        said = (
            f"take none: the best, {top}, has {_value(points[top][1])} where the network as it is has {_value(before)}"
        )
    else:
        said = f"take {_told(taken, points, groups, found)}; no adaptation has {_value(before)}"
        said += f"; the best, {_told(top, points, groups, found)}" if top != taken else ""
    return f"{said}.{_bad(points, groups, harm, found)}"


def _told(
    name: str, points: dict[str, tuple[float, float]], groups: dict[str, list[Record]], found: Sequence[Record]
) -> str:
    cost, value = points[name]
    gains = board.against_floor(groups[name], found)
    learnt = f", {100 * np.mean(gains):+.1f} of it learnt" if gains else ""
    return f"{name} ({_value(value)}{learnt}, {cost:.1f} ms a clip)"


def _bad(
    points: dict[str, tuple[float, float]],
    groups: dict[str, list[Record]],
    harm: dict[str, float],
    found: Sequence[Record],
) -> str:
    """What is to be left alone, the worst first; "" where nothing is."""
    said = []
    for name in sorted(points, key=lambda name: points[name][1]):
        gains = board.against_floor(groups[name], found)
        if harm[name] > OFTEN:
            said.append(f"{name} (worse than none in {100 * harm[name]:.0f} % of runs)")
        elif gains and np.mean(gains) <= board.EQUAL - COSTS:
            said.append(f"{name} (learning costs {-100 * np.mean(gains):.1f} points)")
    return f" Leave alone: {', '.join(said)}." if said else ""


def _value(metric: float) -> str:
    return f"{100 * metric:.1f}"
