"""Tidy tables: a row an estimate, its place in columns of their own; what the csv files of a report hold."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dhauds_jax.files import for_spreadsheet
from dhauds_jax.report.estimates import CELL, Estimate, by_unit, estimate, names_of, over_cells
from dhauds_jax.report.published import AFTER, BEFORE, has_published, published_value
from dhauds_jax.report.tables import GROUP, Record, grouped, shifted

Row = dict[str, Any]
"""Column -> value; NaN stands for nothing."""

FRACTION, NATS, SECONDS, EPOCH, SCORE = "fraction", "nats", "s", "epoch", "score"
"""Units: of metrics (1 is 100 %), of the negative log-likelihood, of time, numbers of epochs, silhouettes (-1 to 1)."""

QUANTITIES: Mapping[str, tuple[str, Callable[[Record], float]]] = {
    "non_adapted": (FRACTION, lambda r: r["non_adapted"]),
    "adapted_last": (FRACTION, lambda r: r["adapted_last"]),
    "adapted_selected": (FRACTION, lambda r: r["adapted_selected"]),
    "adapted_oracle": (FRACTION, lambda r: r["adapted_oracle"]),
    "gain": (FRACTION, lambda r: r["adapted_last"] - r["non_adapted"]),
    "ece": (FRACTION, lambda r: r["ece"]),
    "nll": (NATS, lambda r: r["nll"]),
    "seconds": (SECONDS, lambda r: r["seconds"]),
}
"""What is estimated of a cell, with its unit; gain is last minus non-adapted."""


def text(rows: Sequence[Row]) -> str:
    """Rows as csv (UTF-8, a header, numbers in full); NaN is an empty field."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: "" if isinstance(v, float) and np.isnan(v) else for_spreadsheet(v) for name, v in row.items()}
        for row in rows
    )
    return out.getvalue()


def _of(found: Sequence[Record], value: Callable[[Record], float]) -> Estimate:
    """Of one cell: a value a seed, the mean of its runs where there are several."""
    return estimate([float(np.mean([value(r) for r in group])) for group in by_unit(found).values()])


def _models(found: Iterable[Record]) -> int:
    return len({r["source_checkpoint"] for r in found})


def cells(found: Sequence[Record]) -> list[Row]:
    """A row a cell, method and quantity.

    `source_weights` is the number of source models: seeds that share one vary only what adaptation draws.
    """
    rows = []
    for place, members in grouped(found, (*GROUP, "corruption", "level", "method")).items():
        where = dict(zip((*GROUP, "corruption", "level", "method"), place, strict=True))
        ends = {"source_weights": _models(members), "clips": members[0]["n"]}
        ends["collapsed"] = sum(bool(r["collapsed"]) for r in members)
        for quantity, (unit, value) in QUANTITIES.items():
            rows.append({**where, "quantity": quantity, "unit": unit, **_of(members, value)._asdict(), **ends})
    return rows


def means(found: Sequence[Record]) -> list[Row]:
    """A row a method and quantity on a data set and network, and over all of them: means over the corrupted cells.

    A seed that lacks one of the method's cells has no part in its mean; `left_out` names it. `of_cells` is how many
    cells any method has there: means over other cells do not compare.
    """
    rows = []
    for (profile, protocol), members in grouped(found, ("profile", "protocol")).items():
        places = list(grouped(members, ("dataset", "net", "metric")).items())
        if len(places) > 1:
            metrics = list(dict.fromkeys(metric for (_, _, metric), _ in places))
            places.append((("all", "all", metrics[0] if len(metrics) == 1 else "several"), members))
        for place, group in places:
            where = dict(zip(GROUP, (*place, profile, protocol), strict=True))
            kept = shifted(group)
            for (method,), own in grouped(kept, ("method",)).items():
                rows += _means({**where, "method": method}, own, len(grouped(kept, CELL)))
    return rows


def _means(where: Row, own: Sequence[Record], whole: int) -> list[Row]:
    rows = []
    for quantity, (unit, value) in QUANTITIES.items():
        found = over_cells(own, value)
        numbers = estimate(list(found.values.values()))._asdict()
        ends = {"source_weights": _models(own), "cells": found.cells, "of_cells": whole}
        ends["left_out"] = names_of(found.left_out)
        rows.append({**where, "quantity": quantity, "unit": unit, **numbers, **ends})
    return rows


def beside_published(found: Sequence[Record]) -> list[Row]:
    """A row a cell, method and published value: what was published, what is found here, and how far it is from it."""
    rows = []
    keys = (*GROUP, "corruption", "level", "method")
    for place, members in grouped([r for r in found if has_published(r)], keys).items():
        where = dict(zip(keys, place, strict=True))
        for quantity, key in (("non_adapted", BEFORE), ("adapted_oracle", AFTER)):
            said = published_value(members, key)
            unit, value = QUANTITIES[quantity]
            here = _of(members, value)
            row = {**where, "quantity": quantity, "unit": unit, "published": said, **here._asdict()}
            rows.append({**row, "difference": here.mean - said})
    return rows


def effects(option: str, groups: Sequence[Mapping[str, Sequence[Record]]]) -> list[Row]:
    """A row a cell, value of the option that alone differs, and quantity: the best epoch by test labels, the last."""
    keys = (*GROUP, "corruption", "level", "method")
    rows = []
    for members in (members for group in groups for members in group.values()):
        where = {key: members[0][key] for key in keys}
        where |= {"option": option, "value": members[0]["options"][option]}
        curves = {unit: np.mean([_curve(r) for r in group], 0) for unit, group in by_unit(members).items()}
        values = {
            "best": (FRACTION, [float(c.max()) for c in curves.values()]),
            "best_epoch": (EPOCH, [1.0 + int(c.argmax()) for c in curves.values()]),
            "last": (FRACTION, [float(c[-1]) for c in curves.values()]),
        }
        for quantity, (unit, of_seeds) in values.items():
            rows.append({**where, "quantity": quantity, "unit": unit, **estimate(of_seeds)._asdict()})
    return rows


def _curve(record: Record) -> list[float]:
    """The metric after each epoch, from the first."""
    return [point.get("evaluation", point)["metric"] for point in record["curve"][1:]]


def silhouettes(found: Sequence[Record]) -> list[Row]:
    """A row a record with embeddings, and quantity: the silhouette of its classes, of its tokens' where there are."""
    keys = (*GROUP, "corruption", "level", "method", "seed")
    rows = []
    for r in found:
        for name in ("silhouette", "silhouette_tokens"):
            for when, score in zip(("before", "after"), r.get(name) or ()):
                quantity = {"quantity": f"{name}_{when}", "unit": SCORE, "mean": float(score)}
                rows.append({**{key: r[key] for key in keys}, **quantity})
    return rows
