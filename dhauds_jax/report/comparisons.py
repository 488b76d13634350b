"""Paired comparisons of a method with others, over seeds and over cells, as honest as the number of pairs allows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.report.estimates import CELL, Unit, cell_name, estimate, names_of, unit_name, units
from dhauds_jax.report.floors import clips_of
from dhauds_jax.report.intervals import least_p, seeds_needed, sign_flip
from dhauds_jax.report.looks import bare_name
from dhauds_jax.report.tables import GROUP, Record, grouped, of_transmissions, table
from dhauds_jax.report.tidy import Row
from dhauds_jax.wording import counted

Cell = tuple[str, str, str, str]
Pair = tuple[Unit, Cell, float, float]
"""A seed with its source weights, a cell, and the two methods' values."""

ONE, ALL = "cell", "all cells"
SEEDS, CELLS = "seeds", "cells"

READING = (
    "A pair is two runs of one cell with the same seed, source weights, clips and draws. *difference* is the first "
    "method's minus the other's, in points, after the last epoch (online: as the stream went by), with Student's 95 % "
    "interval over what stands under *over*, which assumes normal differences. *p* is of the two-sided sign-flip test, "
    "which assumes only that a difference is as likely negative as positive; *least p* is the smallest that so many "
    "differences allow; *p (Holm)* is corrected for the number of rows of its kind (single cells; all cells over "
    "seeds; all cells over cells). Over seeds asks whether other seeds would show the same on these cells, over cells "
    "whether other corruptions would with these seeds; clean cells have no part in either."
)


class Comparison(NamedTuple):
    """A method against others, on the records that may stand in one table.

    Attributes:
      place: dataset, net, metric, profile, protocol ("all" where it is over several data sets and networks).
      rows: as for csv.
      notes: sentences on how many pairs there are, and on runs that lack a partner.
    """

    place: tuple[str, ...]
    rows: list[Row]
    notes: list[str]


def compare(found: Sequence[Record], methods: Sequence[str]) -> list[Comparison]:
    """The first method against each of the others: each data set and network, and all of them if there are several.

    Args:
      found: records, their methods named by `tables.with_variants`.
      methods: two names or more.

    Raises:
      BadInput: less than two names, one that no record has, or no pair at all.
    """
    _check(found, methods)
    out = []
    for (profile, protocol), members in grouped(found, ("profile", "protocol")).items():
        groups = list(grouped(members, ("dataset", "net", "metric")).items())
        out += [_one((*place, profile, protocol), group, methods) for place, group in groups]
        if len(groups) > 1:
            metrics = {place[2] for place, _ in groups}
            metric = metrics.pop() if len(metrics) == 1 else "several"
            out.append(_one(("all", "all", metric, profile, protocol), members, methods))
    if not any(one.rows for one in out):
        notes = " ".join(dict.fromkeys(note for one in out for note in one.notes))
        raise BadInput(f"--compare={','.join(methods)}: no two runs make a pair. {notes}")
    return [one for one in out if one.rows or one.notes]


def names_in(text: str) -> list[str]:
    """Names between commas; those inside the brackets of a name with settings part nothing."""
    return [name.strip() for name in re.split(r",(?![^\[\]]*\])", text)]


def _check(found: Sequence[Record], methods: Sequence[str]) -> None:
    asked = f"--compare={','.join(methods)}"
    if len(set(methods)) < max(2, len(methods)):
        raise BadInput(
            f"{asked}: expected two methods or more, each once; the first is compared with each of the others"
        )
    names = list(dict.fromkeys(r["method"] for r in found))
    for method in methods:
        settings = [f"'{name}'" for name in names if bare_name(name) == method]
        if method not in names and settings:
            raise BadInput(f"{asked}: {method} ran with several settings, expected one of {', '.join(settings)}")
        if method not in names:
            raise BadInput(f"{asked}: no record of {method}, expected some of {', '.join(names)}")


def _one(place: tuple[str, ...], found: Sequence[Record], methods: Sequence[str]) -> Comparison:
    first, *others = methods
    rows: list[Row] = []
    notes: list[str] = []
    for other in others:
        pairs, alone = pairs_of(found, first, other)
        notes += [f"Without a partner: {line}." for line in alone]
        where = {**dict(zip(GROUP, place, strict=True)), "method": first, "against": other}
        found_rows, lacking = _rows(pairs, place[0] == "all")
        rows += [{**where, **row} for row in found_rows]
        notes += [f"No part in the difference to {other} over seeds: {lacking}."] if lacking else []
    for kind in ((ONE, SEEDS), (ALL, SEEDS), (ALL, CELLS)):
        same = [row for row in rows if (row["scope"], row["over"]) == kind]
        for row, p in zip(same, holm([row["p"] for row in same]), strict=True):
            row["p_holm"] = p
    return Comparison(place, rows, [*_how_many(rows, found, methods), *dict.fromkeys(notes)])


def pairs_of(found: Sequence[Record], a: str, b: str) -> tuple[list[Pair], list[str]]:
    """The pairs of two methods, and a line for either method on the runs that lack a partner."""
    runs: dict[str, dict[tuple, list[float]]] = {a: {}, b: {}}
    for unit, r in zip(units(found), found, strict=True):
        if r["method"] in runs:
            key = (unit, tuple(r[name] for name in CELL), clips_of(r))
            runs[r["method"]].setdefault(key, []).append(r["adapted_last"])
    pairs = [
        (unit, cell, float(np.mean(values)), float(np.mean(runs[b][unit, cell, clips])))
        for (unit, cell, clips), values in runs[a].items()
        if (unit, cell, clips) in runs[b]
    ]
    lines = []
    for one, two in ((a, b), (b, a)):
        if runs[one] and not runs[two]:
            settings = [name for name in dict.fromkeys(r["method"] for r in found) if name.startswith(f"{two} [")]
            why = f"did not run here{f' (it ran as {chr(44).join(settings)})' if settings else ''}"
            lines.append(f"{counted(len(runs[one]), 'run')} of {one}: {two} {why}")
            continue
        near = {key[:2] for key in runs[two]}
        alone = [key for key in runs[one] if key not in runs[two]]
        names = [
            f"{_cell(cell, found)} {unit_name(unit)}{' (other draws or clips)' if (unit, cell) in near else ''}"
            for unit, cell, _ in alone
        ]
        if names:
            lines.append(f"{counted(len(names), 'run')} of {one} have no {two} ({', '.join(names)})")
    return pairs, lines


def _cell(cell: Cell, found: Sequence[Record]) -> str:
    dataset, net, corruption, level = cell
    alone = len({(r["dataset"], r["net"]) for r in found}) == 1
    return cell_name(corruption, level) if alone else f"{dataset}, {net}, {cell_name(corruption, level)}"


def _rows(pairs: Sequence[Pair], several: bool) -> tuple[list[Row], str]:
    """The rows of one pair of methods, and who has no part in the mean over seeds.

    A row a cell (not where there are several data sets), and over all cells one over seeds and one over cells.
    """
    rows = []
    for cell in () if several else dict.fromkeys(cell for _, cell, _, _ in pairs):
        where = {"scope": ONE, "over": SEEDS, "corruption": cell[2], "level": cell[3]}
        rows.append({**where, **_tested([p for p in pairs if p[1] == cell], 0)})
    corrupted = [p for p in pairs if p[1][2] != CLEAN] or list(pairs)
    corrupted = [p for p in corrupted if not of_transmissions(p[1][2])] or corrupted
    cells = list(dict.fromkeys(cell for _, cell, _, _ in corrupted))
    lacking = {}
    for unit in sorted({unit for unit, _, _, _ in corrupted}):
        absent = [cell for cell in cells if cell not in {p[1] for p in corrupted if p[0] == unit}]
        if absent:
            lacking[unit] = absent
    whole = [p for p in corrupted if p[0] not in lacking]
    over_all = {"scope": ALL, "corruption": "", "level": ""}
    if whole:
        rows.append({**over_all, "over": SEEDS, **_tested(whole, 0)})
    if len(cells) > 1:
        rows.append({**over_all, "over": CELLS, **_tested(corrupted, 1)})
    return rows, names_of(lacking)


def _tested(pairs: Sequence[Pair], position: int) -> Row:
    """Means, difference and test over units (position 0 of a pair) or cells (1): the pairs' means within each first."""
    groups: dict[Unit | Cell, list[tuple[float, float]]] = {}
    for pair in pairs:
        groups.setdefault(pair[position], []).append(pair[2:])
    a, b = np.array([np.mean(members, 0) for members in groups.values()]).T
    gap = estimate(a - b)
    return {
        "n": len(groups),
        "pairs": len(pairs),
        "mean": float(a.mean()),
        "mean_against": float(b.mean()),
        "difference": gap.mean,
        "low": gap.low,
        "high": gap.high,
        "sd": gap.sd,
        "better": sum(x > y for _, _, x, y in pairs),
        "equal": sum(x == y for _, _, x, y in pairs),
        "p": sign_flip(a - b),
        "p_least": least_p(len(groups)),
    }


def _better(row: Row) -> str:
    equal = f", {row['equal']} equal" if row["equal"] else ""
    return f"{row['better']} of {row['pairs']}{equal}"


def holm(p: Sequence[float]) -> list[float]:
    """P-values corrected for their number: the family-wise error stays at its level. Source: Holm 1979."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    out = np.empty(len(values))
    out[order] = np.minimum(raised, 1.0)
    return out.tolist()


def _how_many(rows: Sequence[Row], found: Sequence[Record], methods: Sequence[str]) -> list[str]:
    """What the number of seeds allows to be said."""
    seeds = max((row["n"] for row in rows if row["over"] == SEEDS), default=0)
    if not seeds:
        return []
    notes = [f"{counted(seeds, 'seed')}: no p over seeds can be below {least_p(seeds):.2g}"]
    if least_p(seeds) >= 0.05:
        notes[0] += f"; for one below 0.05 it takes {seeds_needed(0.05)} seeds or more, for any number of cells"
    places = grouped([r for r in found if r["method"] in methods], ("dataset", "net"))
    if seeds > 1 and any(len({r["source_checkpoint"] for r in own}) < seeds for own in places.values()):
        notes.append("Seeds share a source model: they vary what adaptation draws, not the training")
    return [f"{note}." for note in notes]


def as_markdown(one: Comparison) -> str:
    """The table of a comparison, if it has rows, and its notes as a list."""
    tables = [comparison_table(one.rows)] if one.rows else []
    return "\n".join([*tables, *(f"- {note}" for note in one.notes), ""])


def comparison_table(rows: Sequence[Row]) -> str:
    """The rows of a comparison as Markdown, in % and points."""
    header, cells = shown(rows)
    return table(header, [[f"**{c[0]}**" if row["scope"] == ALL else c[0], *c[1:]] for row, c in zip(rows, cells)])


def shown(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """The columns of a comparison and its cells as words, for Markdown and LaTeX."""
    first = rows[0]["method"]
    header = ["cell", "against", "over", first, "other", "difference [95 %]", "better", "p", "p (Holm)", "least p"]
    lines = []
    for row in rows:
        name = ALL if row["scope"] == ALL else cell_name(row["corruption"], row["level"])
        gap = f"{100 * row['difference']:+z.1f}"
        if not np.isnan(row["low"]):
            gap += f" [{100 * row['low']:+z.1f}, {100 * row['high']:+z.1f}]"
        over = counted(row["n"], row["over"].removesuffix("s"))
        ends = [_better(row), *(_p(row[key]) for key in ("p", "p_holm", "p_least"))]
        values = [f"{100 * row[key]:.1f}" for key in ("mean", "mean_against")]
        lines.append([name, row["against"], over, *values, gap, *ends])
    return header, lines


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1g}"
