"""What a board says of methods beside their accuracy: harm, the worst cell, calibration, cost, regret; ranks; pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from dhauds_jax.errors import BadInput
from dhauds_jax.report import comparisons, floors, intervals
from dhauds_jax.report.estimates import cell_name
from dhauds_jax.report.figures import bare, metric_name
from dhauds_jax.report.looks import Look, bare_name
from dhauds_jax.report.plotting import save, subplots
from dhauds_jax.report.tables import Record, grouped, settings, shifted, table, title

MEASURES = (
    "*gain*: points above the method's own floor (itself at rate 0; `-` where that was not run), mean over the runs "
    "that both have. *below source*, *below floor*: runs in which it is worse than no adaptation, or than its "
    "floor. *worst cell*: its least gain over no adaptation, mean over seeds. *ms a clip*: of the whole run, median "
    "over runs, so that what few of them compiled counts for little. *passes*: forward + backward a clip, without the "
    "evaluations and without the method's start (warm-up or statistics of source clips), which the milliseconds hold. "
    "*MB held*: optimiser, memory and moved weights, beside the network as it came (the most of its runs). "
    "*forgets*: points of the clean set lost when the stream is over. *regret*: points that the label-free choice "
    "loses to the better one (of the epochs, or of before and after); *as it goes*: the same of the choice that a "
    "stream makes batch by batch."
)
EQUAL = 1e-12
"""Metrics that differ by less are equal."""


def _share(flags: Sequence[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}" if flags else "-"


def _points(values: Sequence[float], sign: str = "+") -> str:
    return format(100 * float(np.mean(values)), f"{sign}.1f") if values else "-"


def against_floor(group: Sequence[Record], found: Sequence[Record]) -> list[float]:
    """The gain of a method's records over its floor's, of the cells that both have: all settings equal but the rate."""

    def run_of(record: Record) -> tuple[Any, ...]:
        others = {name: value for name, value in settings(record).items() if name != "lr"}
        return bare_name(record["method"]), json.dumps(others, sort_keys=True, default=str), floors.cell_of(record)

    of_floor = {run_of(r): r for r in found if floors.is_floor(r)}
    pairs = [(r, of_floor[run_of(r)]) for r in group if run_of(r) in of_floor]
    return [mine["adapted_last"] - its["adapted_last"] for mine, its in pairs]


def below_source(group: Sequence[Record]) -> list[bool]:
    """Of each run whether it is worse than no adaptation."""
    return [r["adapted_last"] < r["non_adapted"] - EQUAL for r in group]


def _megabytes(group: Sequence[Record]) -> str:
    """The most that a run's state held beside the network; "-" of older records, which do not say it."""
    known = [r["state_bytes"] for r in group if r.get("state_bytes") is not None]
    return format(max(known) / 1e6, ".3g") if known else "-"


def worst_cell(group: Sequence[Record]) -> tuple[float, str]:
    """The least gain over no adaptation among the cells (mean over seeds), and the cell's name."""
    gains = {
        cell_name(*place): float(np.mean([r["adapted_last"] - r["non_adapted"] for r in members]))
        for place, members in grouped(group, ("corruption", "level")).items()
    }
    name = min(gains, key=lambda name: gains[name])
    return gains[name], name


def milliseconds(group: Sequence[Record]) -> float:
    """Of the whole run for each clip of the set, median over the cells."""
    return float(np.median([1000 * r["seconds"] / r["n"] for r in group]))


def forgotten(group: Sequence[Record], found: Sequence[Record]) -> list[float]:
    """Accuracy on the clean set that was lost when the stream was over, against `source` with the same seed.

    Of the protocol that evaluates the clean set on the way (`forgetting`); empty for others.
    """

    def clean(record: Record) -> float | None:
        return next((d["clean"] for d in reversed(record.get("domains") or []) if "clean" in d), None)

    before = {floors.cell_of(r): clean(r) for r in found if r["method"] == "source"}
    pairs = [(before.get(floors.cell_of(r)), clean(r)) for r in group]
    return [first - last for first, last in pairs if first is not None and last is not None]


def regrets(group: Sequence[Record]) -> tuple[list[float], list[float]]:
    """What the label-free choice loses to the better one: over epochs (or before and after), and as a stream goes."""
    whole = [r["adapted_oracle"] - r["adapted_selected"] for r in group]
    chosen = [(r, r["selected_as_it_goes"]["metric"]) for r in group if r.get("selected_as_it_goes")]
    return whole, [max(r["non_adapted"], r["adapted_last"]) - metric for r, metric in chosen]


def measures(found: Sequence[Record]) -> str:
    """A row a method (and protocol, where there are several), floors and `source` left out; `MEASURES` says of what."""
    shown = shifted(found)
    several = len({r["protocol"] for r in found}) > 1
    header = ["method", "gain", "below source", "below floor", "worst cell", "ECE", "NLL", "ms a clip", "passes"]
    header += ["MB held", "forgets", "regret", "as it goes"]
    rows = []
    for (method, protocol), group in grouped(shown, ("method", "protocol")).items():
        if floors.is_floor(group[0]) or method == "source":
            continue
        of_protocol = [r for r in shown if r["protocol"] == protocol]
        gains, (least, where) = against_floor(group, of_protocol), worst_cell(group)
        passes = group[0]["passes"]
        whole, going = regrets(group)
        row = [
            _points(gains),
            _share(below_source(group)),
            _share([gain < -EQUAL for gain in gains]),
            f"{100 * least:+.1f} ({where})",
            f"{100 * np.mean([r['ece'] for r in group]):.1f}",
            f"{np.mean([r['nll'] for r in group]):.2f}",
            f"{milliseconds(group):.1f}",
            f"{passes['forward']:g} + {passes['backward']:g}",
            _megabytes(group),
            _points(forgotten(group, of_protocol)),
            _points(whole, ""),
            _points(going, ""),
        ]
        rows.append((float(np.mean([r["adapted_last"] for r in group])), [_label(method, protocol, several), *row]))
    kept = [i for i in range(len(header)) if any(row[i] != "-" for _, row in rows)] or range(len(header))
    ordered = [[row[i] for i in kept] for _, row in sorted(rows, key=lambda item: -item[0])]
    return table([header[i] for i in kept], ordered)


def _label(method: str, protocol: str, several: bool) -> str:
    return f"{method}, {protocol}" if several else method


class Ranked(NamedTuple):
    """A method's place among those that have every run: 1 is the best, equal ones share the mean of their places.

    Attributes:
      method: its name.
      rank: mean over runs (a run is a cell with a seed).
      low, high: 95 % interval of it, over seeds and cells at once (`intervals.two_way`).
      first: share of runs in which nobody is better.
      value: mean metric.
    """

    method: str
    rank: float
    low: float
    high: float
    first: float
    value: float


def ranked(found: Sequence[Record]) -> list[Ranked]:
    """The methods that have every corrupted run of the records, best first; floors take no part."""
    shown = floors.without_floors(shifted(found))
    values: dict[str, dict[tuple[Any, ...], float]] = {}
    for record in shown:
        values.setdefault(record["method"], {})[floors.cell_of(record)] = record["adapted_last"]
    runs = list(dict.fromkeys(run for own in values.values() for run in own))
    names = [method for method, own in values.items() if len(own) == len(runs)]
    if len(names) < 2:
        raise BadInput(f"ranks: {len(names)} of {len(values)} methods have all {len(runs)} runs, expected two or more")
    grid = np.array([[values[name][run] for run in runs] for name in names])
    ranks = stats.rankdata(-np.round(grid, 12), axis=0)
    units, cells = [run[-2:] for run in runs], [run[:-2] for run in runs]
    out = []
    for name, own, row in zip(names, ranks, grid, strict=True):
        low, high = intervals.two_way(own, units, cells)
        first = float(np.mean(own == ranks.min(0)))
        out.append(Ranked(name, float(own.mean()), low, high, first, float(row.mean())))
    return sorted(out, key=lambda one: one.rank)


def ranks_table(found: Sequence[Record]) -> str:
    """A row a method: its mean rank with an interval over seeds and cells, how often it is first, its mean metric."""
    shown = ranked(found)
    rows = [
        [
            one.method,
            f"{one.rank:.1f} [{one.low:.1f}, {one.high:.1f}]",
            f"{100 * one.first:.0f} %",
            f"{100 * one.value:.1f}",
        ]
        for one in shown
    ]
    return table(["method", f"rank of {len(shown)}", "first", "mean"], rows)


def paired(found: Sequence[Record], baseline: str = "tent") -> str:
    """A baseline against every other method over all cells: sign-flip tests over seeds and over cells, Holm's p.

    Floors take no part; what is of one protocol (and profile) stands in one table, which is a family of its own.

    Differences are the baseline's minus the other's; `comparisons.READING` says of what each p is.
    """
    found = floors.without_floors(found)
    others = [name for name in dict.fromkeys(r["method"] for r in found) if name != baseline]
    if len(others) == len({r["method"] for r in found}) or not others:
        raise BadInput(f"paired: {baseline} is not among the methods, or alone; expected it and another one")
    tables = {}
    for one in comparisons.compare(found, [baseline, *others]):
        rows = [row for row in one.rows if row["scope"] == comparisons.ALL]
        if rows:
            tables[one.place] = comparisons.comparison_table(rows)
    if len(tables) == 1:
        return next(iter(tables.values()))
    return "\n".join(f"{title(place)}:\n\n{text}" for place, text in tables.items())


def front_of(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """The names that nobody beats: no other is as cheap or cheaper and as good or better, one of the two truly.

    Args:
      points: name -> (cost, value); less cost and more value are better.

    Returns:
      the front, from the cheapest on.
    """

    def beaten(cost: float, value: float) -> bool:
        return any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points.values())

    return sorted((name for name, point in points.items() if not beaten(*point)), key=lambda name: points[name])


def cost_points(found: Sequence[Record]) -> dict[str, tuple[float, float]]:
    """Method -> (ms a clip, mean metric), of the methods that have all of the records' cells; floors take no part."""
    shown = floors.without_floors(shifted(found))
    whole = {(r["corruption"], r["level"]) for r in shown}
    return {
        method: (milliseconds(group), float(np.mean([r["adapted_last"] for r in group])))
        for (method,), group in grouped(shown, ("method",)).items()
        if {(r["corruption"], r["level"]) for r in group} == whole
    }


CLOSE = 2.5
"""Points of the metric below the best that a figure of the front shows larger, where the others lie far below."""


def front_said(found: Sequence[Record]) -> str:
    """Who stands on the front of metric and milliseconds a clip."""
    points = cost_points(found)
    said = ", ".join(f"{name} ({100 * points[name][1]:.1f} % at {points[name][0]:.1f} ms)" for name in front_of(points))
    return f"On the front, from the cheapest on: {said}."


def front(found: Sequence[Record], path: Path, looks: Mapping[str, Look]) -> str:
    """A point a method: the metric over milliseconds a clip, the front as a line; says who stands on it."""
    points = cost_points(found)
    best = front_of(points)
    values = [100 * value for _, value in points.values()]
    near = [value for value in values if value >= max(values) - CLOSE]
    zoomed = len(near) > 2 and max(values) - min(values) > 3 * CLOSE
    figure, drawn = subplots(1, 1 + zoomed, figsize=(7.6 + 3.4 * zoomed, 4.6), squeeze=False)
    for axes in drawn[0]:
        for name, (cost, value) in points.items():
            axes.plot(cost, 100 * value, ls="", ms=9 if name in best else 6, label=name, **looks[name].point)
        line = np.array([points[name] for name in best]) * (1, 100)
        axes.plot(*line.T, color="0.5", lw=1, ls="--", drawstyle="steps-post", zorder=0, label="front")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")
        axes.set_xlabel("milliseconds a clip")
        axes.grid(alpha=0.25, lw=0.6)
        bare(axes)
    if zoomed:
        drawn[0][1].set_ylim(min(near) - 0.05 * CLOSE, max(near) + 0.15 * CLOSE)
        drawn[0][1].set_title(f"within {CLOSE:g} of the best", fontsize=9)
    for name in best:
        cost, value = points[name]
        place = {"xytext": (4, 5), "textcoords": "offset points", "fontsize": 8, "annotation_clip": True}
        drawn[0][-1].annotate(name, (cost, 100 * value), **place)
    drawn[0][0].set_ylabel(metric_name(found))
    handles, labels = drawn[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8, ncols=1 + len(points) // 22)
    save(figure, path)
    return front_said(found)
