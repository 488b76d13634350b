"""Folders that came after the thresholds of the sounds' own sign were chosen: what is in none of the two halves.

The speakers are those of the report half, for there are no others; noises, levels, speeds, pitches and the sounds of no
class are combined as in no folder before. Made, named and kept as those of `advice_folders`, half "new".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from librosa.effects import pitch_shift, time_stretch

from benchmarks.advice_folders import DIGITS, RATE, Clip, Folder, Half, chosen, foreign, kept, mixed, pieces, read

NAME = "new"
ESC_NOISE = "helicopter"


def noise(half: Half, name: str) -> np.ndarray:
    """A noise of the Arabic words' own recordings, or a kind of ESC-10."""
    path = half.data / f"arabic-speech-commands/background_noise/{name}.wav"
    return read(path) if path.is_file() else half.noise(name)


def changed(refs: list, change: Callable[[np.ndarray], np.ndarray]) -> Folder:
    """Recordings with a change each."""
    return lambda r: [Clip(change(wave), label) for wave, label in chosen(refs, r)]


def folders(data: Path, model: str) -> Mapping[str, Folder]:
    """The new folders for "words15" or "digits", by name."""
    half = Half(data, "report")
    refs = half.words() if model == "words15" else half.digits()
    mnist = sorted((data / "AudioMNIST/data").glob("*/*.wav"))
    said = [(path, DIGITS[int(path.stem.split("_")[0])]) for path in mnist]
    made = {
        "washing_machine_5dB": lambda r: mixed(chosen(refs, r), noise(half, "washing_machine"), 5, r),
        "helicopter_10dB": lambda r: mixed(chosen(refs, r), noise(half, ESC_NOISE), 10, r),
        "speed_1.2": changed(refs, lambda w: time_stretch(w, rate=1.2)),
        "pitch_-2": changed(refs, lambda w: pitch_shift(w, sr=RATE, n_steps=-2)),
        "other_words_noisy": lambda r: foreign(
            mixed(chosen(half.commands(digits=False), r), noise(half, "boiler"), 10, r)
        ),
        "dog_alarms": lambda r: pieces(sorted((data / "tomofun").glob("*.wav")), 0.5),
        "house_and_fish": lambda r: pieces(
            [*half.esc("crying_baby"), *half.esc("rooster"), *sorted((data / "reef_fish").glob("**/*.wav"))], 1.0
        ),
    }
    if model == "words15":
        return {**made, "audio_mnist": lambda r: foreign(chosen(said, r))}
    arabic = [ref for ref in half.words() if ref[1] not in DIGITS]
    return {**made, "audio_mnist": lambda r: chosen(said, r), "arabic_directions": lambda r: foreign(chosen(arabic, r))}


def make(data: Path, place: Path, models: list[str]) -> list[Path]:
    """Writes the folders that are not there yet; returns all of them."""
    return [path for model in models for path in kept(place, NAME, model, folders(data, model))]
