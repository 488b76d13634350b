"""The tables of a report as files for a paper: csv to compute with, LaTeX to print."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from dhauds_jax.report import comparisons, latex, single_options, tidy
from dhauds_jax.report.comparisons import Comparison
from dhauds_jax.report.estimates import cell_name
from dhauds_jax.report.published import has_published
from dhauds_jax.report.tables import GROUP, Record, grouped, title, with_variants
from dhauds_jax.report.tidy import Row

KINDS = ("csv", "latex")

_LABELS = {
    "non_adapted": "non-adapted",
    "adapted_last": "last",
    "adapted_selected": "label-free",
    "adapted_oracle": "oracle",
    "gain": "gain",
    "ece": "ECE",
    "nll": "NLL (nats)",
    "seconds": "s a run",
    "best": "best (oracle)",
    "best_epoch": "at epoch",
    "last": "last",
    "silhouette_before": "before",
    "silhouette_after": "after",
    "silhouette_tokens_before": "tokens before",
    "silhouette_tokens_after": "tokens after",
}
_SIGNED = ("gain",)

_INTERVALS = (
    "Means over seeds, behind the plus-minus half of Student's 95 % interval over seeds (none with one seed).\n"
    "Metrics and ECE in %. Needs \\usepackage{booktabs}."
)


def files(found: Sequence[Record], kinds: Sequence[str], compared: Sequence[Comparison] = ()) -> dict[str, str]:
    """Name of a file -> its text, for all tables of a report.

    Args:
      found: records, of `tables.latest`.
      kinds: of `KINDS`.
      compared: of `comparisons.compare`.
    """
    named = with_variants(found)
    effects = {option: single_options.apart(found, option) for option in single_options.OPTIONS}
    effect_rows = {option: tidy.effects(option, groups) for option, groups in effects.items() if groups}
    out: dict[str, str] = {}
    if "csv" in kinds:
        out |= _csv(named, [row for rows in effect_rows.values() for row in rows], compared)
    if "latex" in kinds:
        out |= _latex(named, effect_rows, compared)
    return out


def _csv(named: Sequence[Record], effects: Sequence[Row], compared: Sequence[Comparison]) -> dict[str, str]:
    rows = {
        "cells": tidy.cells(named),
        "means": tidy.means(named),
        "published": tidy.beside_published(named),
        "effects": effects,
        "embeddings": tidy.silhouettes(named),
        "comparisons": [row for one in compared for row in one.rows],
    }
    return {f"{name}.csv": tidy.text(members) for name, members in rows.items() if members}


def _latex(
    named: Sequence[Record], effects: Mapping[str, Sequence[Row]], compared: Sequence[Comparison]
) -> dict[str, str]:
    means = tidy.means(named)
    out = {"means.tex": _means(means)}
    for number, (place, members) in enumerate(grouped(named, GROUP).items(), 1):
        about = title(place)
        cells = tidy.cells(members)
        over_all = [row for row in means if tuple(row[key] for key in GROUP) == place]
        out[f"cells-{number}.tex"] = _by_method(cells, over_all, about)
        out[f"choices-{number}.tex"] = _pivot(cells, ("corruption", "level", "method"), f"{about}: choices of epoch.")
        if any(has_published(r) for r in members):
            out[f"published-{number}.tex"] = _beside_published(tidy.beside_published(members), about)
    for option, rows in effects.items():
        keys = ("dataset", "net", "corruption", "level", "method", "value")
        about = f"{single_options.OPTIONS[option]}; best and its epoch by test labels."
        out[f"effect-{option}.tex"] = _pivot(rows, keys, about, {"value": option})
    silhouettes = tidy.silhouettes(named)
    if silhouettes:
        keys = ("dataset", "net", "corruption", "level", "method", "protocol", "seed")
        out["embeddings.tex"] = _pivot(silhouettes, keys, "Silhouette of the classes before and after adaptation.")
    for number, one in enumerate((one for one in compared if one.rows), 1):
        out[f"comparison-{number}.tex"] = _comparison(one)
    return out


def _pivot(rows: Sequence[Row], keys: Sequence[str], about: str, labels: Mapping[str, str] | None = None) -> str:
    """A row a place (the values of `keys`), a column a quantity."""
    columns = list(dict.fromkeys(row["quantity"] for row in rows))
    header = [*((labels or {}).get(key, key) for key in keys), *(_LABELS[column] for column in columns)]
    lines = []
    for place, members in grouped(rows, keys).items():
        by = {row["quantity"]: latex.estimate(row, row["quantity"] in _SIGNED) for row in members}
        lines.append([*(latex.escape(str(one)) for one in place), *(by.get(c, latex.NOTHING) for c in columns)])
    return latex.tabular(header, lines, len(keys), f"{about}\n{_INTERVALS}")


def _means(rows: Sequence[Row]) -> str:
    kept = [row for row in rows if row["quantity"] in ("non_adapted", *_OF_MEANS)]
    keys = ("dataset", "net", "protocol", "profile", "method", "cells", "seeds")
    notes = dict.fromkeys(f"{row['method']}, {row['protocol']}: {row['left_out']}" for row in kept if row["left_out"])
    about = "\n".join(["Means over the corrupted cells.", *(f"Left out: {note}." for note in notes)])
    return _pivot(kept, keys, about)


_OF_MEANS = ("adapted_last", "adapted_selected", "adapted_oracle", "gain")


def _by_method(cells: Sequence[Row], means: Sequence[Row], about: str) -> str:
    """A row a corruption and level, a column a method, after the last epoch; below them the mean over the cells."""
    methods = list(dict.fromkeys(row["method"] for row in cells))
    lines: list[list[str] | None] = []
    for (corruption, level), members in grouped(cells, ("corruption", "level")).items():
        lines.append([latex.escape(corruption), latex.escape(level), *_across(members, methods)])
    lines += [None, ["mean", "", *_across(means, methods)]]
    partial = [row for row in means if row["quantity"] == "adapted_last" and row["cells"] < row["of_cells"]]
    notes = [f"The mean of {row['method']} is over {row['cells']} of {row['of_cells']} cells." for row in partial]
    lacking = [row for row in means if row["quantity"] == "adapted_last" and row["left_out"]]
    notes += [f"No part in the mean of {row['method']}: {row['left_out']}." for row in lacking]
    what = "After the last epoch (online: as the stream went by); mean: over the corrupted cells, all where none is."
    says = "\n".join([about, what, *notes])
    return latex.tabular(["corruption", "level", "non-adapted", *methods], lines, 2, f"{says}\n{_INTERVALS}")


def _across(rows: Sequence[Row], methods: Sequence[str]) -> list[str]:
    """Non-adapted (of the method that ran on most cells with most seeds), then each method's last, or nothing."""
    given = [row for row in rows if row["quantity"] == "non_adapted"]
    before = max(given, key=lambda row: (row.get("cells", 0), row["seeds"]))
    last = {row["method"]: latex.estimate(row) for row in rows if row["quantity"] == "adapted_last"}
    return [latex.estimate(before), *(last.get(method, latex.NOTHING) for method in methods)]


def _beside_published(rows: Sequence[Row], about: str) -> str:
    """A row a cell and method: before and after (the best epoch by test labels), published and here."""
    lines = []
    for (corruption, level, method), members in grouped(rows, ("corruption", "level", "method")).items():
        line = [latex.escape(cell_name(corruption, level)), latex.escape(method)]
        for row in members:
            line += [latex.estimate(row), latex.number(row["published"])]
        lines.append([*line, latex.number(members[-1]["difference"], signed=True)])
    header = ["cell", "method", "non-adapted", "published", "oracle", "published", "difference"]
    return latex.tabular(header, lines, 2, f"{about}\nDifference: oracle minus published, in points.\n{_INTERVALS}")


def _comparison(one: Comparison) -> str:
    header, cells = comparisons.shown(one.rows)
    lines: list[list[str] | None] = []
    against = one.rows[0]["against"]
    for row, words in zip(one.rows, cells, strict=True):
        lines += [None] if row["against"] != against else []
        against = row["against"]
        lines.append([latex.words(word) for word in words])
    says = "\n".join([title(one.place), *one.notes, *textwrap.wrap(comparisons.READING.replace("*", ""), 110)])
    return latex.tabular(header, lines, 2, f"{says}\nNeeds \\usepackage{{booktabs}}.")
