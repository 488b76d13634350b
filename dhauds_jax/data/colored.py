"""Coloured noise, whose power falls as f^-exponent: clips of the class "Other" that nobody has to record."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput

PUBLISHED_LEVEL = 1 / 1.5
"""Root mean square of team ADEE's clips of pink noise, of which peaks go beyond full scale; they are not cut."""
_KEY = 0x6E6F697365  # "noise": no other draws are keyed by it


class NoiseClips(NamedTuple):
    """Made noises.

    Attributes:
      ids: names "noise/00017", which key the draws; each is a group of its own.
      waves: float32 (clips, samples).
    """

    ids: tuple[str, ...]
    waves: np.ndarray


def bins_of(samples: int) -> int:
    """Bins of the spectrum of that many real samples."""
    return samples // 2 + 1


def shape_noise(draws: Float[np.ndarray, "2 bins"], samples: int, exponent: float = 1.0) -> Float[np.ndarray, " time"]:
    """Noise of a power spectrum f^-exponent, from the standard normals that it is made of.

    Bin k gets (a_k + i b_k) k^(-exponent / 2), bin 0 the factor of bin 1; the mean and (even lengths) the Nyquist bin
    are real, sqrt(2) a_k. The sum is divided by its deviation in theory over the bins above 0, in which the Nyquist bin
    counts a quarter: the deviation of many such clips is 1, that of one is not.

    Args:
      draws: (2, samples // 2 + 1) real and imaginary parts.
      samples: of the result, from 2.
      exponent: 0 white, 1 pink, 2 brown.

    Source: J. Timmer, M. König, On generating power law noise, A&A 300, 1995; the package colorednoise 2.2.0, to 1e-6.
    """
    number = np.maximum(np.arange(bins_of(samples)), 1.0)
    scale = number ** (-exponent / 2)
    spectrum = (draws[0] + 1j * draws[1]) * scale
    power = scale[1:] ** 2
    spectrum[0] = math.sqrt(2) * spectrum[0].real
    if samples % 2 == 0:
        spectrum[-1] = math.sqrt(2) * spectrum[-1].real
        power[-1] /= 4
    return np.fft.irfft(spectrum, samples) * (samples / (2 * math.sqrt(power.sum())))


def noise_clips(
    count: int,
    samples: int,
    *,
    seed: int = 0,
    exponent: float | tuple[float, float] = 1.0,
    level: float | tuple[float, float] = PUBLISHED_LEVEL,
) -> NoiseClips:
    """Makes clips of coloured noise; each is a function of (seed, its number) alone, whatever the count.

    Args:
      count: how many.
      samples: of each.
      seed: of all of them.
      exponent: of the power's fall with frequency, or two between which each clip's is drawn evenly.
      level: root mean square (full scale 1), or two between which each clip's is drawn evenly in dB.

    Raises:
      BadInput: a negative count, fewer than 2 samples, or a level that is not above 0.
    """
    lowest, highest = level if isinstance(level, tuple) else (level, level)
    if count < 0 or samples < 2 or not 0 < lowest <= highest < math.inf:
        raise BadInput(
            f"coloured noise: {count} clips of {samples} samples at a level of {level}, expected at least 0 clips of 2 "
            "samples and levels above 0, the lower first"
        )
    waves = np.empty((count, samples), np.float32)
    for number in range(count):
        rng = np.random.default_rng((_KEY, seed, number))
        fall, place = rng.uniform(size=2)
        slope = exponent[0] + fall * (exponent[1] - exponent[0]) if isinstance(exponent, tuple) else exponent
        noise = shape_noise(rng.standard_normal((2, bins_of(samples))), samples, slope)
        waves[number] = lowest * (highest / lowest) ** place * noise
    return NoiseClips(tuple(f"noise/{number:05d}" for number in range(count)), waves)
