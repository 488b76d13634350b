"""The embedded corpus: spoken-like words of many speakers, made in memory from a seed."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from dhauds_jax.data import formants
from dhauds_jax.data.phones import PHONES, WORDS
from dhauds_jax.errors import BadInput
from dhauds_jax.registry import nearest

SAMPLE_RATE = 16_000
LENGTH = 16_000
CLASSES = tuple(WORDS)
SPEAKERS = {"train": 20, "val": 4, "test": 10}
"""Speakers of each split; no speaker is in two."""
SIZES = {"train": 1400, "val": 112, "test": 280}
"""Default clips of each split."""
_CODES = {"train": 1, "val": 2, "test": 3, "babble": 4}
_FRAMES = LENGTH // formants.FRAME
_ROOM = 2048  # samples of the room's impulse response


class Corpus(NamedTuple):
    """A split of the embedded corpus.

    Attributes:
      ids: names "split/index_speaker_word".
      waves: float32 (clips, 16000) at 16 kHz.
      labels: int32 (clips,).
      speakers: int32 (clips,), counted within the split.
    """

    ids: tuple[str, ...]
    waves: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray


class Speaker(NamedTuple):
    """A voice.

    Attributes:
      f0: mean pitch in Hz.
      tract: factor on all formants (a shorter vocal tract is above 1).
      speed: factor on durations' inverse.
      open_quotient, tilt, breath, bandwidth: voice quality; `tilt` is a low-pass corner in Hz.
      accent: factors on (phone, formant) targets.
    """

    f0: float
    tract: float
    speed: float
    open_quotient: float
    tilt: float
    breath: float
    bandwidth: float
    accent: np.ndarray


def make_split(split: str, *, seed: int = 0, size: int | None = None) -> Corpus:
    """Makes a split; clip `index` depends on (seed, split, index) alone.

    Classes alternate fastest, then speakers, so every `len(CLASSES)` clips hold each word once.

    Args:
      split: "train", "val" or "test".
      seed: of the whole corpus.
      size: clips (default `SIZES[split]`).

    Raises:
      BadInput: unknown split.
    """
    if split not in SIZES:
        raise BadInput(f"unknown split {split!r} of synthetic: expected {nearest(split, SIZES)}")
    index = np.arange(SIZES[split] if size is None else size)
    labels = (index % len(CLASSES)).astype(np.int32)
    speakers = (index // len(CLASSES) % SPEAKERS[split]).astype(np.int32)
    ids = tuple(f"{split}/{i:05d}_s{s:02d}_{CLASSES[c]}" for i, s, c in zip(index, speakers, labels))
    return Corpus(ids, speak(split, seed, index, speakers, labels), labels, speakers)


def speak(split: str, seed: int, index: np.ndarray, speakers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Waveforms float32 (clips, 16000) of the words `labels` said by `speakers` of `split`, peaks 0.1 to 0.7."""
    voices = {s: make_speaker(seed, split, s) for s in sorted(set(speakers.tolist()))}
    root = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), _CODES[split])

    def control(i: int, s: int, c: int) -> tuple[np.ndarray, tuple[float, ...]]:
        rng = np.random.default_rng((seed, _CODES[split], 1, i))
        return control_tracks(CLASSES[c], voices[s], rng), _finish_draws(rng)

    pieces = []  # none is waited for before the last one is begun: tracks are made while devices speak
    for first in range(0, len(index), formants.CHUNK):
        rows = slice(first, first + formants.CHUNK)
        asked = zip(index[rows].tolist(), speakers[rows].tolist(), labels[rows].tolist())
        tracks, finish = zip(*(control(*one) for one in asked))
        filled = np.minimum(np.arange(formants.CHUNK), len(tracks) - 1)
        keys = _keys_of(root, index[rows][filled].astype(np.uint32))
        dry = formants.synthesise(np.stack(tracks)[filled], keys, SAMPLE_RATE)
        pieces.append(_finish(dry, keys, np.asarray(finish, np.float32)[filled]))
    return np.concatenate([np.asarray(piece) for piece in pieces])[: len(index)]


@jax.jit
def _keys_of(root: Key[Array, ""], index: UInt32[Array, " clips"]) -> Key[Array, " clips"]:
    return jax.vmap(lambda i: jax.random.fold_in(root, i))(index)


def make_speaker(seed: int, split: str, speaker: int) -> Speaker:
    """Draws a voice: pitch 90 to 240 Hz, a tract that goes with it, speed 0.85 to 1.18, quality, accent."""
    rng = np.random.default_rng((seed, _CODES[split], 0, speaker))
    height = rng.uniform()
    return Speaker(
        f0=90.0 * (240.0 / 90.0) ** height,
        tract=0.93 + 0.24 * height + rng.normal(0, 0.025),
        speed=0.85 * (1.18 / 0.85) ** rng.uniform(),
        open_quotient=rng.uniform(0.45, 0.7),
        tilt=rng.uniform(1500, 4000),
        breath=rng.uniform(0.5, 2.0),
        bandwidth=rng.uniform(0.8, 1.3),
        accent=np.exp(rng.normal(0, 0.035, (len(PHONES), 3))),
    )


def control_tracks(word: str, voice: Speaker, rng: np.random.Generator) -> np.ndarray:
    """Control tracks float32 (200, formants.WIDTH) of one utterance: targets, durations jittered, then smoothed."""
    pieces = _pieces(word)
    pace = voice.speed * np.exp(rng.normal(0, 0.06))
    stretch = np.exp(rng.normal(0, 0.13, len(pieces.phone))) / pace
    durations = pieces.ms * stretch
    durations *= min(1.0, 900.0 / durations.sum())
    start = rng.uniform(0.02, 0.98) * (1000.0 - durations.sum())
    edges = start + np.concatenate([[0.0], np.cumsum(durations)])
    now = (np.arange(_FRAMES) + 0.5) * 1000.0 / _FRAMES
    which = np.searchsorted(edges, now) - 1
    inside = (which >= 0) & (which < len(pieces.phone))
    which = np.clip(which, 0, len(pieces.phone) - 1)

    amplitudes = pieces.amplitudes * np.exp(rng.normal(0, 0.15, pieces.amplitudes.shape))
    amplitudes[:, 1] *= voice.breath
    targets = pieces.formants * voice.accent[pieces.phone]
    targets = targets * np.exp(rng.normal(0, 0.025, targets.shape)) * voice.tract
    noise = pieces.noise * np.exp(rng.normal(0, 0.05, (len(pieces.phone), 1)))
    noise[:, 0] *= voice.tract**0.5

    tracks = np.zeros((_FRAMES, formants.WIDTH))
    tracks[:, 0] = _pitch(voice, now, edges, rng)
    tracks[:, 1:4] = _hann(amplitudes[which] * inside[:, None], 3)
    tracks[:, 4:6] = noise[which]
    tracks[:, 6], tracks[:, 7] = voice.tilt, voice.open_quotient
    high = np.broadcast_to(np.array([3500.0, 4500.0]) * voice.tract, (_FRAMES, 2))
    tracks[:, 8:13] = _hann(np.concatenate([targets[which], high], 1), 11)
    widths = np.array([70.0, 90.0, 130.0, 200.0, 260.0]) * voice.bandwidth
    tracks[:, 13:18] = widths * _hann(pieces.widen[which][:, None], 5)
    # Beyond Nyquist a resonator would fold back.
    tracks[:, [4, 8, 9, 10, 11, 12]] = np.minimum(tracks[:, [4, 8, 9, 10, 11, 12]], 0.46 * SAMPLE_RATE)
    return tracks.astype(np.float32)


class _Pieces(NamedTuple):
    """The segments of a word's phones, a row each; `phone` counts in `PHONES`."""

    phone: np.ndarray
    ms: np.ndarray
    amplitudes: np.ndarray
    formants: np.ndarray
    noise: np.ndarray
    widen: np.ndarray


@functools.cache
def _pieces(word: str) -> _Pieces:
    names = list(PHONES)
    pieces = [(names.index(p), segment) for p in WORDS[word] for segment in PHONES[p]]
    rows = [(p, s.ms, (s.voicing, s.aspiration, s.frication), s.formants, s.noise, s.widen) for p, s in pieces]
    return _Pieces(*(np.array(column) for column in zip(*rows, strict=True)))


def _pitch(voice: Speaker, now: np.ndarray, edges: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Declination, one accent bump and slow wander, in Hz."""
    place = np.clip((now - edges[0]) / (edges[-1] - edges[0]), 0, 1)
    mean = voice.f0 * np.exp(rng.normal(0, 0.07))
    fall, bump, peak = rng.uniform(0.05, 0.25), rng.uniform(0.0, 0.2), rng.uniform(0.1, 0.7)
    wander = _hann(rng.normal(0, 0.03, (len(now), 1)), 9)[:, 0]
    return mean * (1 + fall * (0.5 - place) + bump * np.exp(-(((place - peak) / 0.2) ** 2)) + wander)


def _hann(x: np.ndarray, width: int) -> np.ndarray:
    """Smooths (frames, tracks) along time with a Hann window of `width` frames, edges held."""
    rows, window = _hann_window(len(x), width)
    return x[rows].swapaxes(1, 2) @ window


@functools.cache
def _hann_window(frames: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Which frames (frames, width) enter each smoothed one, and their weights (width,)."""
    window = np.hanning(width + 2)[1:-1]
    rows = np.arange(frames)[:, None] + np.arange(width) - width // 2
    return rows.clip(0, frames - 1), window / window.sum()


def _finish_draws(rng: np.random.Generator) -> tuple[float, ...]:
    """Peak level, floor below it in dB, room level in dB, its decay in s, microphone tilt."""
    peak = 0.1 * 7.0 ** rng.uniform()
    return peak, rng.uniform(50, 60), rng.uniform(-30, -16), rng.uniform(0.03, 0.1), rng.uniform(-0.25, 0.25)


@jax.jit
@jax.vmap
def _finish(dry: Float[Array, " time"], key: Key[Array, ""], draws: Float[Array, " draws"]) -> Float[Array, " time"]:
    """Puts a dry clip into a small room, at a level, above a faint noise floor."""
    peak, floor_db, room_db, decay, tilt = draws
    tail_key, floor_key = jax.random.split(jax.random.fold_in(key, 1))
    seconds = jnp.arange(_ROOM) / SAMPLE_RATE
    tail = jax.random.normal(tail_key, (_ROOM,)) * jnp.exp(-6.9 * seconds / decay) * (seconds > 0.002)
    tail = tail * 10 ** (room_db / 20) / jnp.sqrt(jnp.sum(tail**2) + 1e-12)
    room = tail.at[0].add(1.0)
    size = LENGTH + _ROOM
    wet = jnp.fft.irfft(jnp.fft.rfft(dry, size) * jnp.fft.rfft(room, size), size)[:LENGTH]
    wet = wet + tilt * jnp.concatenate([jnp.zeros(1), wet[:-1]])
    wet = wet / (jnp.max(jnp.abs(wet)) + 1e-9)
    floor = jax.random.normal(floor_key, (LENGTH,)) * 10 ** (-floor_db / 20) * 0.3
    return peak * (wet + floor)
