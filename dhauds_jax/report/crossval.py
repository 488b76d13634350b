"""Tables of cross-validations: each run, its folds, and what single models and ensembles say of unseen clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dhauds_jax.report.tables import Record, grouped, latest, mean_and_spread, table

PLACE = ("dataset", "net", "n")
"""What must be equal for runs to stand in one table."""

RUN = ("profile", "selection", "chosen_by", "folds", "fold_rule", "views", "noise_clips", "extra_dataset")
"""What names a line, beside the classes of extra clips and other options: its seeds are averaged."""

_INTRODUCTION = (
    "Every number comes from the records in crossval.jsonl. *AUC*: one-vs-rest area, weighted by the clips of each "
    "class, mean over the folds with the epoch and temperature that were chosen; *largest class*: its share of the "
    "clips, the accuracy of who always says it; *oracle*: those that are best on the reported fold itself; *gap*: what "
    "that adds. *ECE*: calibration error at temperature 1 and at the chosen one. "
    "Values in % (± standard deviation over seeds)."
)
_PREDICTORS = {
    "single": "one model",
    "single_views": "one model, shifted copies",
    "folds": "all folds",
    "folds_views": "all folds, shifted copies",
}
_ONE = ("", "shift:1")
"""Values of `--views` with one copy: the clip as it is."""


def _lines(found: Sequence[Record]) -> list[list[Record]]:
    """Runs that differ in nothing but their seed."""
    same: dict[str, list[Record]] = {}
    for record in found:
        options = {key: value for key, value in record["options"].items() if key != "seed"}
        same.setdefault(repr((*(record[key] for key in RUN), sorted(options.items()))), []).append(record)
    return list(same.values())


def words(record: Mapping[str, Any]) -> str:
    """What a line is called."""
    extra = f", extra {record['extra_dataset']} ({', '.join(record['extra'])})" if record["extra_dataset"] else ""
    noise = f", {record['noise_clips']} noise clips" if record["noise_clips"] else ""
    return f"{record['profile']}, {record['selection']} by {record['chosen_by']}{noise}{extra}"


def runs_table(found: Sequence[Record]) -> str:
    """A line a run: AUC, accuracy, calibration, the oracle and the gap."""
    header = ["run", "folds", "seeds", "AUC", "accuracy", "largest class"]
    header += ["ECE before", "ECE", "NLL (nats)", "oracle AUC", "gap"]
    rows = []
    for some in _lines(found):
        first = some[0]
        numbers = [mean_and_spread([r[key] for r in some]) for key in ("auc", "accuracy")]
        numbers.append(_largest(first))
        numbers += [mean_and_spread([r[key] for r in some]) for key in ("ece_before", "ece")]
        numbers.append(mean_and_spread([r["nll"] for r in some], 1.0, 2))
        numbers.append(mean_and_spread([r["oracle_auc"] for r in some]))
        gap = "-" if first["gap"] is None else mean_and_spread([r["gap"] for r in some])
        rows.append([words(first), f"{first['folds']} ({first['fold_rule']})", str(len(some)), *numbers, gap])
    return table(header, rows)


def _largest(found: Record) -> str:
    """The share of the largest class; records of before do not say it."""
    return f"{100 * found['majority']:.1f}" if "majority" in found else "-"


def test_table(found: Sequence[Record]) -> str:
    """A line a run: AUC of the clips that no fold saw, of single models and of ensembles; "" where there are none."""
    tested = [record for record in found if record["test"]]
    if not tested:
        return ""
    copied = any(record["views"] not in _ONE for record in tested)
    columns = {key: name for key, name in _PREDICTORS.items() if copied or not key.endswith("_views")}
    header = ["run", "clips", *(f"AUC, {name}" for name in columns.values()), "accuracy, one model", "of all"]
    header.append("largest class")
    rows = []
    for some in _lines(tested):
        tests = [record["test"] for record in some]
        areas = [mean_and_spread([test[key]["auc"] for test in tests]) for key in columns]
        right = [mean_and_spread([test[key]["accuracy"] for test in tests]) for key in ("single", "folds_views")]
        rows.append([words(some[0]), str(tests[0]["n"]), *areas, *right, _largest(tests[0])])
    return table(header, rows)


def folds_table(record: Mapping[str, Any]) -> str:
    """The folds of one run."""
    header = ["fold", "clips", "trained on", "epoch", "temperature", "AUC", "accuracy", "largest class"]
    header += ["ECE", "oracle AUC (epoch, T)"]
    rows = []
    for one in record["by_fold"]:
        auc, accuracy, ece = (f"{100 * one[key]:.1f}" for key in ("auc", "accuracy", "ece"))
        oracle = f"{100 * one['oracle_auc']:.1f} ({one['oracle_epoch']}, {one['oracle_temperature']:g})"
        place = [one["fold"], one["n"], one["trained_on"], one["epoch"], f"{one['temperature']:g}"]
        rows.append([*map(str, place), auc, accuracy, _largest(one), ece, oracle])
    return table(header, rows)


def render(found: Sequence[Record]) -> str:
    """The report's text on cross-validations."""
    parts = ["# Cross-validation", "", _INTRODUCTION, ""]
    for (dataset, net, n), members in grouped(latest(found), PLACE).items():
        parts += [f"## {dataset}, {net}", "", f"{n:,} clips, {len(members[0]['classes'])} classes.", ""]
        if members[0]["absent"]:
            parts += [f"No clips of {', '.join(members[0]['absent'])}: not in the AUC.", ""]
        parts += [runs_table(members)]
        if tested := test_table(members):
            parts += ["Clips that no fold saw:", "", tested]
        for some in _lines(members):
            parts += [f"Folds of {words(some[0])}, seed {some[0]['seed']}:", "", folds_table(some[0])]
        commands = dict.fromkeys(f"`{record['command']}`" for record in members)
        revisions = sorted({record["git_revision"] for record in members})
        parts += [f"Commands: {'; '.join(commands)}; code {', '.join(revisions)}.", ""]
    return "\n".join(parts)


def tidy_rows(found: Sequence[Record]) -> list[Mapping[str, object]]:
    """A row a fold of every run for a csv file, numbers in full."""
    keys = (*PLACE[:2], "seed", *RUN, "git_revision")
    own = ("fold", "n", "trained_on", "epoch", "temperature", "oracle_epoch", "oracle_temperature", "auc", "accuracy")
    own = (*own, "ece", "ece_before", "nll", "oracle_auc")
    return [
        {**{key: record[key] for key in keys}, "extra": "+".join(record["extra"]), **{key: one[key] for key in own}}
        for record in latest(found)
        for one in record["by_fold"]
    ]
