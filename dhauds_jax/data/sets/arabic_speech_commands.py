"""Arabic Speech Commands, the digits and five directions: 30 speakers, in disjoint splits or as the classes."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

FOLDER = "arabic-speech-commands"
CLASSES = class_names.ARABIC_SPEECH_COMMANDS
"""In sorted order of the folder names; the words are spoken in Arabic."""
SPEAKERS = tuple(f"{number:08d}" for number in range(1, 31))
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = {"train": DIGITS, "test": tuple(word for word in CLASSES if word not in DIGITS)}
"""With speakers as the classes: ten words to learn a voice from, and five others to know it by."""


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
    return check_present(_clips(root, split), root / f"{split}.csv", allow_partial)


def _clips(root: Path, split: str) -> list[ClipRef]:
    """The clips that a split's csv file names, there or not."""
    table = root / f"{split}.csv"
    rows = [(row["file"], row["class"]) for row in read_rows(table, ("file", "class"))]
    if not rows:
        raise BadInput(f"{table}: no rows, expected one for each clip")
    unknown = sorted({word for _, word in rows} - set(CLASSES), key=str)
    if unknown:
        raise BadInput(f"{table}: unknown class {unknown[0]!r}, expected one of {', '.join(CLASSES)}")
    return [ClipRef(name, root / name, CLASSES.index(word)) for name, word in rows]


def listing_speakers(
    data_dir: Path | str | None, split: str, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the clips of all three csv files with their speaker as the class, sorted by id.

    Args:
      data_dir: the folder that holds the csv files, or its parent.
      split: "train", the ten digits, or "test", the five directions: no word is in both.
      allow_partial: go on when a csv names absent files.

    Raises:
      BadInput: as `listing`; a file that no speaker from 1 to 30 has spoken.
    """
    check_split(BY_SPEAKER, split)
    root = find_root(data_dir, (FOLDER,), "train.csv", BY_SPEAKER.name)
    refs, notices = [], ()
    for part in DATA_SET.splits:
        clips = [ref for ref in _clips(root, part) if CLASSES[ref.label] in WORDS[split]]
        present, said = check_present(clips, root / f"{part}.csv", allow_partial)
        refs, notices = refs + present, notices + said
    if other := sorted({ref.id for ref in refs if group_of(ref.id) not in SPEAKERS}):
        raise BadInput(
            f"{root}: {printable(other[0])} is of no known speaker, expected <speaker>_NO_<take> with a speaker from "
            f"{SPEAKERS[0]} to {SPEAKERS[-1]}"
        )
    return sorted(ref._replace(label=SPEAKERS.index(group_of(ref.id))) for ref in refs), notices


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
BY_SPEAKER = DATA_SET._replace(
    name="arabic_speech_commands/speakers",
    classes=SPEAKERS,
    splits=tuple(WORDS),
    listing=listing_speakers,
    counts={"train": 3_000, "test": 1_500},
    class_counts={split: dict.fromkeys(SPEAKERS, 10 * len(words)) for split, words in WORDS.items()},
    group=None,
)
"""Speakers as the classes: what keeps shots and tests apart is the word, and that the splits do."""
DATA_SETS = (DATA_SET, BY_SPEAKER)
