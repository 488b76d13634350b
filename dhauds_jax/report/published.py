"""Tables that set records beside published values, cell by cell, per data set and overall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.report.tables import Record, grouped, mean_and_spread, shifted, table

BEFORE, AFTER = "non_adapted", "adapted"
"""Keys of a record's `published` values."""

_WAY = ("method", "protocol", "profile")
_OURS = ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle")


def has_published(record: Record) -> bool:
    """Whether a record has a published value beside it."""
    return any(value is not None for value in (record.get("published") or {}).values())


def published_value(cell: Sequence[Record], key: str) -> float:
    """The published value of a cell, NaN where there is none."""
    values = [(record.get("published") or {}).get(key) for record in cell]
    return next((float(value) for value in values if value is not None), np.nan)


def _number(value: float, signed: bool = False) -> str:
    return "-" if np.isnan(value) else f"{100 * value:{'+' if signed else ''}.1f}"


def _way(method: str, protocol: str, profile: str) -> str:
    """How a cell was adapted to; what is usual goes without saying."""
    usual = ("offline", "reference")
    return ", ".join([method, *(word for word in (protocol, profile) if word not in usual)])


def beside_published(found: Sequence[Record]) -> str:
    """A row a cell: before and after adaptation, here and as published, in % of the data set's metric.

    Published adapted values are those of the best epoch by test labels, so the difference is taken to *oracle*.

    Raises:
      BadInput: no record has a published value.
    """
    kept = [r for r in found if has_published(r)]
    if not kept:
        raise BadInput(f"none of {len(found)} records has a published value, expected some of experiments.sweep")
    header = ["cell", "method", "non-adapted", "published", "last", "label-free", "oracle", "published", "difference"]
    rows = []
    for place, cell in grouped(kept, ("dataset", "net", "corruption", "level", *_WAY)).items():
        dataset, net, corruption, level, *way = place
        name = corruption if corruption == CLEAN else f"{corruption}-{level}"
        before, last, selected, oracle = (mean_and_spread([r[key] for r in cell]) for key in _OURS)
        published = [published_value(cell, key) for key in (BEFORE, AFTER)]
        gap = float(np.mean([r["adapted_oracle"] for r in cell])) - published[1]
        ends = (_number(published[1]), _number(gap, signed=True))
        numbers = [before, _number(published[0]), last, selected, oracle, *ends]
        rows.append([f"{dataset}, {net}, {name}", _way(*way), *numbers])
    return table(header, rows)


class _Means:
    """Means over cells, each the mean over its seeds; of the published values over the cells that have both."""

    def __init__(self, found: Sequence[Record]):
        cells = list(grouped(shifted(found), ("dataset", "net", "corruption", "level")).values())
        self.cells = len(cells)
        ours = np.array([[np.mean([r[key] for r in cell]) for key in _OURS] for cell in cells])
        published = np.array([[published_value(cell, key) for key in (BEFORE, AFTER)] for cell in cells])
        self.ours = ours.mean(0)
        both = ~np.isnan(published).any(1)
        self.compared = int(both.sum())
        nothing = np.full(2, np.nan)
        self.published = published[both].mean(0) if self.compared else nothing
        # The differences are over the compared cells alone, or cells without a published value would enter them.
        self.gaps = (ours[both][:, [0, 3]] - published[both]).mean(0) if self.compared else nothing


def overview(found: Sequence[Record]) -> str:
    """A row a method on a data set and network, and one over all of them: means over the corrupted cells, in %.

    *gain* is last minus non-adapted. The published columns are means over the cells for which both published values are
    there (their number in brackets where some lack them), and the differences are over these cells: non-adapted here
    minus published, and oracle here minus published. A mean over data sets mixes their metrics.
    """
    with_said = any(has_published(r) for r in found)
    header = ["data set, network", "method", "cells", "non-adapted", "last", "label-free", "oracle", "gain"]
    if with_said:
        header += ["published: non-adapted", "adapted", "gain", "difference: non-adapted", "oracle"]
    rows = []
    for way, group in grouped(found, _WAY).items():
        parts = [(", ".join(place), _Means(members)) for place, members in grouped(group, ("dataset", "net")).items()]
        if len(parts) > 1:
            parts.append(("**all**", _Means(group)))
        for place, means in parts:
            row = [place, _way(*way), str(means.cells), *map(_number, means.ours)]
            row.append(_number(means.ours[1] - means.ours[0], signed=True))
            rows.append(row + (_said(means) if with_said else []))
    return table(header, rows)


def _said(means: _Means) -> list[str]:
    before, after = means.published
    some = f" ({means.compared})" if 0 < means.compared < means.cells else ""
    gaps = [_number(gap, signed=True) for gap in means.gaps]
    return [_number(before) + some, _number(after), _number(after - before, signed=True), *gaps]
