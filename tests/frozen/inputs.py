"""What the frozen commands read: a tiny data set, noises, recordings, PyTorch state dicts; nothing of the package.

Values must never change: every frozen number follows from them.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import soundfile

from tests.goldens.golden_weights import golden_array

RATE = 16_000
SAMPLES = 4_000
WORDS = (
    "down", "eight", "five", "four", "left", "nine", "one", "right", "seven", "six", "stop", "three", "two", "up",
    "zero",
)  # fmt: skip
"""Arabic Speech Commands' classes in order."""
TAKES = {"train": 2, "val": 1, "test": 2}
NOISES = (
    *(f"QUT-NOISE/{name}-1.wav" for name in ("CAFE", "CAR", "HOME", "REVERB", "STREET")),
    *(f"DEMAND_16k/{name}/ch01.wav" for name in ("DKITCHEN", "NFIELD", "OOFFICE", "PRESTO", "STRAFFIC", "TCAR")),
    *(f"DEMAND_16k/{name}/ch01.wav" for name in ("DLIVING", "NRIVER", "OHALLWAY", "PSTATION", "SPSQUARE", "TMETRO")),
    *(
        f"_background_noise_/{name}.wav"
        for name in ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")
    ),
    *(f"VocalSound/audio_16k/f{i}_0_laughter.wav" for i in range(2)),
)
SOURCES = Path(__file__).with_name("sources.json")
"""Names and shapes of state dicts: file name -> key -> shape, or a number (a counter)."""


def tone(label: int, take: int, samples: int = SAMPLES) -> np.ndarray:
    """A tone that glides, one pitch a class, in a little noise."""
    rng = np.random.default_rng([label, take])
    t = np.arange(samples) / RATE
    pitch = 250 + 130 * label + 40 * rng.normal()
    wave = np.sin(2 * np.pi * pitch * t * (1 + 0.4 * t)) * (0.2 + np.abs(np.sin(9 * t + label)))
    return 0.3 * wave + 0.02 * rng.normal(size=samples)


def write_wav(path: Path, wave: np.ndarray) -> None:
    """Writes 16-bit PCM at 16 kHz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, RATE, subtype="PCM_16")


def make_speech(folder: Path) -> None:
    """A data set in the layout of Arabic Speech Commands: csv files and one wav a class and take."""
    for number, (split, takes) in enumerate(TAKES.items()):
        rows = [("file", "class")]
        for label, word in enumerate(WORDS):
            for take in range(takes):
                name = f"dataset/{word}/{split}_{take}.wav"
                write_wav(folder / name, tone(label, 10 * number + take))
                rows.append((name, word))
        with (folder / f"{split}.csv").open("w", newline="") as out:
            csv.writer(out).writerows(rows)


def make_noises(folder: Path) -> None:
    """One recording a class of every noise corpus, 0.6 s each, red and beating so that crops differ."""
    for i, name in enumerate(NOISES):
        rng = np.random.default_rng([99, i])
        white = rng.normal(size=9600)
        red = np.convolve(white, 0.8 ** np.arange(20), mode="same")
        write_wav(folder / name, 0.05 * red * (1 + 0.5 * np.sin(np.arange(9600) / (300 + 50 * i))))


def make_recordings(folder: Path) -> None:
    """Recordings to label: of one window, of more, and of less."""
    for i, samples in enumerate((SAMPLES, 9000, 2500, SAMPLES, 6000, SAMPLES)):
        write_wav(folder / f"clip{i}.wav", tone(2 * i, 50 + i, samples))


def make_states(folder: Path) -> None:
    """The state dicts of `sources.json`, drawn by `golden_array`, and the configs of their conversions."""
    folder.mkdir()
    for file, spec in json.loads(SOURCES.read_text()).items():
        state = {
            key: golden_array(key, tuple(shape)) if isinstance(shape, list) else np.asarray(shape, np.int64)
            for key, shape in spec.items()
        }
        np.savez(folder / file, **state)
    for preset in ("amaut_tiny", "hubert_tiny", "ssast_test", "conmix_tiny"):
        (folder / f"{preset}.json").write_text(json.dumps({"preset": preset, "classes": list(WORDS)}))


def make(folder: Path) -> None:
    """Everything, under `folder`."""
    make_speech(folder / "speech")
    make_noises(folder / "noise")
    make_recordings(folder / "recordings")
    make_states(folder / "states")
