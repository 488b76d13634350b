"""Small copies of the sets of spoken words, and of the noise corpora."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

from dhauds_jax import class_names
from tests.data.fakes.audio import write_clip

SPEAKER_HASHES = ("0a0a0a0a", "1b1b1b1b", "2c2c2c2c")
"""Of the clips of every Speech Commands word: test, validation, train."""
BACKGROUND_KINDS = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
DEMAND_16K = (
    *("DKITCHEN", "DLIVING", "DWASHING", "NFIELD", "NPARK", "NRIVER", "OHALLWAY", "OMEETING", "OOFFICE"),
    *("PCAFETER", "PRESTO", "PSTATION", "SPSQUARE", "STRAFFIC", "TBUS", "TCAR", "TMETRO"),
)
QUT_PLACES = ("CAFE-FOODCOURTB", "CAR-WINUPB", "HOME-KITCHEN", "REVERB-POOL", "STREET-CITY")


def audio_mnist(folder: Path, *, by_accent: bool = False) -> dict[str, int]:
    """Takes 0 and 20 of 60 speakers, another digit each, 0.25 s; speakers 02 to 41 are "German", 01 is "german"."""
    meta = {}
    for speaker in range(1, 61):
        for take, digit in ((0, speaker % 10), (20, (speaker + 5) % 10)):
            path = folder / f"{speaker:02d}" / f"{digit}_{speaker:02d}_{take}.wav"
            write_clip(path, 100 * speaker + take, rate=48_000, seconds=0.25)
        accent = "german" if speaker == 1 else "German" if speaker <= 41 else "Italian"
        meta[f"{speaker:02d}"] = {"accent": accent, "age": "30", "gender": "female", "native speaker": "no"}
    (folder / "audioMNIST_meta.txt").write_text(json.dumps(meta))
    return {"train": 80, "val": 40, "test": 40} if by_accent else {"train": 72, "val": 24, "test": 24}


def speech_commands(folder: Path, *, words: tuple[str, ...]) -> dict[str, int]:
    """Of each word one test, one validation and two train clips of 0.25 to 0.42 s, with both lists and the noises."""
    lists = {"testing_list.txt": [], "validation_list.txt": []}
    for index, word in enumerate(sorted(words)):
        for number, (speaker, take) in enumerate(zip((*SPEAKER_HASHES, SPEAKER_HASHES[2]), (0, 0, 0, 1), strict=True)):
            name = f"{word}/{speaker}_nohash_{take}.wav"
            write_clip(folder / name, 10 * index + number, rate=16_000, seconds=0.25 + 0.005 * index)
            if number < 2:
                list(lists.values())[number].append(name)
    for table, names in lists.items():
        (folder / table).write_text("".join(f"{name}\n" for name in names))
    speech_commands_noise(folder)
    return {"train": 2 * len(words), "val": len(words), "test": len(words)}


def speech_commands_noise(folder: Path) -> dict[str, int]:
    """Six noises of 0.5 s in `_background_noise_/`, and its README."""
    root = folder / "_background_noise_"
    for index, kind in enumerate(BACKGROUND_KINDS):
        write_clip(root / f"{kind}.wav", 900 + index, rate=16_000, seconds=0.5)
    (root / "README.md").write_text("Noises.\n")
    return {"all": 6}


def free_spoken_digit(folder: Path, *, pairs: bool = False) -> dict[str, int]:
    """Takes 0 (test), 5 (val), 10 and 49 (train) of every digit, by the six speakers in turn, 0.15 s."""
    speakers = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    for digit in range(10):
        for take in (0, 5, 10, 49):
            path = folder / "recordings" / f"{digit}_{speakers[digit % 6]}_{take}.wav"
            write_clip(path, 100 * digit + take, rate=8_000, seconds=0.15)
    return {"train": 20, "test": 10} if pairs else {"train": 20, "val": 10, "test": 10}


def split_folders(folder: Path) -> dict[str, int]:
    """A user's data in train/, val/, test/: three classes, wav and flac, 0.2 to 0.3 s."""
    counts = {"train": 3, "val": 1, "test": 2}
    for number, (split, count) in enumerate(counts.items()):
        for label, name in enumerate(("cat", "dog", "owl")):
            for take in range(count):
                path = folder / split / name / f"{take}.{'flac' if take == 1 else 'wav'}"
                write_clip(path, 100 * number + 10 * label + take, rate=16_000, seconds=0.2 + 0.05 * label)
    return {split: 3 * count for split, count in counts.items()}


def qut_noise(folder: Path) -> dict[str, int]:
    """Two stereo recordings of one place a class, 0.2 s."""
    for index, place in enumerate(QUT_PLACES):
        for n in (1, 2):
            path = folder / f"{place}-{n}.wav"
            write_clip(path, 10 * index + n, rate=48_000, seconds=0.2, channels=2)
    return {"all": 10}


def demand(folder: Path, *, rate: int = 16_000, environments: tuple[str, ...] = DEMAND_16K) -> dict[str, int]:
    """Two of the sixteen channels of every environment, 0.1 s."""
    for index, environment in enumerate(environments):
        for channel in (1, 2):
            path = folder / environment / f"ch{channel:02d}.wav"
            write_clip(path, 20 * index + channel, rate=rate, seconds=0.1)
    return {"all": 2 * len(environments)}


def esc50(folder: Path, *, fold: int | None = None) -> dict[str, int]:
    """One clip a class, 0.1 s; target t lies in fold t % 5 + 1. The csv has the published columns."""
    from dhauds_jax.data.sets.esc50 import CLASSES

    rows = []
    for target, category in enumerate(CLASSES):
        name = f"{target % 5 + 1}-{10_000 + target}-A-{target}.wav"
        write_clip(folder / "audio" / name, target, rate=44_100, seconds=0.1)
        rows.append((name, target % 5 + 1, target, category, False, 10_000 + target, "A"))
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    with (folder / "meta" / "esc50.csv").open("w", newline="") as file:
        header = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
        csv.writer(file).writerows([header, *sorted(rows)])
    return {"all": 50} if fold is None else {"train": 40, "test": 10}


_v1 = functools.partial(speech_commands, words=class_names.SPEECH_COMMANDS_V1)
_v2 = functools.partial(speech_commands, words=class_names.SPEECH_COMMANDS_V2)


def arabic_speech_commands(folder: Path, *, first: int = 0, by_speaker: bool = False) -> dict[str, int]:
    """Two clips a word in train, one in val and test, 0.25 s each, and the lists; a speaker a list, from `first`."""
    counts = {"train": 2, "val": 1, "test": 1}
    for number, (split, count) in enumerate(counts.items()):
        rows = []
        for label, word in enumerate(class_names.ARABIC_SPEECH_COMMANDS):
            for take in range(count):
                name = f"dataset/{word}/{number + first:08d}_NO_{take:02d}.wav"
                write_clip(folder / name, 1000 * number + 10 * label + take, rate=16_000, seconds=0.25)
                rows.append((name, word))
        with (folder / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "class"), *rows])
    if by_speaker:  # ten words of train, five of test, by the speakers of all lists
        return {"train": 40, "test": 20}
    return {split: 15 * count for split, count in counts.items()}


FAKES = {
    "arabic_speech_commands": arabic_speech_commands,
    "arabic_speech_commands/speakers": functools.partial(arabic_speech_commands, first=1, by_speaker=True),
    "audio_mnist": audio_mnist,
    **{f"audio_mnist/fold{k}": audio_mnist for k in range(1, 5)},
    "audio_mnist/german_accent": functools.partial(audio_mnist, by_accent=True),
    "speech_commands_v1": _v1,
    "speech_commands_v2": _v2,
    "speech_commands_v2/amaut": _v2,
    "free_spoken_digit": free_spoken_digit,
    "free_spoken_digit/pairs": functools.partial(free_spoken_digit, pairs=True),
    "folder": split_folders,
    "qut_noise": qut_noise,
    "demand": demand,
    "demand/16k": demand,
    "demand/48k": functools.partial(demand, rate=48_000, environments=(*DEMAND_16K, "SCAFE")),
    "speech_commands_noise": speech_commands_noise,
    "esc50": esc50,
    **{f"esc50/fold{k}": functools.partial(esc50, fold=k) for k in range(1, 6)},
}
