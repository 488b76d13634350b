"""Free Spoken Digit Dataset: ten digits, 50 times each by six speakers, at 8 kHz; split by the take's number.

The classes are the digits, or (`/pairs`) each digit of each speaker, 60 of them.
"""

from __future__ import annotations

import re
from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput

FOLDER = "free-spoken-digit-dataset"
INSIDE = ("recordings", f"{FOLDER}/recordings")
CLASSES = class_names.AUDIO_MNIST
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
TAKES = {"train": range(10, 50), "val": range(5, 10), "test": range(5)}
"""Published: takes 0-4 are the test split, 5-49 train. No validation split is, so takes 5-9 are kept out of train."""
PAIRS = tuple(f"{digit}_{speaker}" for digit in CLASSES for speaker in SPEAKERS)
PAIR_TAKES = {"train": range(5, 25), "test": range(5)}
"""Of pairs no split is validated on; takes beyond 24 are left out, so that a copy of half of the takes is whole."""
_NAME = re.compile(rf"(\d)_({'|'.join(SPEAKERS)})_([1-4]?\d)\.wav")


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split's clips, sorted by file name `<digit>_<speaker>_<take>.wav`.

    Args:
      data_dir: the folder `recordings/`, its parent or that one's.
      split: "train" (takes 10-49), "val" (5-9) or "test" (0-4).
      allow_partial: go on when digits or speakers have no clips.

    Raises:
      BadInput: unknown split, missing folder, digits or speakers without clips, a wav file with another kind of name.
    """
    check_split(DATA_SET, split)
    root = find_root(data_dir, INSIDE, "*_*_*.wav", DATA_SET.name)
    return _listed(root, TAKES[split], allow_partial)


def listing_pairs(
    data_dir: Path | str | None, split: str, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split's clips with digit and speaker as the class; arguments as `listing`.

    Its splits are "train" (takes 5-24) and "test" (0-4).
    """
    check_split(BY_PAIR, split)
    root = find_root(data_dir, INSIDE, "*_*_*.wav", BY_PAIR.name)
    refs, notices = _listed(root, PAIR_TAKES[split], allow_partial)
    return [ref._replace(label=PAIRS.index(ref.path.name.rpartition("_")[0])) for ref in refs], notices


def _listed(root: Path, takes: range, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """The clips of some takes, labelled by their digit."""
    refs, speakers = [], set()
    for path in files_in(root):
        fields = _NAME.fullmatch(path.name)
        if not fields:
            raise BadInput(
                f"{path}: expected the name <digit>_<speaker>_<take>.wav, digit 0 to 9, take 0 to 49, "
                f"speaker {', '.join(SPEAKERS)}"
            )
        if int(fields[3]) in takes:
            refs.append(ClipRef(f"recordings/{path.name}", path, CLASSES.index(fields[1])))
            speakers.add(fields[2])
    digits = {CLASSES[ref.label] for ref in refs}
    where = root / f"*_<{takes.start}-{takes.stop - 1}>.wav"
    said = check_groups(digits, CLASSES, what="digits", source=where, allow_partial=allow_partial)
    return refs, (*said, *check_groups(speakers, SPEAKERS, what="speakers", source=where, allow_partial=allow_partial))


def group_of(clip: str) -> str:
    """The speaker of a clip's id `recordings/<digit>_<speaker>_<take>.wav`."""
    return clip.split("_")[1]


DATA_SET = DataSet(
    name="free_spoken_digit",
    classes=CLASSES,
    sample_rate=8_000,
    length=8_000,
    splits=("train", "val", "test"),
    metric="accuracy",
    order=Order(stretch_both_ways=False),
    licence="CC BY-SA 4.0",
    citation="Z. Jackson, C. Souza, J. Flaks, Y. Pan, H. Nicolas, A. Thite, Free Spoken Digit Dataset v1.0.8, 2018, "
    "doi:10.5281/zenodo.1342401",
    listing=listing,
    homepage="https://github.com/Jakobovski/free-spoken-digit-dataset",
    layout="recordings/<digit>_<speaker>_<take>.wav   takes 0-4 test, 5-9 val, 10-49 train (5-49 as published)",
    counts={"train": 2_400, "val": 300, "test": 300},
    class_counts={split: dict.fromkeys(CLASSES, len(SPEAKERS) * len(takes)) for split, takes in TAKES.items()},
    seconds=(0.1, 2.5),
    group=group_of,
)
BY_PAIR = DATA_SET._replace(
    name="free_spoken_digit/pairs",
    classes=PAIRS,
    splits=tuple(PAIR_TAKES),
    listing=listing_pairs,
    layout="recordings/<digit>_<speaker>_<take>.wav   takes 0-4 test, 5-24 train",
    counts={split: len(PAIRS) * len(takes) for split, takes in PAIR_TAKES.items()},
    class_counts={split: dict.fromkeys(PAIRS, len(takes)) for split, takes in PAIR_TAKES.items()},
    group=None,
)
"""Digit and speaker as the class, so a speaker is no group that shots and tests could be kept apart by."""
DATA_SETS = (DATA_SET, BY_PAIR)
