"""Home sounds of 20 synthetic homes: the 15 sub-classes of the Tomofun dog-sound challenge, made from a seed.

A clip is a function of (seed, home, class, take) alone: neither order nor split nor the other clips change a bit.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax import class_names
from dhauds_jax.data import home as homes
from dhauds_jax.data import home_parts as parts
from dhauds_jax.data import home_things as things
from dhauds_jax.data import home_voices as voices
from dhauds_jax.data.home import Home
from dhauds_jax.errors import BadInput
from dhauds_jax.processors import available_cores
from dhauds_jax.registry import nearest

SAMPLE_RATE = parts.SAMPLE_RATE
LENGTH = parts.LENGTH
CLASSES = class_names.TOMOFUN
HOMES = {"train": range(16), "test": range(16, 20)}
"""Homes of each split; no home is in two."""
TAKES = 2
"""Clips of a class in each home: 40 in all 20 homes."""
_SECOND, _SECOND_DB = 0.4, (3.0, 15.0)
"""How often a second sound, of another class, is heard behind the clip's own, and by how many dB it is weaker."""
_SOURCES = {
    "Barking": voices.barking,
    "Howling": voices.howling,
    "Crying": voices.crying,
    "CO_Smoke": things.alarm,
    "GlassBreaking": things.glass,
    "Blender": things.blender,
    "Cat": voices.cat,
    "Dishes": things.dishes,
    "Electrics": things.electrics,
    "Other": things.other,
    "Vacuum": things.vacuum,
    "Doorbell": things.doorbell,
    "Bird": voices.bird,
    "Music_Instrument": things.instrument,
    "Laugh_Shout_Scream": voices.people,
}


class HomeClips(NamedTuple):
    """Clips of some homes.

    Attributes:
      ids: names "home/class_take", such as "h07/Barking_1".
      waves: float32 (clips, 80000) at 16 kHz.
      labels: int32 (clips,).
      homes: int32 (clips,).
    """

    ids: tuple[str, ...]
    waves: np.ndarray
    labels: np.ndarray
    homes: np.ndarray


def make_split(split: str, *, seed: int = 0) -> HomeClips:
    """Makes a split: home by home, each with its takes of every class.

    Args:
      split: "train" (480 clips of 16 homes) or "test" (120 clips of 4 others).
      seed: of all homes.

    Raises:
      BadInput: unknown split.
    """
    if split not in HOMES:
        raise BadInput(f"unknown split {split!r} of home_sounds: expected {nearest(split, HOMES)}")
    return make_homes(HOMES[split], seed=seed)


def make_homes(numbers: range, *, seed: int = 0) -> HomeClips:
    """Makes all clips of some homes (numbers from 0; 20 and more are homes that are in no split)."""
    asked = [(home, take, label) for home in numbers for take in range(TAKES) for label in range(len(CLASSES))]
    waves = np.empty((len(asked), LENGTH), np.float32)
    with ThreadPoolExecutor(available_cores()) as pool:  # NumPy's draws, sums and FFTs leave the lock to others
        for row, wave in enumerate(pool.map(lambda one: make_clip(seed, one[0], one[2], one[1]), asked)):
            waves[row] = wave
    ids = tuple(f"h{home:02d}/{CLASSES[label]}_{take}" for home, take, label in asked)
    labels = np.array([label for *_, label in asked], np.int32)
    return HomeClips(ids, waves, labels, np.array([home for home, *_ in asked], np.int32))


@functools.lru_cache(maxsize=64)
def home_of(seed: int, number: int) -> Home:
    """The home of that number."""
    return homes.make_home(np.random.default_rng((seed, 0, number)))


def make_clip(seed: int, home: int, label: int, take: int) -> Float[np.ndarray, " time"]:
    """A clip: a source in a place of the home, sometimes a weaker one of another class, noise, microphone, level.

    Args:
      seed: of all homes.
      home: number of the home.
      label: index into `CLASSES`.
      take: number of the clip; any is new.

    Returns:
      float32 (80000,) at 16 kHz, peak 0.02 to 0.95.
    """
    lives = home_of(seed, home)
    rng = np.random.default_rng((seed, 1, home, label, take))
    sound = _normalised(_SOURCES[CLASSES[label]](rng, lives))
    if rng.uniform() < _SECOND:
        second = (label + int(rng.integers(1, len(CLASSES)))) % len(CLASSES)
        sound += 10 ** (-rng.uniform(*_SECOND_DB) / 20) * _normalised(_SOURCES[CLASSES[second]](rng, lives))
    noise = 10 ** (-(lives.snr_db + rng.normal(0, 4)) / 20)
    if lives.talk_db > -60:
        voice = lives.voice * (1.0 if rng.uniform() < 0.5 else 1.7)
        sound += noise * 10 ** (lives.talk_db / 20) * _normalised(things.talk(rng, voice))
    # All is linear, so one transform each way does for room, noise and microphone.
    spectrum = np.fft.rfft(sound, homes.SIZE) * homes.room(lives, rng) + noise * homes.noise_spectrum(lives, rng)
    wave = np.fft.irfft(spectrum * homes.microphone(lives), homes.SIZE)[:LENGTH]
    peak = 0.02 * (0.95 / 0.02) ** rng.uniform()
    return (peak / np.abs(wave).max() * wave).astype(np.float32)


def _normalised(dry: np.ndarray) -> np.ndarray:
    return dry / max(float(np.sqrt(np.mean(dry**2))), 1e-9)
