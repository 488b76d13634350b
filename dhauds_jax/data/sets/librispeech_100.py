"""LibriSpeech-100: a hundred speakers of train-clean-100 as classes, their readings cut into pieces of 2 s.

`/published` reads the published tables, in which five pairs of speakers share their files (the list of speaker 19 was
made of all files that begin with "19"); the plain set has each speaker's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dhauds_jax.data.sets.base import DataSet, Order, check_split
from dhauds_jax.data.sets.clip_tables import Tables, listing

SEGMENTS = "100spks_segments"
SIZES = {"train": 500, "val": 150, "test": 100}
"""Pieces of each speaker in each split, in the order in which they are taken from the sorted names."""
MENDED = {split: f"librispeech_100_{split}.csv" for split in SIZES}
PUBLISHED = {split: f"librispeech_fscil_{split}.csv" for split in SIZES}
COLUMNS = ("filename", "speaker_id", "label")
_CUTS = """753: 1116 150 1723 1841 2159 2514 2836 307 4406 4813 4898 5022 5339 7505 8629
754: 1069 1263 1455 1867 1970 200 2182 2436 248 250 2691 2817 311 3699 374 403 4051 4088 4267 4680 5789 5808 6272 6476
7078 7367 8123 8312 8324 8425 8770
755: 1081 1088 125 1447 19 1926 1963 201 2136 2416 2764 2843 322 3259 3374 3440 3526 3857 4018 4362 441 5390 5688 6019
6415 669 6818 6848 7067 7113 730 8098 8226
756: 2007 211 226 2989 4014 426 460 5393 587 6454 7190 7794 7800 8051 831 8419 8468
757: 196 2196 3436 7447"""
"""Whole pieces of 2 s that each speaker's readings give, by the published durations; the speakers are those with the
longest. With these numbers, the names of all 75,000 clips are known."""


def _read_cuts(text: str) -> dict[str, int]:
    found, count = {}, 0
    for word in text.split():
        if word.endswith(":"):
            count = int(word[:-1])
        else:
            found[word] = count
    return found


CUTS = _read_cuts(_CUTS)
"""Speaker -> whole pieces."""
CLASSES = tuple(sorted(CUTS))
"""Sorted as texts: "1069", "1081", ..., "19", "1926", "196", ..."""


def clip_of(row: Mapping[str, str]) -> tuple[str, str]:
    """The id and the speaker of a row of a table."""
    return f"{SEGMENTS}/{row['filename']}", row["speaker_id"]


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Makes pieces and both kinds of tables in `data_dir` from train-clean-100, see `data.built.librispeech_100`."""
    from dhauds_jax.data.built import librispeech_100

    return librispeech_100.build(raw_dir, data_dir)


def _data_set(variant: str, files: Mapping[str, str], built: bool) -> DataSet:
    name = f"librispeech_100{variant}"
    tables = Tables(name, ("LS100", "librispeech"), files, COLUMNS, clip_of, CLASSES, built)

    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(tables, data_dir, split, allow_partial)

    made = DataSet(
        name=name,
        classes=CLASSES,
        sample_rate=16_000,
        length=32_000,
        splits=tuple(SIZES),
        metric="accuracy",
        order=Order(),
        licence="CC BY 4.0 (LibriSpeech)",
        citation="V. Panayotov, G. Chen, D. Povey, S. Khudanpur, LibriSpeech: an ASR corpus based on public domain "
        "audio books, ICASSP 2015; as cut by Y. Si, Y. Li and others for few-shot class-incremental learning",
        listing=checked,
        homepage="https://www.openslr.org/12 (train-clean-100)",
        layout=f"""{SEGMENTS}/<speaker>_<piece>.wav
{files["train"]}  {files["val"]}  {files["test"]}      columns: {", ".join(COLUMNS)}""",
        counts={split: 100 * count for split, count in SIZES.items()},
        class_counts={split: dict.fromkeys(CLASSES, count) for split, count in SIZES.items()},
        seconds=(2.0, 2.0),
        build=build,
    )
    return made


DATA_SETS = (_data_set("", MENDED, True), _data_set("/published", PUBLISHED, True))
