"""What the labels of recordings are in truth, where somebody knows, and how well predictions agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax import metrics
from dhauds_jax.data.sets.base import read_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.files import for_spreadsheet, one_line
from dhauds_jax.model.predictions import Predictions
from dhauds_jax.report import evaluation
from dhauds_jax.wording import counted, plural

COLUMNS = ("file", "label")


class Truth(NamedTuple):
    """Labels by the names of files; `place` is the file they stand in."""

    place: str
    labels: dict[str, str]


class Scores(NamedTuple):
    """How well predictions agree with the truth.

    Attributes:
      classes: names.
      files: files whose truth is known.
      unknown: files without.
      absent: files that the truth names and that were not labelled.
      before, after: accuracy of the source model and after adaptation.
      f1: macro F1, before and after.
      confusion: (classes, classes) files by truth and predicted label, after.
    """

    classes: tuple[str, ...]
    files: int
    unknown: int
    absent: tuple[str, ...]
    before: float
    after: float
    f1: tuple[float, float]
    confusion: Int[np.ndarray, "classes classes"]

    def sentence(self) -> str:
        """The accuracies in one line."""
        left = f"; {counted(self.unknown, 'file')} without a truth" if self.unknown else ""
        left += (
            f"; {counted(len(self.absent), 'file')} of the truth not labelled (the first: {self.absent[0]})"
            if self.absent
            else ""
        )
        return (
            f"accuracy against the truth of {counted(self.files, 'file')}: {100 * self.before:.1f} % before, "
            f"{100 * self.after:.1f} % after adaptation{left}"
        )

    def lines(self) -> list[str]:
        """The section of a report."""
        worst = evaluation.confusions(self.confusion, self.classes, 5)
        found = [f"- {true} taken for {said}: {counted(n, 'file')}" for true, said, n in worst]
        return [
            f"Accuracy against the truth of {counted(self.files, 'file')}: {100 * self.before:.1f} % before, "
            f"{100 * self.after:.1f} % after (macro F1 {100 * self.f1[0]:.1f} and {100 * self.f1[1]:.1f} %; all "
            "confusions in `confusion.csv`).",
            *(["", "Most frequent confusions:", "", *found] if found else []),
        ]

    def confusion_rows(self) -> list[Sequence[object]]:
        """The table: a row a true class, a column a predicted one."""
        rows = zip(self.classes, self.confusion.tolist(), strict=True)
        return [("truth", *self.classes), *((name, *row) for name, row in rows)]


def read(path: str, classes: Sequence[str]) -> Truth:
    """A csv file with the columns file and label.

    Raises:
      BadInput: no such file, no such columns, a label that the model does not have, a file named twice.
    """
    if not Path(path).is_file():
        raise BadInput(f"--truth={path}: no such file, expected a csv file with the columns {' and '.join(COLUMNS)}")
    rows = read_rows(Path(path), COLUMNS)
    labels: dict[str, str] = {}
    for row in rows:
        name, label = (_told(row[column]) for column in COLUMNS)
        if label not in classes:
            raise BadInput(
                f"--truth={path}: {name} is {label!r}, which is no class of the model; expected one of "
                f"{', '.join(classes)}"
            )
        if labels.setdefault(name, label) != label:
            raise BadInput(f"--truth={path}: {name} is both {labels[name]!r} and {label!r}, expected one label a file")
    return Truth(path, labels)


def _told(cell: str) -> str:
    """A cell as the labels name it, also one that stands as `predictions.csv` has it for spreadsheets."""
    text = one_line(cell.strip())
    return text[1:] if text[:1] == "'" and for_spreadsheet(text[1:]) == text else text


def check(truth: Truth, files: Sequence[str]) -> None:
    """Raises `BadInput` where no recording is in the truth."""
    if not truth.labels.keys() & set(files):
        raise BadInput(f"--truth={truth.place}: names none of the recordings, expected names such as {files[0]!r}")


def of_named(truth: Truth, after: Predictions, kept: Bool[np.ndarray, " files"]) -> str:
    """How many of the files that keep a name have the right one; accuracies count the best class of every file."""
    known = [i for i, name in enumerate(after.files) if name in truth.labels]
    rows = [i for i in known if kept[i]]
    right = sum(after.labels[i] == truth.labels[after.files[i]] for i in rows)
    told = (
        f", and {right} of these {plural(right, 'is', 'are')} right ({100 * right / len(rows):.1f} %)" if rows else ""
    )
    keep = plural(len(rows), "keeps", "keep")
    return (
        f"{len(rows):,} of {counted(len(known), 'file')} with a truth {keep} a name{told}; the accuracy counts all "
        f"{len(known):,}, those called unknown by their best class"
    )


def scores(truth: Truth, before: Predictions, after: Predictions) -> Scores:
    """How well predictions agree with the truth of the files that it names."""
    rows, labelled = np.array([i for i, name in enumerate(after.files) if name in truth.labels], int), set(after.files)
    labels = np.array([after.classes.index(truth.labels[after.files[i]]) for i in rows])
    old, new = before.probabilities[rows], after.probabilities[rows]
    return Scores(
        after.classes,
        len(rows),
        len(after.files) - len(rows),
        tuple(name for name in truth.labels if name not in labelled),
        metrics.accuracy(old, labels),
        metrics.accuracy(new, labels),
        (metrics.macro_f1(old, labels), metrics.macro_f1(new, labels)),
        evaluation.confusion(new, labels),
    )
