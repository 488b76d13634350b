"""Recordings as people have them: a file, a folder, lists of both, or arrays with their rate."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.data import recordings
from dhauds_jax.data.audio import FULL_SCALE
from dhauds_jax.data.opening import MAX_CHANNELS, MAX_RATE, MIN_RATE
from dhauds_jax.data.recordings import Recordings
from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.config import ClassifierConfig, reading

Sounds = str | Path | np.ndarray | Recordings | Sequence
"""A file or folder, a list of them, (time,) or (clips, time) samples, a list of (time,), or what was read already."""


def read(sounds: Sounds, config: ClassifierConfig, *, rate: int | None = None, overlap: float = 0.0) -> Recordings:
    """Recordings at a network's rate, in windows of its length; a bad file raises.

    A warning says how many files of a folder are of kinds that are not read.

    Args:
      sounds: see `Sounds`.
      config: of the network.
      rate: of arrays, in Hz.
      overlap: share of a window that the next one repeats.

    Raises:
      BadInput: nothing to read, what cannot be read, arrays without their rate or of another kind.
    """
    if isinstance(sounds, Recordings):
        return sounds
    read_as = reading(config.front_end)
    layout, resampler = read_as["layout"], read_as["resampler"]
    wanted = {"sample_rate": config.sample_rate, "length": config.length, "overlap": overlap, "layout": layout}
    if isinstance(sounds, str | Path):
        return _of_files(sounds, resampler=resampler, **wanted)
    _check_kind(sounds)
    if isinstance(sounds, np.ndarray):
        _check_shape(sounds)
    items = [sounds] if isinstance(sounds, np.ndarray) and sounds.ndim == 1 else list(sounds)
    if items and all(isinstance(item, str | Path) for item in items):
        return _of_files(items, resampler=resampler, **wanted)
    return recordings.of_waves([_wave(item, rate, config.sample_rate, resampler) for item in items], **wanted)


def _of_files(sounds: str | Path | Sequence[str | Path], **wanted: Any) -> Recordings:
    """What files and folders hold, `~` standing for the home folder; nothing of them is left out without a word."""
    one = isinstance(sounds, str | Path)
    places = [Path(place).expanduser() for place in ([sounds] if one else sounds)]
    found = recordings.load(places[0] if one else places, on_bad_file="stop", flag="", **wanted)
    if found.left_out:
        kinds = ", ".join(f"{count} {ending}" for ending, count in found.left_out)
        warnings.warn(
            f"recordings of kinds that are not read were left out ({kinds}): convert them, as with ffmpeg -i NAME.m4a "
            "NAME.wav",
            stacklevel=4,  # who called predict, adapt or embed
        )
    return found


def _check_kind(sounds: object) -> None:
    if not isinstance(sounds, np.ndarray | Sequence):
        raise BadInput(f"recordings: got {type(sounds).__name__}, expected a file, a folder, a list of them, or arrays")


def _check_shape(array: np.ndarray) -> None:
    """Raises `BadInput` for what is not (time,) or (clips, time), such as channels beside each other."""
    if array.ndim == 2 and len(array) > array.shape[1] <= MAX_CHANNELS:
        raise BadInput(
            f"an array of shape {array.shape}: expected (clips, time); if these are channels, give their mean, "
            "array.mean(axis=1)"
        )


def _wave(item: object, rate: int | None, wanted: int, resampler: str) -> np.ndarray:
    wave = np.asarray(item)
    if wave.ndim != 1 or wave.dtype.kind != "f" or not len(wave):
        raise BadInput(
            f"an array of shape {wave.shape} and type {wave.dtype}: expected floats in [-1, 1), (time,) a recording"
        )
    if rate is None:
        raise BadInput("arrays without rate: expected rate=HZ, the samples a second of all of them")
    check_number("rate", rate, MIN_RATE, MAX_RATE)
    if not np.isfinite(wave).all():
        raise BadInput("an array with samples that are NaN or infinite, expected finite numbers")
    peak = float(np.abs(wave).max())
    if peak > FULL_SCALE:
        raise BadInput(f"an array with samples up to {peak:.4g}: expected [-1, 1); 16-bit numbers are divided by 32768")
    return resample_wave(np.ascontiguousarray(wave, np.float32), int(rate), wanted, resampler)
