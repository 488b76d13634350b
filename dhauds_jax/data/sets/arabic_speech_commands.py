"""Arabic Speech Commands, the digits and five directions: 30 speakers, speaker-disjoint splits."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput

FOLDER = "arabic-speech-commands"
CLASSES = class_names.ARABIC_SPEECH_COMMANDS
"""In sorted order of the folder names; the words are spoken in Arabic."""


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split after its csv file (columns `file`, relative to the set's folder, and `class`).

    Args:
      data_dir: the folder that holds the csv files, or its parent.
      split: "train", "val" or "test".
      allow_partial: go on when the csv names absent files.

    Returns:
      `(refs, notices)` in the order of the csv.

    Raises:
      BadInput: unknown split, folder, csv or columns missing, a class that is not one of the 15, absent files.
    """
    check_split(DATA_SET, split)
    root = find_root(data_dir, (FOLDER,), f"{split}.csv", DATA_SET.name)
    table = root / f"{split}.csv"
    rows = [(row["file"], row["class"]) for row in read_rows(table, ("file", "class"))]
    if not rows:
        raise BadInput(f"{table}: no rows, expected one for each clip")
    unknown = sorted({word for _, word in rows} - set(CLASSES), key=str)
    if unknown:
        raise BadInput(f"{table}: unknown class {unknown[0]!r}, expected one of {', '.join(CLASSES)}")
    refs = [ClipRef(name, root / name, CLASSES.index(word)) for name, word in rows]
    return check_present(refs, table, allow_partial)


def group_of(clip: str) -> str:
    """The speaker of a clip's id `dataset/<word>/<speaker>_NO_<take>.flac`."""
    return clip.rpartition("/")[2].partition("_NO_")[0]


DATA_SET = DataSet(
    name="arabic_speech_commands",
    classes=CLASSES,
    sample_rate=16_000,
    length=16_000,
    splits=("train", "val", "test"),
    metric="accuracy",
    order=Order(stretch_both_ways=False),
    licence="CC BY 4.0",
    citation="A. Ghandoura, F. Hjabo, O. Al Dakkak, Building and benchmarking an Arabic Speech Commands dataset, 2021",
    listing=listing,
    homepage="https://github.com/abdulkaderghandoura/arabic-speech-commands-dataset (15 of its 40 words)",
    layout="""train.csv  val.csv  test.csv          columns: file, class
dataset/<word>/<speaker>_NO_<take>.flac (or .wav)""",
    counts={"train": 2_700, "val": 900, "test": 900},
    class_counts={split: dict.fromkeys(CLASSES, count) for split, count in (("train", 180), ("val", 60), ("test", 60))},
    seconds=(1.0, 1.0),
    group=group_of,
)
DATA_SETS = (DATA_SET,)
