"""Integrated loudness of a mono waveform (ITU-R BS.1770-4) in float64, as pyloudnorm and Scaper measure it."""

from __future__ import annotations

import functools
import math

import numpy as np
from jaxtyping import Float

FLOOR = -70.0
"""LUFS: the absolute gate, and what silence is called."""
BLOCK_SECONDS = 0.4
STEP = 0.25
"""Share of a block by which the next one is later: 75 % overlap."""
LEAST_SECONDS = 0.5
"""A shorter waveform is repeated until it is at least as long, as Scaper does."""
_OFFSET = -0.691
_RELATIVE_GATE = -10.0  # LU below the loudness of the blocks that pass the absolute gate


@functools.lru_cache(maxsize=16)
def k_weighting(sample_rate: int) -> Float[np.ndarray, "2 6"]:
    """The two biquads of the K-weighting as second-order sections (rows b0 b1 b2 1 a1 a2).

    A high shelf (+4 dB, Q = 1/sqrt(2), 1500 Hz) for the head and a high pass (Q = 1/2, 38 Hz), designed for the rate by
    the bilinear formulas of the Audio EQ Cookbook, so any rate is served; at 48 kHz they are close to the standard's
    printed coefficients, not equal.

    Args:
      sample_rate: Hz.

    Source: R. Bristow-Johnson, Cookbook formulae for audio EQ biquad filters; constants of pyloudnorm's "K-weighting".
    """
    return np.stack([_high_shelf(sample_rate, 1500.0, 1 / math.sqrt(2), 4.0), _high_pass(sample_rate, 38.0, 0.5)])


def _high_shelf(sample_rate: int, hertz: float, quality: float, gain_db: float) -> np.ndarray:
    amplitude = 10 ** (gain_db / 40)
    angle = 2 * math.pi * hertz / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle) / (2 * quality)
    more, less, slope = amplitude + 1, amplitude - 1, 2 * math.sqrt(amplitude) * alpha
    b = amplitude * np.array([more + less * cosine + slope, -2 * (less + more * cosine), more + less * cosine - slope])
    a = np.array([more - less * cosine + slope, 2 * (less - more * cosine), more - less * cosine - slope])
    return np.concatenate([b, a]) / a[0]


def _high_pass(sample_rate: int, hertz: float, quality: float) -> np.ndarray:
    angle = 2 * math.pi * hertz / sample_rate
    cosine, alpha = math.cos(angle), math.sin(angle) / (2 * quality)
    b = np.array([(1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2])
    a = np.array([1 + alpha, -2 * cosine, 1 - alpha])
    return np.concatenate([b, a]) / a[0]


def integrated_loudness(wave: Float[np.ndarray, " time"], sample_rate: int) -> float:
    """The loudness in LUFS: L = -0.691 + 10 log10 of the mean power of the gated K-weighted blocks of 0.4 s.

    Blocks below -70 LUFS are left out, then those that are 10 LU and more below the loudness of the rest. A waveform
    under 0.5 s is repeated first. Silence, and what is below -70 LUFS, is -70.

    Args:
      wave: (time,) samples, at least one.
      sample_rate: Hz.

    Returns:
      LUFS, at least `FLOOR`.

    Raises:
      ValueError: no samples.

    Source: ITU-R BS.1770-4; block bounds and gates as pyloudnorm 0.2.0, repeating and floor as Scaper 1.6.5.
    """
    return of_blocks(block_powers(wave, sample_rate))


def of_blocks(power: Float[np.ndarray, " blocks"]) -> float:
    """The loudness (LUFS, at least `FLOOR`) of blocks by their K-weighted mean squares: both gates, then the mean."""
    loudness = _lufs(power)
    heard = loudness >= FLOOR
    if not heard.any():
        return FLOOR
    kept = (loudness > _lufs(power[heard].mean()) + _RELATIVE_GATE) & (loudness > FLOOR)
    return max(float(_lufs(power[kept].mean())), FLOOR) if kept.any() else FLOOR


def gain_to(power: Float[np.ndarray, " blocks"], target: float) -> float:
    """The gain (dB) after which a waveform's loudness is `target`.

    `target - of_blocks(power)` is off where the gain moves quiet blocks over the absolute gate: by 1.1 LU for a sneeze
    with a long tail. The loudest k blocks pass it, for some k; for each k the loudness is a constant plus the gain, so
    the gain follows, and it stands if just these k then pass. Of several the one with the most blocks is taken; where
    there is none (the loudness jumps over the target), the plain difference.

    Args:
      power: (blocks,) K-weighted mean squares, as `block_powers` gives them.
      target: LUFS, above `FLOOR`.
    """
    loudness = np.sort(_lufs(power))[::-1]
    for count in range(len(loudness), 0, -1):
        loud = power[_lufs(power) >= loudness[count - 1]]
        kept = loud[_lufs(loud) > _lufs(loud.mean()) + _RELATIVE_GATE] if loud.any() else loud
        if not kept.any():
            continue
        gain = target - float(_lufs(kept.mean()))
        if np.array_equal(loudness + gain >= FLOOR, loudness >= loudness[count - 1]):
            return gain
    return target - of_blocks(power)


def _lufs(power: Float[np.ndarray, "*blocks"] | float) -> Float[np.ndarray, "*blocks"] | float:
    with np.errstate(divide="ignore"):
        return _OFFSET + 10 * np.log10(power)


def block_powers(wave: Float[np.ndarray, " time"], sample_rate: int) -> Float[np.ndarray, " blocks"]:
    """The K-weighted mean square of every block; the last may end half a step beyond the waveform, in silence.

    Args:
      wave: (time,) samples; fewer than 0.5 s of them are repeated.
      sample_rate: Hz.

    Raises:
      ValueError: no samples.
    """
    if not len(wave):
        raise ValueError("loudness of a waveform of 0 samples, expected at least one")
    from scipy.signal import sosfilt

    wave = np.asarray(wave, np.float64)
    if len(wave) / sample_rate < LEAST_SECONDS:
        wave = np.tile(wave, math.ceil(LEAST_SECONDS / (len(wave) / sample_rate)))
    squares = np.square(sosfilt(k_weighting(sample_rate), wave))
    count = int(np.round((len(wave) / sample_rate - BLOCK_SECONDS) / (BLOCK_SECONDS * STEP))) + 1
    starts = [int(BLOCK_SECONDS * (i * STEP) * sample_rate) for i in range(count)]
    ends = [int(BLOCK_SECONDS * (i * STEP + 1) * sample_rate) for i in range(count)]
    edges = np.unique(np.minimum([*starts, *ends], len(squares) - 1))
    steps = np.add.reduceat(squares, edges)  # sums from edge to edge; the last one to the end of the waveform
    # A sum over each block, not differences of one running sum: a quiet block after loud ones must not drown.
    first, beyond = np.searchsorted(edges, starts), np.searchsorted(edges, ends)
    power = [np.add.reduce(steps[low:high]) for low, high in zip(first, beyond, strict=True)]
    return np.array(power) / (BLOCK_SECONDS * sample_rate)
