"""Tables that set methods, and label-free choices, against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.report import floors, intervals
from dhauds_jax.report.looks import bare_name
from dhauds_jax.report.tables import GROUP, Record, apart, grouped, table
from dhauds_jax.tta import selection

PROTOCOLS = ("offline", "online", "continual", "mixed", "batch1")
"""Columns of the leaderboard that stand first, those of them that anybody measured."""
OPEN = "open"
"""What stands in a cell that nobody has measured yet."""
NOT_ASKED = "n/a"
"""What stands in a cell that a board does not ask for."""


def _points(record: Record) -> list[dict[str, Any]]:
    """What was measured after each epoch, on the evaluation draw where there is one."""
    return [point.get("evaluation", point) for point in record["curve"]]


def _per_seed(found: Sequence[Record], key: str) -> list[float]:
    """The mean over cells of each seed."""
    return [float(np.mean([r[key] for r in group])) for group in grouped(found, ("seed",)).values()]


def _with_interval(values: Sequence[float], whole: int) -> str:
    """Mean in % with the bootstrap interval over seeds; says how many seeds when some are missing."""
    low, high = intervals.interval(values)
    text = f"{100 * np.mean(values):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return text if len(values) == whole else f"{text} ({len(values)} of {whole} seeds)"


def _cells(found: Iterable[Record]) -> set[tuple[str, str]]:
    return {(r["corruption"], r["level"]) for r in found}


def leaderboard(found: Sequence[Record]) -> str:
    """A row a method, a column a protocol: the metric in % as the stream went by or after the last epoch.

    Mean over the corruptions and levels, then over seeds, with a 95 % bootstrap interval over seeds. A protocol's
    column is filled only by seeds for which all its corruptions and levels are there. Sorted by the first column; below
    a method stands the same at rate 0, its floor. `n/a` is what no board asks for (`floors.ONLY`). Transmissions, which
    are ours alone, have no part in it beside others. The last column is what a cell of the first one costs.
    """
    found = apart(found)
    there = dict.fromkeys(r["protocol"] for r in found)
    columns = [*(name for name in PROTOCOLS if name in there), *(name for name in there if name not in PROTOCOLS)]
    seeds = len({r["seed"] for r in found})
    wanted = {name: _cells(r for r in found if r["protocol"] == name) for name in columns}
    by = grouped(found, ("method", "protocol"))
    rows, order = {}, {}
    for method in dict.fromkeys(r["method"] for r in found):
        cells, order[method] = [], -1.0
        for name in columns:
            per_seed = grouped(by.get((method, name), []), ("seed",))
            whole = [r for group in per_seed.values() if _cells(group) == wanted[name] for r in group]
            values = _per_seed(whole, "adapted_last") if whole else []
            absent = OPEN if floors.asked(bare_name(method), name) else NOT_ASKED
            cells.append(_with_interval(values, seeds) if values else absent)
            if values and name == columns[0]:
                order[method] = float(np.mean(values))
        first = by.get((method, columns[0]), [])
        absent = OPEN if floors.asked(bare_name(method), columns[0]) else NOT_ASKED
        rows[method] = [method, *cells, f"{np.mean([r['seconds'] for r in first]):.3g}" if first else absent]
    ordered = floors.with_floors(sorted(rows, key=lambda method: -order[method]), rows)
    return table(["method", *columns, f"s a cell, {columns[0]}"], [rows[method] for method in ordered])


def by_corruption(found: Sequence[Record]) -> str:
    """A row a method, a column a corruption: mean in % over seeds, open where nothing was measured.

    Where there are several, each level has a column of its own (WHN-L1), each protocol rows of its own (tent, online).
    """
    columns = list(grouped(found, ("corruption", "level")))
    names = [corruption for corruption, _ in columns]
    labels = [name if names.count(name) == 1 else f"{name}-{level}" for name, level in columns]
    several = len({r["protocol"] for r in found}) > 1
    rows = []
    for (method, protocol), group in grouped(found, ("method", "protocol")).items():
        by = grouped(group, ("corruption", "level"))
        values = [[r["adapted_last"] for r in by.get(place, [])] for place in columns]
        label = f"{method}, {protocol}" if several else method
        rows.append([label, *(f"{100 * np.mean(v):.1f}" if v else OPEN for v in values)])
    return table(["method", *labels], rows)


def versus(found: Sequence[Record], baseline: str = "tent") -> str:
    """A row a method, floors left out: its difference to a baseline over the cells that both have, in points."""
    by = grouped(floors.without_floors(apart(found)), ("method",))
    if (baseline,) not in by:
        raise BadInput(f"no record of {baseline} to compare with")

    def values(records: Sequence[Record]) -> dict[tuple[Any, Any], float]:
        places = (*GROUP, "corruption", "level")
        return {(r["seed"], tuple(r[key] for key in places)): r["adapted_last"] for r in records}

    rows = []
    for (method,), group in by.items():
        if method == baseline:
            continue
        c = intervals.compare(values(group), values(by[baseline,]))
        gap = f"{100 * c.mean:+.1f} [{100 * c.low:+.1f}, {100 * c.high:+.1f}]"
        rows.append((c.mean, [method, gap, f"{c.wins:g} of {c.pairs}", f"{c.p:.2f}"]))
    ordered = [row for _, row in sorted(rows, key=lambda item: -item[0])]
    return table(["method", f"minus {baseline} (points)", "cells better", "p (sign flip over seeds)"], ordered)


def criteria(found: Sequence[Record]) -> str:
    """A row a label-free criterion: the metric of the epochs it chooses, beside the last epoch and the oracle.

    Only offline records count (the others have no epochs to choose from), and none at rate 0, whose epochs are alike.
    """
    offline = [r for r in floors.without_floors(apart(found)) if len(r["curve"]) > 2]
    if not offline:
        raise BadInput("no offline record with several epochs, expected some to choose from")
    oracle = np.array([_points(r)[r["selection"]["oracle_epoch"]]["metric"] for r in offline])
    names = [
        name for name in offline[0]["curve"][0]["criteria"] if all(name in r["curve"][0]["criteria"] for r in offline)
    ]
    chosen = {name: [selection.choose([p["criteria"][name] for p in r["curve"]]) for r in offline] for name in names}
    choices = {
        "oracle (test labels)": [r["selection"]["oracle_epoch"] for r in offline],
        "last": [len(r["curve"]) - 1 for r in offline],
        "first (no adaptation)": [0] * len(offline),
        **chosen,
    }
    fallen = np.array([r["collapsed"] for r in offline])
    rows = []
    for name, epochs in choices.items():
        values = np.array([_points(r)[epoch]["metric"] for r, epoch in zip(offline, epochs, strict=True)])
        lost = oracle - values
        worst = f"{100 * lost.max():.1f}"
        caught = f"{100 * values[fallen].mean():.1f}" if fallen.any() else "-"
        near = f"{100 * np.mean(lost <= 0.005):.0f} %"
        rows.append([name, f"{100 * values.mean():.2f}", f"{100 * lost.mean():.2f}", worst, near, caught])
    header = ["choice", "mean", "lost to the oracle", "worst loss", "within 0.5 points", "mean of collapsed runs"]
    return table(header, rows)
