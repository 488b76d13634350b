"""Estimates: means over seeds with intervals, of single cells and of means over cells.

A cell is a corruption at a level (of a data set and network); a run of it has a seed and source weights. Cells of one
seed share the source model, so the seed is what intervals are over: a mean over cells is taken within each seed first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from dhauds_jax.names import CLEAN
from dhauds_jax.report.tables import Record, grouped
from dhauds_jax.wording import plural

CELL = ("dataset", "net", "corruption", "level")
"""What names a cell."""

Unit = tuple[int, int]
"""A seed, and which of its source weights (from 0; there is one unless networks were trained anew)."""


class Estimate(NamedTuple):
    """A mean with its interval.

    Attributes:
      mean: of one value a seed; NaN where there is none.
      low, high: Student's 95 % interval of the mean, n - 1 degrees of freedom; NaN with less than two seeds.
      sd: sample standard deviation (n - 1); NaN with less than two seeds.
      seeds: n.
    """

    mean: float
    low: float
    high: float
    sd: float
    seeds: int


def estimate(values: Sequence[float] | np.ndarray) -> Estimate:
    """The mean of one value a seed, with an interval that does not pretend that few seeds were many.

    With three seeds it is 2.5 standard deviations to either side (t = 4.30). It holds if the values are normal, and
    takes no notice of bounds such as 100 %. Source: Student 1908.
    """
    values = np.asarray(values, np.float64)
    count = len(values)
    if count < 2:
        return Estimate(float(values[0]) if count else np.nan, np.nan, np.nan, np.nan, count)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf(0.975, count - 1)) * sd / count**0.5
    return Estimate(mean, mean - half, mean + half, sd, count)


def units(found: Sequence[Record]) -> list[Unit]:
    """The unit of each record: its seed, and the place of its source weights among those of its net and seed."""
    weights: dict[tuple, list[str]] = {}
    out = []
    for record in found:
        known = weights.setdefault(tuple(record[key] for key in ("dataset", "net", "seed")), [])
        if record["source_checkpoint"] not in known:
            known.append(record["source_checkpoint"])
        out.append((record["seed"], known.index(record["source_checkpoint"])))
    return out


def by_unit(found: Sequence[Record]) -> dict[Unit, list[Record]]:
    """The records of each unit."""
    out: dict[Unit, list[Record]] = {}
    for unit, record in zip(units(found), found, strict=True):
        out.setdefault(unit, []).append(record)
    return out


class CellMeans(NamedTuple):
    """A mean over cells, one value a seed.

    Attributes:
      values: unit -> its mean over the cells, in the order of the seeds.
      cells: number of cells.
      left_out: unit -> the cells that it lacks; such a seed has no value, since its mean would be over others.
    """

    values: dict[Unit, float]
    cells: int
    left_out: dict[Unit, list[tuple]]


def over_cells(found: Sequence[Record], value: Callable[[Record], float]) -> CellMeans:
    """The mean over all cells of the records, of each seed that has them all; a cell run twice counts once."""
    cells = list(grouped(found, CELL))
    values, lacking = {}, {}
    for unit, members in sorted(by_unit(found).items()):
        means = {cell: float(np.mean([value(r) for r in group])) for cell, group in grouped(members, CELL).items()}
        absent = [cell for cell in cells if cell not in means]
        if absent:
            lacking[unit] = absent
        else:
            values[unit] = float(np.mean(list(means.values())))
    return CellMeans(values, len(cells), lacking)


def names_of(lacking: Mapping[Unit, Sequence[tuple]]) -> str:
    """Who lacks what: "seed 1, seed 2 lack WHN-L2, TST-L1; seed 3 lacks WHN-L2"."""
    several = len({cell[:2] for cells in lacking.values() for cell in cells}) > 1
    alike: dict[tuple, list[str]] = {}
    for unit, cells in lacking.items():
        alike.setdefault(tuple(cells), []).append(unit_name(unit))
    lines = []
    for cells, names in alike.items():
        places: dict[tuple, list[str]] = {}
        for dataset, net, corruption, level in cells:
            places.setdefault((dataset, net), []).append(cell_name(corruption, level))
        listed = [f"{', '.join(own)}{f' of {d}, {n}' if several else ''}" for (d, n), own in places.items()]
        lines.append(f"{', '.join(names)} {plural(len(names), 'lacks', 'lack')} {' and '.join(listed)}")
    return "; ".join(lines)


def cell_name(corruption: str, level: str) -> str:
    """A corruption with its level, such as WHN-L2; "clean" as it is."""
    return corruption if corruption == CLEAN else f"{corruption}-{level}"


def unit_name(unit: Unit) -> str:
    """seed 0, or seed 0 of source weights 2 (the second of them)."""
    return f"seed {unit[0]}" if unit[1] == 0 else f"seed {unit[0]} of source weights {unit[1] + 1}"
