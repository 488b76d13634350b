"""Folders that came after what is expected of accuracy had been given to the advice: kinds that no other half has.

Rooms, telephones, clipping, other speeds and pitches, other noises and levels, speech backwards. The speakers are those
of the report half, for there are no others. Made, named and kept as those of `advice_folders`, half "fresh".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from librosa.effects import pitch_shift, time_stretch
from scipy.signal import butter, fftconvolve, sosfilt

from benchmarks.advice_folders import RATE, Clip, Folder, Half, chosen, kept, mixed, pieces
from benchmarks.advice_new_folders import changed, noise

NAME = "fresh"
TELEPHONE = butter(4, [300, 3400], "bandpass", fs=RATE, output="sos")
ECHO = 0.5
"""Seconds in which a room's echo falls by 60 dB; as loud as the direct sound."""

PEAK = 0.15
"""Share of a clip's largest value at which it is clipped."""

FIVE = 5
"""Classes of the folder of few."""


def telephone(wave: np.ndarray) -> np.ndarray:
    """A wave between 300 and 3,400 Hz."""
    return sosfilt(TELEPHONE, wave).astype(np.float32)


def room(wave: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A wave with the echo of a room: noise that falls by 60 dB in `ECHO`."""
    count = round(ECHO * RATE)
    echo = random.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    echo[0] = np.sqrt((echo**2).sum())
    return (fftconvolve(wave, echo)[: len(wave)] / np.abs(echo[0])).astype(np.float32)


def clipped(wave: np.ndarray) -> np.ndarray:
    """A wave cut off at `PEAK`."""
    largest = PEAK * np.abs(wave).max()
    return np.clip(wave, -largest, largest).astype(np.float32)


def folders(data: Path, model: str) -> Mapping[str, Folder]:
    """The fresh folders for "words15" or "digits", by name."""
    half = Half(data, "report")
    refs = half.words() if model == "words15" else half.digits()
    few = sorted({label for _, label in refs})[:FIVE]
    return {
        "telephone": changed(refs, telephone),
        "room": lambda r: [Clip(room(wave, r), label) for wave, label in chosen(refs, r)],
        "clipped": changed(refs, clipped),
        "speed_0.9": changed(refs, lambda w: time_stretch(w, rate=0.9)),
        "speed_1.15": changed(refs, lambda w: time_stretch(w, rate=1.15)),
        "pitch_+2": changed(refs, lambda w: pitch_shift(w, sr=RATE, n_steps=2)),
        "chainsaw_3dB": lambda r: mixed(chosen(refs, r), noise(half, "chainsaw"), 3, r),
        "crackling_fire_5dB": lambda r: mixed(chosen(refs, r), noise(half, "crackling_fire"), 5, r),
        "boiler_0dB": lambda r: mixed(chosen(refs, r), noise(half, "boiler"), 0, r),
        "five_classes_noisy": lambda r: mixed(
            chosen([ref for ref in refs if ref[1] in few], r), noise(half, "boiler"), 8, r
        ),
        "words_by_telephone": lambda r: [Clip(telephone(w), None) for w, _ in chosen(half.commands(digits=False), r)],
        "backwards": lambda r: [Clip(w[::-1].copy(), None) for w, _ in chosen(refs, r)],
        "fire_and_clocks": lambda r: pieces(
            [path for kind in ("crackling_fire", "clock_tick", "chainsaw") for path in half.esc(kind)], 1.0
        ),
    }


def make(data: Path, place: Path, models: list[str]) -> list[Path]:
    """Writes the folders that are not there yet; returns all of them."""
    return [path for model in models for path in kept(place, NAME, model, folders(data, model))]
