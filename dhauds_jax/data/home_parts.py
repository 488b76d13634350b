"""Building blocks of the synthetic home sounds: voices, ringing bodies, noise, and their places in a clip.

All are float64 at 16 kHz, in NumPy, from a generator that the caller brings.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

SAMPLE_RATE = 16_000
SECONDS = 5.0
LENGTH = int(SECONDS * SAMPLE_RATE)
_TABLE = 4_096  # phases of a period; the nearest one is taken, an error 60 dB below the fundamental
_HIGHEST = 7_500.0


def silence() -> Float[np.ndarray, " time"]:
    """A clip's 80,000 zeros, to add events to."""
    return np.zeros(LENGTH)


def put(clip: Float[np.ndarray, " time"], event: Float[np.ndarray, " event"], start: float) -> None:
    """Adds an event to a clip from `start` (s) on; what lies outside of the clip is lost."""
    first = round(start * SAMPLE_RATE)
    event = event[max(0, -first) :]
    part = clip[max(0, first) :][: len(event)]
    part += event[: len(part)]


def frames(seconds: float) -> Float[np.ndarray, " event"]:
    """The places of an event's samples in it, 0 to below 1; its length is a multiple of 4 ms."""
    samples = max(64, 64 * round(seconds * SAMPLE_RATE / 64))  # lengths that the FFT of its noise likes
    return np.arange(samples) / samples


def track(place: Float[np.ndarray, " event"], points: Sequence[float], values: Sequence[float]) -> np.ndarray:
    """A contour through `values` at the places `points`, straight between them."""
    return np.interp(place, points, values)


def wander(rng: np.random.Generator, samples: int, rate: float, depth: float) -> Float[np.ndarray, " event"]:
    """A slow random walk around 1: normal with deviation `depth` at `rate` points a second, straight between them."""
    knots = max(3, int(samples / SAMPLE_RATE * rate) + 2)
    return 1 + depth * np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), rng.standard_normal(knots))


@functools.lru_cache(maxsize=256)
def _period(weights: tuple[float, ...]) -> np.ndarray:
    """One period of a sum of harmonics, peak 1; phases are those of a falling series, which keep it from one spike."""
    spectrum = np.zeros(_TABLE // 2 + 1, complex)
    number = np.arange(1, len(weights) + 1)
    spectrum[1 : len(weights) + 1] = np.asarray(weights) * np.exp(1j * 0.7 * number * number)
    period = np.fft.irfft(spectrum, _TABLE)
    return period / max(np.abs(period).max(), 1e-9)


def voiced(pitch: Float[np.ndarray, " event"], weights: Sequence[float] | np.ndarray) -> Float[np.ndarray, " event"]:
    """A sum of harmonics, peak 1, whose fundamental follows `pitch` (Hz); those beyond 7.5 kHz are left out.

    Args:
      pitch: (event,) Hz at each sample.
      weights: amplitudes of the harmonics, from the first.
    """
    kept = max(1, min(len(weights), int(_HIGHEST / max(pitch.max(), 1.0))))
    phase = np.cumsum(pitch) * (_TABLE / SAMPLE_RATE)
    return _period(tuple(round(float(weight), 4) for weight in weights[:kept]))[phase.astype(np.int64) % _TABLE]


def formants(pitch: float, places: Sequence[float], width: float = 0.25, fall: float = 0.5) -> list[float]:
    """Amplitudes of up to 30 harmonics of `pitch` (Hz): bumps of `width` octaves at `places` (Hz) on k^-fall."""
    number = np.arange(1, min(30, max(2, int(_HIGHEST / pitch))) + 1)
    octaves = np.log2(number[:, None] * pitch / np.asarray(places)[None])
    bumps = 0.08 + np.exp(-0.5 * (octaves / width) ** 2).sum(1)
    return (bumps * number**-fall).tolist()


def ring(
    frequencies: Sequence[float] | np.ndarray,
    decays: Sequence[float] | np.ndarray,
    amplitudes: Sequence[float] | np.ndarray,
    seconds: float,
    phase: float = 0.0,
) -> Float[np.ndarray, " event"]:
    """A struck body: sum over partials p of a_p exp(-t / d_p) sin(2 pi f_p t + phase p), t from 0 to `seconds`.

    Args:
      frequencies: Hz; partials beyond 7.5 kHz are left out.
      decays: s, to 1/e.
      amplitudes: of the partials.
      seconds: how long.
      phase: radians from one partial to the next.
    """
    samples, block = max(1, round(seconds * SAMPLE_RATE)), 128
    heard = np.asarray(frequencies) < _HIGHEST
    rate = (-1 / np.asarray(decays) + 2j * np.pi * np.asarray(frequencies))[heard] / SAMPLE_RATE
    start = (np.asarray(amplitudes) * np.exp(1j * phase * np.arange(len(heard))))[heard]
    # exp(z (128 a + b)) = exp(128 z a) exp(z b): two small tables instead of an exponential for each sample.
    coarse = np.exp(rate * block * np.arange(-(-samples // block))[:, None]) * start
    fine = np.exp(rate[:, None] * np.arange(block))
    return (coarse.real @ fine.imag + coarse.imag @ fine.real).reshape(-1)[:samples]


def hiss(rng: np.random.Generator, samples: int, low: float, high: float, slope: float = 0.0) -> np.ndarray:
    """Noise between `low` and `high` (Hz), root mean square 1; its power falls as f^-slope.

    Beyond the band it falls by 24 dB an octave.
    """
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 1.0)
    gain = (frequency / low) ** (-slope / 2)
    gain *= np.minimum(1.0, (frequency / low) ** 4) * np.minimum(1.0, (high / frequency) ** 4)
    wave = np.fft.irfft(gain * rng.standard_normal(2 * len(gain)).view(complex), samples)
    return wave / max(np.sqrt(np.mean(wave**2)), 1e-9)


def swell(samples: int, attack: float, release: float) -> Float[np.ndarray, " event"]:
    """An envelope that rises over `attack` seconds and falls over `release` seconds to 0, 1 between."""
    place = np.arange(samples) / SAMPLE_RATE
    rest = (samples - 1) / SAMPLE_RATE - place
    return np.clip(place / attack, 0, 1) * np.clip(rest / release, 0, 1)


def starts(rng: np.random.Generator, count: int, low: float, high: float, room: float = 0.0) -> np.ndarray:
    """Starts (s) of `count` events, `low` to `high` seconds from each to the next.

    They lie anywhere in the clip, so that `room` seconds are left behind the last one where there is space.
    """
    gaps = np.concatenate([[0.0], np.cumsum(rng.uniform(low, high, count - 1))])
    return gaps + rng.uniform(0.05, max(0.1, SECONDS - room - gaps[-1]))
