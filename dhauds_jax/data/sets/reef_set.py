"""ReefSet v1.0: 37 sounds of coral reefs, 1.88 s each, with the 70/30 split of DHAuDS; one label a clip or several."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax import class_names, json_texts
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows, read_table, read_text
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput

FOLDERS = ("ReefSet_v1.0", "ReefSet", "ReefSet/ReefSet_v1.0")
AUDIO = "full_dataset"
ANNOTATIONS = "reefset_annotations.json"
LABELS = "reefset_labels_by_dataset.csv"
CLASSES = class_names.REEF_SET
COLUMNS = ("id", "file_name", "label", "data_sharer", "dataset", "recorder")
"""Columns of an annotation; DHAuDS's csv files have an unnamed index before them."""
TEST_SHARE, SPLIT_SEED = 0.3, 123456
_TOTALS = (
    5891, 5107, 203, 619, 3273, 9464, 155, 63, 203, 3602, 1312, 1748, 1099, 1500, 326, 350, 102, 140, 2015, 91, 1341,
    2951, 326, 1384, 542, 2501, 4660, 730, 128, 1459, 2508, 558, 174, 65, 380, 55, 49,
)  # fmt: skip
_TEST = (
    1768, 1533, 61, 186, 982, 2840, 47, 19, 61, 1081, 394, 525, 330, 450, 98, 105, 31, 42, 605, 28, 403, 886, 98, 416,
    163, 751, 1398, 219, 39, 438, 753, 168, 53, 20, 114, 17, 15,
)  # fmt: skip


class Annotations(NamedTuple):
    """Annotation rows (dicts by column) of a split, the file they are from, and what must be said of them."""

    rows: list[dict[str, str]]
    source: Path
    notices: tuple[str, ...] = ()


def find(data_dir: Path | str | None) -> Path:
    """The set's folder from itself or a parent; raises `BadInput` when it is neither."""
    return find_root(data_dir, FOLDERS, AUDIO, DATA_SET.name)


def annotations_of(root: Path, split: str) -> Annotations:
    """The annotations of a split: DHAuDS's csv when it lies in the folder, else the split rebuilt by its rule.

    Args:
      root: the set's folder.
      split: "train" or "test".

    Raises:
      BadInput: neither the csv nor `reefset_annotations.json` is there, columns or labels that are not the
        published ones, or a rebuilt split that shares clips with the other split's csv.
    """
    own, other = (root / f"{name}_annotations.csv" for name in (split, "test" if split == "train" else "train"))
    if own.is_file():
        return Annotations(read_csv(own), own)
    found = read_json(root / ANNOTATIONS, own)
    labels = label_order(root)
    train, test = split_rows(found, labels)
    rows = train if split == "train" else test
    if other.is_file():
        shared = {row["file_name"] for row in read_csv(other)} & {row["file_name"] for row in rows}
        if shared:
            raise BadInput(
                f"{other}: {len(shared)} of its clips are in the rebuilt {split} split too (such as {min(shared)}), "
                f"expected DHAuDS's file; add {own.name} or remove it"
            )
    notices = (f"no {own.name}: the {split} split is rebuilt from {ANNOTATIONS}",)
    dropped = len(found) - len(train) - len(test)
    if dropped:
        notices = (*notices, f"{dropped} of {len(found)} annotations are left out, {LABELS} has not their labels")
    return Annotations(rows, root / ANNOTATIONS, notices)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of `train_annotations.csv` or `test_annotations.csv`; raises `BadInput` on other columns or labels."""
    rows = read_rows(path, ("file_name", "label"), ", ".join(COLUMNS))
    _check_rows(path, rows)
    return rows


def read_json(path: Path, instead_of: Path) -> list[dict[str, str]]:
    """Rows of `reefset_annotations.json` in its order; raises `BadInput` when it is missing or holds other fields."""
    if not path.is_file():
        raise BadInput(f"{path.parent}: neither {instead_of.name} nor {path.name}, expected one of them")
    try:
        rows = [{str(name): str(value) for name, value in row.items()} for row in json_texts.parsed(read_text(path))]
    except (json_texts.NotJson, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: no list of annotations ({error!r}), expected {', '.join(COLUMNS)} each") from error
    if not rows or not all({"file_name", "label"} <= set(row) for row in rows):
        raise BadInput(f"{path}: rows without file_name or label, expected {', '.join(COLUMNS)} in each")
    return rows


def label_order(root: Path) -> tuple[str, ...]:
    """The order in which the split visits the labels: that of `reefset_labels_by_dataset.csv`, or of the classes."""
    path = root / LABELS
    if not path.is_file():
        return CLASSES
    lines = csv.reader(read_table(path))
    labels = tuple(row[0].strip() for row in list(lines)[1:] if row and row[0].strip())
    unknown = sorted(set(labels) - set(CLASSES))
    if not labels or unknown:
        raise BadInput(f"{path}: labels {', '.join(unknown) or 'none'}, expected those of ReefSet v1.0")
    return labels


def split_rows(
    rows: Sequence[dict[str, str]], labels: Sequence[str]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Splits annotations as DHAuDS does: label by label, 30 % (rounded up) to the test split, results strung together.

    Each label is shuffled by scikit-learn's `train_test_split(test_size=0.3, random_state=123456)` on its rows in the
    order of the annotations.

    Args:
      rows: annotations.
      labels: labels to visit, in this order; rows with others are left out.

    Returns:
      `(train, test)`.

    Raises:
      BadInput: a label has fewer than two clips.

    Source: DHAuDS, ReefSet_splits.ipynb.
    """
    from sklearn.model_selection import train_test_split

    train: list[dict[str, str]] = []
    test: list[dict[str, str]] = []
    by_label: dict[str, list[dict[str, str]]] = {label: [] for label in labels}
    for row in rows:
        by_label.get(row["label"], []).append(row)
    for label, members in by_label.items():
        if len(members) < 2:
            raise BadInput(f"ReefSet: {len(members)} annotations of {label}, expected at least 2 to split")
        first, second = train_test_split(np.arange(len(members)), test_size=TEST_SHARE, random_state=SPLIT_SEED)
        train += [members[i] for i in first]
        test += [members[i] for i in second]
    return train, test


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split in the order of its annotations; ids are the file names.

    No validation split is published: "val" is the test split, as in DHAuDS's training, and a notice says so.

    Args:
      data_dir: the folder that holds full_dataset/ and the annotations, or a parent.
      split: "train" (39,937 clips), "val" or "test" (17,137).
      allow_partial: go on when the annotations name absent files.

    Raises:
      BadInput: folder or annotations missing or wrong, absent files.
    """
    check_split(DATA_SET, split)
    root = find(data_dir)
    found = annotations_of(root, "train" if split == "train" else "test")
    refs = [ClipRef(r["file_name"], root / AUDIO / r["file_name"], CLASSES.index(r["label"])) for r in found.rows]
    refs, notices = check_present(refs, found.source, allow_partial)
    notices = (*found.notices, *notices)
    if split == "val":
        notices = (*notices, "no validation split is published: val is the test split, as in the reference")
    return refs, notices


def _check_rows(path: Path, rows: list[dict[str, str]]) -> None:
    if not rows:
        raise BadInput(f"{path}: no rows, expected one for each clip")
    for row in rows:
        if row["label"] not in CLASSES:
            raise BadInput(f"{path}: {row['file_name']} has label {row['label']!r}, expected one of ReefSet's 37")


def _label_rows() -> tuple[tuple[int, ...], ...]:
    """Every bioph_x also sets bioph, every bioph_knock_croak_x also bioph_knock."""
    parents = {"bioph_": "bioph", "bioph_knock_croak_": "bioph_knock"}
    return tuple(
        (*(CLASSES.index(parent) for start, parent in parents.items() if name.startswith(start)), index)
        for index, name in enumerate(CLASSES)
    )


_CLASS_COUNTS = {
    "train": {name: total - test for name, total, test in zip(CLASSES, _TOTALS, _TEST, strict=True)},
    "val": dict(zip(CLASSES, _TEST, strict=True)),
    "test": dict(zip(CLASSES, _TEST, strict=True)),
}
DATA_SET = DataSet(
    name="reef_set",
    classes=CLASSES,
    sample_rate=16_000,
    length=30_080,
    splits=("train", "val", "test"),
    metric="macro_roc_auc",
    order=Order(),
    licence="CC BY 4.0",
    citation="B. Williams et al., Leveraging tropical reef, bird and unrelated sounds for superior transfer learning "
    "in marine bioacoustics, 2024, arXiv 2404.16436",
    listing=listing,
    homepage="https://zenodo.org/records/11071202",
    layout="""full_dataset/<id>.<dataset>.<sharer>.<label>.wav
reefset_annotations.json              id, file_name, label, data_sharer, dataset, recorder
reefset_labels_by_dataset.csv
train_annotations.csv, test_annotations.csv     of DHAuDS; rebuilt from the json when absent""",
    counts={"train": 39_937, "val": 17_137, "test": 17_137},
    class_counts=_CLASS_COUNTS,
    seconds=(1.87, 1.89),
)
DATA_SETS = (DATA_SET, DATA_SET._replace(name="reef_set/multiple", label_rows=_label_rows()))
