"""AudioMNIST: ten digits, 50 times each by 60 speakers; five speaker-disjoint folds, and a split by accent."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from dhauds_jax import class_names, json_texts
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_text
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput

CLASSES = class_names.AUDIO_MNIST
GROUPS = (
    (26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51),
    (28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53),
    (36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54),
    (43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55),
    (12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50),
)
"""The speakers of the five groups that the folds are made of (DHAuDS and AMAuT, lib/spdataset.py)."""
TAKES = range(50)
META = "audioMNIST_meta.txt"
INSIDE = ("data", "AudioMNIST", "AudioMNIST/data")
MARKER = "[0-9][0-9]/*_*_*.wav"
GERMAN_VAL_TAKES = range(15)
"""30 % of the 50 takes: the validation clips of the split by accent, as many as the reference draws."""
_NAME = re.compile(r"(\d)_(\d\d)_([1-4]?\d)\.wav")

SpeakersOf = Callable[[Path], Mapping[str, tuple[str, ...]]]


def fold_speakers(root: Path, *, fold: int) -> dict[str, tuple[str, ...]]:
    """Speakers of the splits of a fold, sorted: test is the group of that number, val the group before it (cyclic)."""
    test, val = fold, (fold - 1) % len(GROUPS)
    train = [speaker for k, group in enumerate(GROUPS) if k not in (test, val) for speaker in group]
    groups = {"train": train, "val": GROUPS[val], "test": GROUPS[test]}
    return {split: tuple(f"{speaker:02d}" for speaker in sorted(group)) for split, group in groups.items()}


def accent_speakers(root: Path) -> dict[str, tuple[str, ...]]:
    """Speakers by accent, sorted: train has those whose accent is "German", test all others (TTA-in-AC).

    The comparison is exact, as published: speaker 01, entered as "german", is in the test split. The reference
    validates on 30 % of the training clips, drawn with replacement; here val is takes 0-14 of train's speakers, so
    it lies inside train and says nothing about other speakers.

    Args:
      root: the folder that holds `audioMNIST_meta.txt`, JSON keyed by speaker with the field `accent`.

    Raises:
      BadInput: the file is missing, no JSON, or a speaker has no accent.
    """
    table = root / META
    if not table.is_file():
        raise BadInput(f"{table}: no such file, expected the table of speakers that comes with AudioMNIST")
    text = read_text(table)
    try:
        accents = {speaker: str(entry["accent"]) for speaker, entry in json_texts.parsed(text).items()}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise BadInput(
            f"{table}: cannot be read ({type(error).__name__}: {error}), expected JSON with an accent for each speaker"
        ) from error
    german = tuple(sorted(speaker for speaker, accent in accents.items() if accent == "German"))
    return {"train": german, "val": german, "test": tuple(sorted(set(accents) - set(german)))}


def listing(
    speakers_of: SpeakersOf, takes: range, data_dir: Path | str | None, split: str, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the clips of a split's speakers, sorted by speaker, then file name; the digit is the name's first field.

    Args:
      speakers_of: folder -> speakers of each split.
      takes: of the 50 takes, those that belong to the split.
      data_dir: the folder that holds the speakers' folders, its parent (`AudioMNIST/`) or that one's.
      split: name of a split.
      allow_partial: go on when speakers have no clips.

    Raises:
      BadInput: unknown split, missing folder, speakers without clips, a wav file with another kind of name.
    """
    root = find_root(data_dir, INSIDE, MARKER, "audio_mnist")
    speakers = speakers_of(root)[split]
    refs = [ref for speaker in speakers for ref in _of_speaker(root, speaker, takes)]
    found = {ref.path.parent.name for ref in refs}
    return refs, check_groups(found, speakers, what="speakers", source=root, allow_partial=allow_partial)


def _of_speaker(root: Path, speaker: str, takes: range) -> list[ClipRef]:
    refs = []
    for path in files_in(root / speaker):
        fields = _NAME.fullmatch(path.name)
        if not fields or fields[2] != speaker:
            raise BadInput(f"{path}: expected the name <digit>_{speaker}_<take>.wav, digit 0 to 9, take 0 to 49")
        if int(fields[3]) in takes:
            refs.append(ClipRef(f"{speaker}/{path.name}", path, CLASSES.index(fields[1])))
    return refs


def group_of(clip: str) -> str:
    """The speaker of a clip's id `<NN>/<digit>_<NN>_<take>.wav`."""
    return clip.partition("/")[0]


def _data_set(variant: str, speakers_of: SpeakersOf, counts: dict[str, int], val_takes: range = TAKES) -> DataSet:
    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        takes = val_takes if split == "val" else TAKES
        return listing(speakers_of, takes, data_dir, split, allow_partial)

    made = DataSet(
        name=f"audio_mnist{variant}",
        classes=CLASSES,
        sample_rate=48_000,
        length=48_000,
        splits=tuple(counts),
        metric="accuracy",
        order=Order(stretch_both_ways=False),
        licence="MIT",
        citation="S. Becker, J. Vielhaben, M. Ackermann, K.-R. Müller, S. Lapuschkin, W. Samek, AudioMNIST: exploring "
        "explainable artificial intelligence for audio analysis on a simple benchmark, 2018, arXiv:1807.03418",
        listing=checked,
        homepage="https://github.com/soerenab/AudioMNIST (its folder data/)",
        layout="""<NN>/<digit>_<NN>_<take>.wav          speakers NN 01..60, takes 0..49
audioMNIST_meta.txt                   JSON by speaker; needed by audio_mnist/german_accent""",
        counts=counts,
        class_counts={split: dict.fromkeys(CLASSES, count // 10) for split, count in counts.items()},
        seconds=(0.25, 1.0),
        group=group_of,
        val_within="train" if val_takes != TAKES else "",
    )
    return made


_FOLD_COUNTS = {"train": 18_000, "val": 6_000, "test": 6_000}
DATA_SETS = (
    *(
        _data_set(f"/fold{k}" if k else "", functools.partial(fold_speakers, fold=k), _FOLD_COUNTS)
        for k in range(len(GROUPS))
    ),
    _data_set(
        "/german_accent", accent_speakers, {"train": 20_000, "val": 6_000, "test": 10_000}, val_takes=GERMAN_VAL_TAKES
    ),
)
