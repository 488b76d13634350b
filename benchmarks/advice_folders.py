"""Folders of recordings of which the truth is known, in two halves that share no speaker and no noise recording.

`make(data, place)` writes them below `place/HALF/MODEL/FOLDER` as wav files of 16 bit with their truth, once; the clips
of a folder, the pieces of noise and the levels follow from the folder's name alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import soundfile
from librosa.effects import pitch_shift, time_stretch

RATE = 16_000
HALVES = ("fit", "report")
CLIPS = 128
"""Files of a folder, where there are as many."""

FEW, PIECES = 9, 64
DIGITS = tuple(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
SPEAKERS = {"fit": "theo", "report": "yweweler"}
"""Speakers of the spoken digits that the digit classifier was not trained on."""

WORDS = {"fit": "val.csv", "report": "test.csv"}
"""Lists of the Arabic words: six speakers each, none of which the model was trained on."""

FOLDS = {"fit": (1, 2, 3), "report": (4, 5)}
"""Of ESC-50, as sounds that are not the model's and as noise."""

NOISES = {
    "fit": ("running_tap", "exercise_bike", "pink_noise", "rain"),
    "report": ("doing_the_dishes", "dude_miaowing", "white_noise", "sea_waves"),
}
LEVELS = (10, 0)
"""Signal-to-noise ratios in dB; the second one for the first and the third noise alone."""

SPEEDS = {"fit": (1.4, 0.7), "report": (1.3, 0.75)}
SEMITONES = {"fit": (4, -3), "report": (3, -4)}
QUIET = {"fit": 1e-4, "report": 2e-4}
"""Standard deviation of the quiet noise, of full scale 1: -80 and -74 dBFS."""


class Clip(NamedTuple):
    """A recording and its class; None where it is of none of the model's classes."""

    wave: np.ndarray
    label: str | None


Folder = Callable[[np.random.Generator], list[Clip]]


def read(path: Path) -> np.ndarray:
    """A recording at `RATE`, float32 (time,)."""
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return librosa.resample(wave.mean(1), orig_sr=rate, target_sr=RATE)


class Half:
    """The recordings of one half.

    Args:
      data: the folder with `arabic-speech-commands`, `free-spoken-digit-dataset`, `SpeechCommands`, `ESC-50`,
        `field_recordings` and `reef_fish`.
      name: of `HALVES`.
    """

    def __init__(self, data: Path, name: str) -> None:
        self.data, self.name = data, name

    def words(self) -> list[tuple[Path, str]]:
        """Arabic words."""
        with (self.data / "arabic-speech-commands" / WORDS[self.name]).open(newline="") as file:
            return [(self.data / "arabic-speech-commands" / row["file"], row["class"]) for row in csv.DictReader(file)]

    def digits(self) -> list[tuple[Path, str]]:
        """English digits of one speaker."""
        found = sorted((self.data / "free-spoken-digit-dataset/recordings").glob(f"*_{SPEAKERS[self.name]}_*.wav"))
        return [(path, DIGITS[int(path.stem.split("_")[0])]) for path in found]

    def commands(self, digits: bool) -> list[tuple[Path, str]]:
        """English digits, or the other words, of hundreds of speakers: each speaker is in one half."""
        found = {}
        for path in sorted((self.data / "SpeechCommands").glob("*/[a-z]*/*.wav")):
            even = hashlib.sha256(path.stem.split("_")[0].encode()).digest()[0] % 2 == 0
            if (path.parent.name in DIGITS) == digits and even == (self.name == "fit"):
                found[path.parent.name, path.name] = path
        return [(path, word) for (word, _), path in found.items()]

    def esc(self, category: str | None = None) -> list[Path]:
        """Sounds of a house and its surroundings."""
        with (self.data / "ESC-50/meta/esc50.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["fold"]) in FOLDS[self.name]]
        paths = [self.data / "ESC-50/audio" / row["filename"] for row in rows if category in (None, row["category"])]
        return [path for path in paths if path.is_file()]

    def field(self) -> list[Path]:
        """Birds, forest, fish: every second recording."""
        found = sorted([*self.data.glob("field_recordings/**/*.wav"), *self.data.glob("reef_fish/**/*.wav")])
        return found[HALVES.index(self.name) :: 2]

    def noise(self, name: str) -> np.ndarray:
        """A noise of some minutes."""
        path = self.data / f"SpeechCommands/speech_commands_v0.02/_background_noise_/{name}.wav"
        return read(path) if path.is_file() else np.concatenate([read(p) for p in self.esc(name)])


def chosen(refs: Sequence[tuple[Path, str]], random: np.random.Generator, count: int = CLIPS) -> list[Clip]:
    """`count` of the recordings, drawn without repetition, in their order."""
    picked = np.sort(random.permutation(len(refs))[:count])
    return [Clip(read(refs[k][0]), refs[k][1]) for k in picked]


def mixed(clips: Sequence[Clip], noise: np.ndarray, snr_db: float, random: np.random.Generator) -> list[Clip]:
    """The clips with a piece of the noise each, at a ratio of energies in dB."""
    out = []
    for wave, label in clips:
        start = int(random.integers(len(noise) - len(wave)))
        piece = noise[start : start + len(wave)]
        gain = np.sqrt(np.sum(wave**2) / max(np.sum(piece**2), 1e-12)) * 10 ** (-snr_db / 20)
        out.append(Clip(wave + gain * piece, label))
    return out


def pieces(paths: Sequence[Path], seconds: float) -> list[Clip]:
    """Recordings in pieces that are of no class; a rest shorter than half of one is left out."""
    waves, size = [read(path) for path in paths], round(seconds * RATE)
    found = [wave[k : k + size] for wave in waves for k in range(0, len(wave), size)]
    kept = [piece for piece in found if 2 * len(piece) >= size]
    return [Clip(kept[k], None) for k in np.linspace(0, len(kept) - 1, min(len(kept), PIECES)).astype(int)]


def foreign(clips: Sequence[Clip]) -> list[Clip]:
    """The clips as ones of no class of the model."""
    return [Clip(wave, None) for wave, _ in clips]


def quiet(random: np.random.Generator, deviation: float, count: int = 64) -> list[Clip]:
    """White noise of a standard deviation; of 0 it is digital silence."""
    return [Clip(deviation * random.standard_normal(RATE).astype(np.float32), None) for _ in range(count)]


def shifted(half: Half, refs: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, Folder]]:
    """Folders of a model's own classes under noise, speed and pitch."""
    for name in NOISES[half.name]:
        for level in LEVELS if name in NOISES[half.name][::2] else LEVELS[:1]:
            yield f"{name}_{level}dB", lambda r, n=name, s=level: mixed(chosen(refs, r), half.noise(n), s, r)
    for speed in SPEEDS[half.name]:
        yield f"speed_{speed}", lambda r, x=speed: [Clip(time_stretch(w, rate=x), c) for w, c in chosen(refs, r)]
    for n in SEMITONES[half.name]:
        yield f"pitch_{n:+d}", lambda r, x=n: [Clip(pitch_shift(w, sr=RATE, n_steps=x), c) for w, c in chosen(refs, r)]


def own(half: Half, refs: Sequence[tuple[Path, str]], classes: Sequence[str]) -> Iterator[tuple[str, Folder]]:
    """Folders of a model's own classes.

    Args:
      half: the recordings.
      refs: those of the model's classes.
      classes: one, and a second one, that make a folder each.
    """
    noise = NOISES[half.name][0]
    one = [ref for ref in refs if ref[1] == classes[0]]
    two = [ref for ref in refs if ref[1] in classes]

    def mixture(random: np.random.Generator) -> list[Clip]:
        clips = chosen(refs, random)
        return [*clips[::2], *mixed(clips[1::2], half.noise(noise), 5, random)]

    yield "clean", lambda r: chosen(refs, r)
    yield from shifted(half, refs)
    yield "half_noisy", mixture
    yield "nine_files", lambda r: chosen(refs, r, FEW)
    if len(one) >= 40:
        yield "one_class", lambda r: chosen(one, r)
        yield "one_class_noisy", lambda r: mixed(chosen(one, r), half.noise(noise), 10, r)
    yield "two_classes", lambda r: chosen(two, r)
    yield "two_classes_noisy", lambda r: mixed(chosen(two, r), half.noise(noise), 10, r)


def others(half: Half) -> Iterator[tuple[str, Folder]]:
    """Folders of no class of either model."""
    yield "home_sounds", lambda r: pieces(half.esc(), 1.5)
    yield "field_recordings", lambda r: pieces(half.field(), 2.0)
    yield "other_words", lambda r: foreign(chosen(half.commands(digits=False), r))
    yield "noise_only", lambda r: foreign(noises_alone(half, r))
    yield "silence", lambda r: quiet(r, 0.0)
    yield "quiet_noise", lambda r: quiet(r, QUIET[half.name])


def noises_alone(half: Half, random: np.random.Generator) -> list[Clip]:
    """Thirty-two pieces of 1 s of each noise."""
    found = []
    for name in NOISES[half.name]:
        noise = half.noise(name)
        starts = random.integers(len(noise) - RATE, size=32)
        found += [Clip(noise[k : k + RATE], None) for k in starts]
    return found


def folders(half: Half, model: str) -> Mapping[str, Folder]:
    """The folders of one half for "words15" or "digits", by name."""
    if model == "words15":
        mine = own(half, half.words(), ("stop", "seven") if half.name == "fit" else ("left", "four"))
        return {**dict(mine), "digits_in_english": lambda r: foreign(chosen(half.digits(), r)), **dict(others(half))}
    mine = own(half, half.digits(), ("three", "seven") if half.name == "fit" else ("zero", "four"))
    arabic = [ref for ref in half.words() if ref[1] in DIGITS]
    found = {
        **dict(mine),
        "other_speakers": lambda r: chosen(half.commands(digits=True), r),
        "digits_in_arabic": lambda r: foreign(chosen(arabic, r)),
        **dict(others(half)),
    }
    return {name: folder for name, folder in found.items() if name not in left_out(half.name)}


def left_out(half: str) -> set[str]:
    """Folders that are not made for "digits", for want of time."""
    noises = {f"{name}_{LEVELS[0]}dB" for name in NOISES[half][1::2]}
    changes = {f"speed_{SPEEDS[half][1]}", f"pitch_{SEMITONES[half][1]:+d}"}
    return {*noises, *changes, "half_noisy", "nine_files", "field_recordings"}


def training(data: Path, place: Path) -> None:
    """Links to the spoken digits of the four other speakers, by class; takes 0 to 4 validate."""
    for path in sorted((data / "free-spoken-digit-dataset/recordings").glob("*.wav")):
        digit, speaker, take = path.stem.split("_")
        target = place / ("val" if int(take) < 5 else "train") / DIGITS[int(digit)] / path.name
        if speaker not in SPEAKERS.values() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path.resolve())


def make(data: Path, place: Path, models: Sequence[str]) -> list[Path]:
    """Writes the folders that are not there yet; returns all of them, the file `truth.json` in each."""
    halves = (Half(data, name) for name in HALVES)
    return [path for half in halves for model in models for path in kept(place, half.name, model, folders(half, model))]


def kept(place: Path, half: str, model: str, drawn: Mapping[str, Folder]) -> list[Path]:
    """Writes those folders of a half and a model that are not there yet, each from a seed of its names; returns all."""
    made = []
    for name, draw in drawn.items():
        made.append(folder := place / half / model / name)
        if not (folder / "truth.json").is_file():
            write(folder, draw(np.random.default_rng(zlib.crc32(f"{half} {model} {name}".encode()))))
    return made


def write(folder: Path, clips: Sequence[Clip]) -> None:
    """The clips as 0000.wav ..., and their classes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (wave, _) in enumerate(clips):
        scaled = wave / max(1.0, float(np.abs(wave).max()))
        soundfile.write(folder / f"{number:04d}.wav", scaled, RATE, subtype="PCM_16")
    (folder / "truth.json").write_text(json.dumps([label for _, label in clips]))
