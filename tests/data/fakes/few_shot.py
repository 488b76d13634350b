"""Small copies of the sets that are drawn from a raw corpus, and small raw corpora."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

from tests.data.fakes.audio import write_clip

SPEAKERS = {"19": 7, "196": 7, "1926": 8}
"""Readings of 3.5 s of each, which give 12, 12 and 14 pieces of 2 s."""
LABELS = {"19": 12, "1926": 13, "196": 14}


def _table(path: Path, rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def librispeech_raw(folder: Path) -> None:
    """train-clean-100 of three speakers: readings of 3.5 s, two chapters each, 16 kHz flac."""
    for number, (speaker, readings) in enumerate(SPEAKERS.items()):
        for reading in range(readings):
            name = f"{speaker}/{reading // 4}/{speaker}-{reading // 4}-{reading:04d}.flac"
            write_clip(folder / "train-clean-100" / name, 50 * number + reading, rate=16_000, seconds=3.5)


def librispeech_100(folder: Path, *, published: bool = False) -> dict[str, int]:
    """Two train pieces and one val and test piece of two speakers, 0.1 s; as published both have the files of 1926."""
    sizes = {"train": 2, "val": 1, "test": 1}
    taken = {"19": "1926" if published else "19", "1926": "1926"}
    for speaker in dict.fromkeys(taken.values()):
        for piece in range(4):
            path = folder / "100spks_segments" / f"{speaker}_{piece}.wav"
            write_clip(path, 10 * int(speaker) + piece, rate=16_000, seconds=0.1)
    begun = 0
    for split, size in sizes.items():
        rows = [
            (f"{taken[speaker]}_{piece}.wav", speaker, LABELS[speaker])
            for speaker in taken
            for piece in range(begun, begun + size)
        ]
        table = f"librispeech_fscil_{split}.csv" if published else f"librispeech_100_{split}.csv"
        _table(folder / table, [("filename", "speaker_id", "label"), *rows])
        begun += size
    return {split: 2 * size for split, size in sizes.items()}


def nsynth_raw(folder: Path) -> None:
    """Six notes of a base instrument, two of them in the valid set, three of a later one, one of neither."""
    for key, velocity, part in (
        (21, 25, "train"),
        (21, 50, "train"),
        (40, 25, "valid"),
        (60, 127, "valid"),
        (61, 25, "test"),
        (62, 25, "test"),
    ):
        name = f"guitar_electronic_017-{key:03d}-{velocity:03d}.wav"
        write_clip(folder / f"nsynth-{part}" / "audio" / name, key + velocity, rate=16_000, seconds=0.1)
    for key in (30, 31, 32):
        write_clip(
            folder / "nsynth-train/audio" / f"flute_acoustic_002-{key:03d}-100.wav", key, rate=16_000, seconds=0.1
        )
    write_clip(folder / "nsynth-train/audio/bass_synthetic_999-030-100.wav", 1, rate=16_000, seconds=0.1)


def nsynth_100(folder: Path, *, published: bool = False) -> dict[str, int]:
    """The raw corpus with tables of it: train 3, val 1, test 2."""
    nsynth_raw(folder)
    base, later = "guitar_electronic_017", "flute_acoustic_002"
    rows = {
        "train": [
            (f"{base}-021-025", base, "nsynth-train"),
            (f"{base}-040-025", base, "nsynth-valid"),
            (f"{later}-030-100", later, "nsynth-train"),
        ],
        "val": [(f"{base}-060-127", base, "nsynth-valid")],
        "test": [(f"{base}-061-025", base, "nsynth-test"), (f"{later}-031-100", later, "nsynth-train")],
    }
    for split, found in rows.items():
        table = f"nsynth-100-fs_{split}.csv" if published else f"nsynth_100_{split}.csv"
        _table(folder / table, [("filename", "instrument", "audio_source"), *found])
    return {split: len(found) for split, found in rows.items()}


def fsd_mix_raw(folder: Path) -> None:
    """Soundscapes of 3 s with single events of classes 0 (base) and 88 (later), and events that overlap."""
    parts = {
        "base_train": ("base/train", 0),
        "base_val": ("base/val", 0),
        "base_test": ("base/test", 0),
        "novel_val": ("val", 59),
        "novel_test": ("test", 88),
    }
    for number, (table, (place, label)) in enumerate(parts.items()):
        rows = [("class_split", "data_split", "filename", "start_time", "labels")]
        for scene in range(3):
            name = f"soundscape_{scene}.wav"
            write_clip(folder / "FSD_MIX_SED.audio" / place / name, 10 * number + scene, rate=44_100, seconds=3)
            for start in ("0.0", "1.23", "2.5"):
                rows.append((*table.split("_"), name, start, f"[{label}]"))
            rows.append((*table.split("_"), name, "0.7", f"[{label}, 7]"))
        _table(folder / "FSD_MIX_CLIPS.annotations_revised" / f"{table}.csv", rows)


def fsc_89(folder: Path, *, published: bool = False) -> dict[str, int]:
    """One clip of class 0 in every split, one of class 88 in train and test, 0.1 s."""
    rows = {
        "train": [("base/train", "soundscape_5.wav", "2.3", 0), ("test", "soundscape_1.wav", "0.0", 88)],
        "val": [("base/val", "soundscape_5.wav", "1.23", 0)],
        "test": [("base/test", "soundscape_5.wav", "9.0", 0), ("test", "soundscape_2.wav", "0.5", 88)],
    }
    for number, (split, found) in enumerate(rows.items()):
        for row in found:
            name = f"{row[1].removesuffix('.wav')}_{int(float(row[2]) * 44_100)}.wav"
            write_clip(folder / "audio" / row[0] / name, 7 * number + row[3], rate=44_100, seconds=0.1)
        table = f"Fsc89-setup1-fsci_{split}.csv" if published else f"fsc_89_{split}.csv"
        _table(folder / table, [("data_folder", "FSD_MIX_SED_filename", "start_time", "label"), *found])
    return {split: len(found) for split, found in rows.items()}


FAKES = {
    f"{maker.__name__}{variant}": functools.partial(maker, published=bool(variant))
    for maker in (librispeech_100, nsynth_100, fsc_89)
    for variant in ("", "/published")
}
