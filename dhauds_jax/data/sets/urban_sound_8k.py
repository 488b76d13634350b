"""UrbanSound8K: ten street sounds of up to 4 s in ten folds; as one split (folds 1-7 and 8-10) and fold by fold."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present, unlisted
from dhauds_jax.errors import BadInput

FOLDERS = ("UrbanSound8K", "UrbanSound8K/UrbanSound8K")
TABLE = "metadata/UrbanSound8K.csv"
CLASSES = class_names.URBAN_SOUND_8K
TEST_FOLDS = (8, 9, 10)
_FOLDS = tuple(range(1, 11))
_FOLD_COUNTS = {
    "air_conditioner": (100,) * 10,
    "car_horn": (36, 42, 43, 59, 98, 28, 28, 30, 32, 33),
    "children_playing": (100,) * 10,
    "dog_bark": (100,) * 10,
    "drilling": (100,) * 10,
    "engine_idling": (96, 100, 107, 107, 107, 107, 106, 88, 89, 93),
    "gun_shot": (35, 35, 36, 38, 40, 46, 51, 30, 31, 32),
    "jackhammer": (120, 120, 120, 120, 120, 68, 76, 78, 82, 96),
    "siren": (86, 91, 119, 166, 71, 74, 77, 80, 82, 83),
    "street_music": (100,) * 10,
}


def find(data_dir: Path | str | None) -> Path:
    """The set's folder from itself, a parent, or its `metadata/`; raises `BadInput` when it is none of these."""
    if data_dir and Path(data_dir).name == "metadata":
        data_dir = Path(data_dir).parent
    return find_root(data_dir, FOLDERS, TABLE, DATA_SET.name)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of the metadata table; raises `BadInput` when columns, folds or classes are not the published ones."""
    rows = read_rows(path, ("slice_file_name", "fold", "classID"))
    for row in rows:
        if row["fold"] not in map(str, _FOLDS) or row["classID"] not in map(str, range(len(CLASSES))):
            raise BadInput(
                f"{path}: {row['slice_file_name']} has fold {row['fold']!r} and classID {row['classID']!r}, expected "
                f"folds 1 to 10 and classes 0 to {len(CLASSES) - 1}"
            )
    return rows


def listing(
    data_dir: Path | str | None, split: str, allow_partial: bool, *, test_folds: Sequence[int] = TEST_FOLDS
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the folds of a split in ascending order, each in the order of the metadata table.

    No validation split is published: "val" is the test split, as in DHAuDS's training, and a notice says so.

    Args:
      data_dir: the folder that holds audio/ and metadata/, that metadata/, or a parent.
      split: "train" (6,273 clips of folds 1-7), "val" or "test" (2,459 clips of folds 8-10).
      allow_partial: go on when the table names absent files.
      test_folds: folds of the test split; the other ones are the training split.

    Raises:
      BadInput: folder or table missing or wrong, no clips in the folds, absent files.
    """
    check_split(DATA_SET, split)
    root = find(data_dir)
    rows = read_table(root / TABLE)
    folds = [fold for fold in _FOLDS if (fold in test_folds) == (split != "train")]
    refs = []
    for fold in folds:
        for row in rows:
            if row["fold"] == str(fold):
                name = f"fold{fold}/{row['slice_file_name']}"
                refs.append(ClipRef(name, root / "audio" / name, int(row["classID"])))
    if not refs:
        raise BadInput(f"{root / TABLE}: no clips in folds {', '.join(map(str, folds))}, expected some")
    refs, notices = check_present(refs, root / TABLE, allow_partial)
    folders = [root / "audio" / f"fold{fold}" for fold in _FOLDS]
    notices = (*notices, *unlisted(folders, {row["slice_file_name"] for row in rows}, root / TABLE))
    if split == "val":
        notices = (*notices, "no validation split is published: val is the test split, as in the reference")
    return refs, notices


def fold_of(clip: str) -> str:
    """The fold of a clip's id, "1" to "10"."""
    return clip.partition("/")[0].removeprefix("fold")


def group_of(clip: str) -> str:
    """The Freesound recording that a clip was cut from."""
    return clip.partition("/")[2].partition("-")[0]


def _counts(test_folds: Sequence[int]) -> dict[str, dict[str, int]]:
    by_class = {
        test: {n: sum(c[f - 1] for f in _FOLDS if (f in test_folds) == test) for n, c in _FOLD_COUNTS.items()}
        for test in (False, True)
    }
    return {"train": by_class[False], "val": by_class[True], "test": by_class[True]}


def _with_folds(data_set: DataSet, test_folds: Sequence[int]) -> DataSet:
    by_class = _counts(test_folds)
    return data_set._replace(
        listing=functools.partial(listing, test_folds=tuple(test_folds)),
        counts={split: sum(counts.values()) for split, counts in by_class.items()},
        class_counts=by_class,
    )


DATA_SET = _with_folds(
    DataSet(
        name="urban_sound_8k",
        classes=CLASSES,
        sample_rate=44_100,
        length=176_400,
        splits=("train", "val", "test"),
        metric="macro_f1",
        order=Order(),
        licence="CC BY-NC 3.0",
        citation="J. Salamon, C. Jacoby, J. P. Bello, A dataset and taxonomy for urban sound research, ACM MM 2014",
        homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
        layout="""audio/fold<1-10>/<slice>.wav          rates from 8 to 192 kHz, one or two channels
metadata/UrbanSound8K.csv             columns: slice_file_name, ..., fold, classID, class""",
        seconds=(0.05, 4.1),
        fold=fold_of,
        group=group_of,
    ),
    TEST_FOLDS,
)
DATA_SETS = (
    DATA_SET,
    *(_with_folds(DATA_SET._replace(name=f"urban_sound_8k/fold{fold}"), (fold,)) for fold in _FOLDS),
)
