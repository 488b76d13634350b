"""Streams for `benchmarks.served_session`: Arabic words in a room, and a stream that makes a session collapse."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.data.loading import load_split
from dhauds_jax.model.record import Model

ROOMS = ("clean", "white_noise_6dB", "running_tap_10dB", "pink_noise_10dB", "doing_the_dishes_10dB")
"""Streams in which there is something to gain, but for the first."""

PARTS = (("words", 96), ("one_class", 48), ("near_silence", 48), ("no_words", 48), ("words", 96))
"""The stream that makes a session collapse, part by part, with the clips of each; all words are in the same room."""

CANARIES = 4
"""Labelled clips of each class."""


class Stream(NamedTuple):
    """Clips in their order.

    Attributes:
      name: of it.
      waves: float32 (clips, time).
      labels: (clips,), -1 where a clip is of no class.
      parts: (clips,) the part of the stream that each is of.
      canary: (clips, time) labelled clips of other speakers in the same room.
      canary_labels: theirs.
      clean_canary: the same clips without the room's noise.
    """

    name: str
    waves: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    canary: np.ndarray
    canary_labels: np.ndarray
    clean_canary: np.ndarray


def room(name: str, data: Path, rate: int) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """What puts clips into a room: its noise, a drawn stretch of it for each clip, at its SNR over the clip."""
    if name == "clean":
        return lambda waves, random: waves
    kind, _, level = name.rpartition("_")
    folder = data / "SpeechCommands/speech_commands_v0.02/_background_noise_"
    noise = read(folder / f"{kind}.wav", rate)
    snr_db = float(level.removesuffix("dB"))

    def put(waves: np.ndarray, random: np.random.Generator) -> np.ndarray:
        at = random.integers(0, len(noise) - waves.shape[1], len(waves))
        pieces = noise[at[:, None] + np.arange(waves.shape[1])]
        power = [np.mean(np.square(x), 1, keepdims=True) for x in (waves, pieces)]
        gain = np.sqrt(power[0] / np.maximum(power[1], 1e-12) / 10 ** (snr_db / 10))
        return np.clip(waves + gain * pieces, -1, 1).astype(np.float32)

    return put


def read(path: Path, rate: int) -> np.ndarray:
    """A recording at a rate, float32 (time,)."""
    wave, own = soundfile.read(path, dtype="float32", always_2d=True)
    return librosa.resample(wave.mean(1), orig_sr=own, target_sr=rate)


def words(data: Path, model: Model, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Waves and labels of a split of the Arabic words."""
    config, place = model.config, data / "arabic-speech-commands"
    dataset = sets.get("arabic_speech_commands", place)
    clips = load_split(dataset, place, split, sample_rate=config.sample_rate, length=config.length, progress=False)
    return np.asarray(clips.waves, np.float32), np.asarray(clips.labels)


def no_words(data: Path, model: Model) -> np.ndarray:
    """The loudest window of each of the home sounds."""
    rate, length = model.config.sample_rate, model.config.length
    with (data / "ESC-50/meta/esc50.csv").open(newline="") as file:
        paths = [data / "ESC-50/audio" / row["filename"] for row in csv.DictReader(file)]
    waves = [read(path, rate) for path in paths if path.is_file()]
    energy = [np.concatenate([[0.0], np.cumsum(np.square(w, dtype=np.float64))]) for w in waves]
    loudest = [int(np.argmax(e[length:] - e[:-length])) for e in energy]
    return np.stack([w[at : at + length] for w, at in zip(waves, loudest, strict=True)])


def _canary(data: Path, model: Model, put: Callable, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    waves, labels = words(data, model, "val")
    rows = np.concatenate([random.permutation(np.flatnonzero(labels == c))[:CANARIES] for c in np.unique(labels)])
    return put(waves[rows], random), labels[rows], waves[rows]


def in_room(name: str, data: Path, model: Model, clips: int, seed: int) -> Stream:
    """Test clips in random order in one room."""
    random = np.random.default_rng([seed, ROOMS.index(name)])
    put = room(name, data, model.config.sample_rate)
    waves, labels = words(data, model, "test")
    order = random.permutation(len(waves))[:clips]
    canary = _canary(data, model, put, random)
    return Stream(name, put(waves[order], random), labels[order], np.full(len(order), "words"), *canary)


def collapsing(data: Path, model: Model, seed: int, where: str = "running_tap_10dB") -> Stream:
    """Words in a room; then one word again and again, near silence, sounds that are no words; then words again."""
    random = np.random.default_rng([seed, 99])
    put = room(where, data, model.config.sample_rate)
    waves, labels = words(data, model, "test")
    order = random.permutation(len(waves))
    word = int(labels[order[0]])
    single, rest = order[labels[order] == word], iter(order[labels[order] != word])
    length, others = model.config.length, no_words(data, model)
    found, truth, parts = [], [], []
    for part, count in PARTS:
        rows = {"one_class": single[:count], "words": [next(rest) for _ in range(count)]}.get(part)
        if rows is not None:
            found.append(put(waves[rows], random) if part == "words" else waves[rows])
            truth.append(labels[rows])
        else:
            quiet = (10 ** (-60 / 20) * random.standard_normal((count, length))).astype(np.float32)
            found.append(quiet if part == "near_silence" else others[random.permutation(len(others))[:count]])
            truth.append(np.full(count, -1))
        parts.append(np.full(count, part))
    canary = _canary(data, model, put, random)
    return Stream("collapsing", np.concatenate(found), np.concatenate(truth), np.concatenate(parts), *canary)
