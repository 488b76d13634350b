"""The tables of benchmarks/home_sounds.py, from its records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from dhauds_jax.files import write_atomically

RECORDS = Path("docs/records/home_sounds/crossval.jsonl")
BEGIN, END = "<!-- home_sounds: docs/records/home_sounds/crossval.jsonl -->\n", "<!-- end -->"

Row = Mapping[str, Any]

WORDS = {
    "corrected": "corrected, with pink noise (baseline)",
    "no_noise": "without noise",
    "extra_all": "with extra clips, all classes",
    "extra_dog": "with extra clips, dog",
    "extra_nondog": "with extra clips, all but dog",
    "reference": "profile reference",
    "reference_2_epochs": "profile reference, about as many updates",
}


def read(path: Path) -> list[Row]:
    """The records."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def with_interval(values: Sequence[float], factor: float = 100.0, digits: int = 1) -> str:
    """A mean, and half of Student's 95 % interval over seeds."""
    found = factor * np.asarray(values, float)
    mean = f"{found.mean():.{digits}f}"
    if len(found) < 2:
        return mean
    half = stats.t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found))
    return f"{mean} ± {half:.{digits}f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    marks = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", marks, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def _rows(found: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    return [(name, some) for name in WORDS if (some := [row for row in found if row["row"] == name])]


def folds_table(found: Sequence[Row]) -> str:
    """Homes that a fold was not trained on: mean of the folds, with what was chosen, and the oracle's gap."""
    header = ["row", "seeds", "AUC", "accuracy", "ECE at T = 1", "ECE", "AUC by the oracle", "gap"]
    lines = []
    for name, some in _rows(found):
        numbers = [[one[key] for one in some] for key in ("auc", "accuracy", "ece_before", "ece", "oracle_auc")]
        gap = "0, by its nature" if some[0]["gap"] is None else with_interval([one["gap"] for one in some])
        lines.append([WORDS[name], str(len(some)), *map(with_interval, numbers), gap])
    return table(header, lines)


_PREDICTORS = {
    "single": "one model",
    "single_views": "one model, 5 shifts",
    "folds": "5 folds",
    "folds_views": "5 folds x 5 shifts",
}


def ensembles_table(found: Sequence[Row]) -> str:
    """The homes that no fold saw: single models against ensembles, AUC and accuracy."""
    header = ["row", *(f"{words}: AUC" for words in _PREDICTORS.values()), "accuracy, one model", "accuracy, 5 x 5"]
    header += ["ECE, one model", "ECE, 5 x 5"]
    lines = []
    for name, some in _rows(found):
        areas = [with_interval([one["test"][key]["auc"] for one in some]) for key in _PREDICTORS]
        rest = [
            with_interval([one["test"][key][what] for one in some])
            for what in ("accuracy", "ece")
            for key in ("single", "folds_views")
        ]
        lines.append([WORDS[name], *areas, *rest])
    return table(header, lines)


def against_baseline(found: Sequence[Row]) -> str:
    """What each change adds to the baseline, seed by seed, in points."""
    base = {row["seed"]: row for row in found if row["row"] == "corrected"}
    lines = []
    for name, some in _rows(found):
        pairs = [(one, base[one["seed"]]) for one in some if one["seed"] in base and name != "corrected"]
        if not pairs:
            continue
        cells = [[one["auc"] - other["auc"] for one, other in pairs]]
        cells.append([one["test"]["folds_views"]["auc"] - other["test"]["folds_views"]["auc"] for one, other in pairs])
        lines.append([WORDS[name], *(", ".join(f"{100 * gap:+.1f}" for gap in gaps) for gaps in cells)])
    return table(["against the baseline, by seed", "AUC, folds", "AUC, unseen homes, 5 x 5"], lines) if lines else ""


def tables(found: Sequence[Row]) -> str:
    """All tables."""
    made: list[Callable[[Sequence[Row]], str]] = [folds_table, ensembles_table, against_baseline]
    return "\n".join(filter(None, (one(found) for one in made)))


def filled(text: str, found: Sequence[Row]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: BEGIN + tables(found) + END, text)


def fill(page: Path) -> str:
    """Renders the tables of a page in place, from the committed records."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), read(RECORDS)))
    return f"tables rendered: {page}"
