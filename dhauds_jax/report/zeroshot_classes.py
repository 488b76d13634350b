"""Tables of the classes of zero-shot rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dhauds_jax.report.tables import Record, grouped, table
from dhauds_jax.report.zeroshot_lines import lines_of, made_of


def class_table(found: Sequence[Record]) -> str:
    """The accuracy of each class: plain of every kind of prototypes, and the change that every row makes, in points."""
    lines = [line for line in lines_of(found) if line.first["scorer"] != "plain"]
    classes = found[0]["classes"]
    kinds = grouped(found, ("prototypes", "train"))
    plain = [
        np.array([[np.nan if v is None else v for v in r["per_class"][0]] for r in kinds[k]], float) for k in kinds
    ]
    header = ["class", *(f"{made_of(*kind)} plain" for kind in kinds), *(f"{line.made} {line.name}" for line in lines)]
    rows = []
    for k, name in enumerate(classes):
        row = [name, *(_percent(each[:, k]) for each in plain)]
        for line in lines:
            change = [_difference(record, k) for record in line.members]
            row.append("-" if np.isnan(change).all() else f"{100 * float(np.nanmean(change)):+.1f}")
        rows.append(row)
    return table(header, rows)


def _difference(record: Record, k: int) -> float:
    before, after = (each[k] for each in record["per_class"])
    return float("nan") if before is None or after is None else after - before


def _percent(values: np.ndarray) -> str:
    return "-" if np.isnan(values).all() else f"{100 * float(np.nanmean(values)):.1f}"
