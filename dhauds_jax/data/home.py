"""A synthetic home: who lives there, its things, its rooms, its microphone and the noise that never stops."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from dhauds_jax.data import home_parts as parts

SIZE = 96_000  # samples of a clip with what its room adds; a length that the FFT likes
_TAIL = SIZE - parts.LENGTH


class Home(NamedTuple):
    """What a home's clips share.

    Attributes:
      dog, cat, motor, glass, tuning: factors on the pitch of its animals, motors, brittle things and instruments.
      voice: pitch of the deepest voice in Hz; the others are 1.7 times as high.
      alarm: pitch of its smoke alarm in Hz.
      bell, bell_gap, bell_decay: notes of its doorbell in Hz, seconds from one to the next, seconds to 1/e.
      bird: pitch of the birds around it in Hz.
      instrument, bright: 0 string, 1 pipe, 2 bar; the fall of its harmonics, k^-bright.
      reverberation, distance_db: seconds to -60 dB; level of the room against the direct sound in dB.
      tilt, low_pass, resonance: the microphone: dB an octave around 1 kHz, corner in Hz, place in Hz of an 8 dB peak.
      snr_db: level of a clip over the home's noise in dB, in the mean.
      noise_slope, hum, talk_db: the noise falls as f^-slope, has mains hum (share of its power) and voices at a level.
    """

    dog: float
    cat: float
    motor: float
    glass: float
    tuning: float
    voice: float
    alarm: float
    bell: tuple[float, ...]
    bell_gap: float
    bell_decay: float
    bird: float
    instrument: int
    bright: float
    reverberation: float
    distance_db: float
    tilt: float
    low_pass: float
    resonance: float
    snr_db: float
    noise_slope: float
    hum: float
    talk_db: float


def make_home(rng: np.random.Generator) -> Home:
    """Draws a home."""
    ding = 2 ** rng.uniform(-0.6, 0.5) * 660
    steps = ((0, -4), (0, -5), (0, -3), (0, -4, 3), (0, 4, 7), (4, 0, 2, -5))[int(rng.integers(6))]
    return Home(
        dog=2 ** rng.uniform(-0.9, 0.9),
        cat=2 ** rng.uniform(-0.4, 0.4),
        motor=2 ** rng.uniform(-0.5, 0.5),
        glass=2 ** rng.uniform(-0.3, 0.3),
        tuning=2 ** rng.uniform(-1 / 24, 1 / 24),
        voice=rng.uniform(95, 160),
        alarm=3_100 * rng.uniform(0.94, 1.06),
        bell=tuple(float(ding * 2 ** (step / 12)) for step in steps),
        bell_gap=rng.uniform(0.35, 0.75),
        bell_decay=rng.uniform(0.25, 0.7),
        bird=2_000 * 2 ** rng.uniform(0, 1.4),
        instrument=int(rng.integers(3)),
        bright=rng.uniform(0.6, 1.6),
        reverberation=0.15 * 6 ** rng.uniform(),
        distance_db=rng.uniform(-10, 8),
        tilt=rng.uniform(-4, 4),
        low_pass=2_200 * 3.2 ** rng.uniform(),
        resonance=300 * 14 ** rng.uniform(),
        snr_db=rng.uniform(-8, 10),
        noise_slope=rng.uniform(0, 2),
        hum=rng.uniform(0, 0.6) * (rng.uniform() < 0.6),
        talk_db=rng.uniform(-14, -4) if rng.uniform() < 0.4 else -80.0,
    )


@functools.lru_cache(maxsize=4)
def microphone(home: Home) -> Float[np.ndarray, " bins"]:
    """Gain of the microphone at the bins of a spectrum of `SIZE` samples."""
    frequency = _bins(30.0)
    decibels = home.tilt * np.log2(frequency / 1_000) + 8 * np.exp(-((np.log2(frequency / home.resonance) / 0.25) ** 2))
    return 10 ** (decibels / 20) / np.sqrt(1 + (frequency / home.low_pass) ** 8)


def room(home: Home, rng: np.random.Generator) -> Complex[np.ndarray, " bins"]:
    """Transfer function of a place in the home: the direct sound, and echoes that die away over the reverberation."""
    decay = _decay(home)
    echoes = rng.standard_normal(len(decay)) * decay
    echoes *= 10 ** (home.distance_db / 20) / np.sqrt(np.sum(echoes**2))
    echoes[0] += 1
    echoes /= np.sqrt(np.sum(echoes**2))  # a sound is as loud as before, in the mean
    return np.fft.rfft(echoes, SIZE)


def noise_spectrum(home: Home, rng: np.random.Generator) -> Complex[np.ndarray, " bins"]:
    """A draw of the home's noise: f^-slope, with lines of hum, as a spectrum of `SIZE` samples of mean square 1."""
    shape, lines = _noise(home)
    spectrum = rng.standard_normal(2 * len(shape)).view(complex) * shape
    spectrum *= np.sqrt(1 - home.hum) / rms(spectrum)
    if home.hum:
        lines = lines * np.exp(2j * np.pi * rng.uniform(0, 1, len(lines)))
        spectrum[_LINES] += np.sqrt(home.hum) * lines / rms(lines)
    return spectrum


def rms(spectrum: Complex[np.ndarray, " bins"]) -> float:
    """Root mean square of the `SIZE` samples of a spectrum (whose mean is 0), by Parseval's theorem."""
    power = np.sum(spectrum.real**2 + spectrum.imag**2)
    return max(float(np.sqrt(2 * power) / SIZE), 1e-12)


_LINES = np.round(50 * np.arange(1, 25) * SIZE / parts.SAMPLE_RATE).astype(int)


def _bins(lowest: float) -> np.ndarray:
    return np.maximum(np.fft.rfftfreq(SIZE, 1 / parts.SAMPLE_RATE), lowest)


@functools.lru_cache(maxsize=4)
def _decay(home: Home) -> np.ndarray:
    seconds = np.arange(_TAIL) / parts.SAMPLE_RATE
    return np.exp(-6.9 * seconds / home.reverberation) * (seconds > 0.004)


@functools.lru_cache(maxsize=4)
def _noise(home: Home) -> tuple[np.ndarray, np.ndarray]:
    """The noise's amplitudes at the bins, and those of its hum's lines."""
    shape = _bins(40.0) ** (-home.noise_slope / 2)
    shape[0] = 0
    return shape, np.arange(1, 25) ** -0.8 + 0j
