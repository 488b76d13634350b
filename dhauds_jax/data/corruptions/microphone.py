"""MIC: another microphone, with a frequency response and a noise of its own.

The response goes through a gain of U[-15 s, 15 s) dB at each octave from 62.5 Hz to 16 kHz, straight in dB over the
logarithm of frequency: up to 6 dB either way at L1, 10.5 at L2. The noise is 20 - 20 log10(s) + U[0, 6) dB below the
clip, 28 to 34 dB at L1, 23 to 29 at L2, of power f^-slope, slope of U[0, 1). The energy stays the clip's.
"""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Draw, Numbers
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.data.corruptions.severity import between, on_axis
from dhauds_jax.dsp.mixing import add_noise, match_energy
from dhauds_jax.dsp.spectra import fft_length, filtered, frequencies, sloped

OCTAVES_HZ = tuple(62.5 * 2.0**n for n in range(9))
"""Where the response's gains are drawn; below and above it stays what it is there."""
GAIN_DB = 15.0
NOISE_DB = 20.0
"""Least signal-to-noise ratio of severity 1, in dB."""
_RING_S = 0.05
_LEAST = 1e-3


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """Gains in dB at each octave, the ratio to the noise in dB, and the slope of the noise."""
    drawn = words(xp, bits, len(OCTAVES_HZ) + 2)
    ratio = NOISE_DB - 20 * math.log10(max(severity, _LEAST))
    return {
        "gain_db": between(xp, drawn[..., 2:], -GAIN_DB * severity, GAIN_DB * severity),
        "noise_db": between(xp, drawn[..., 0], ratio, ratio + 6.0),
        "slope": between(xp, drawn[..., 1], 0.0, 1.0),
    }


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, sample_rate: int, **_: Any
) -> Float[Array, " time"]:
    """Filters the clip, without delay, and adds the noise."""
    length = fft_length(wave.shape[-1] + math.ceil(_RING_S * sample_rate))
    octave = jnp.log2(jnp.maximum(frequencies(length, sample_rate), 1.0))
    gain_db = jnp.interp(octave, np.log2(OCTAVES_HZ).astype(np.float32), draw.choices["gain_db"])
    heard = filtered(wave, 10.0 ** (gain_db / 20.0), length)
    own = sloped(jax.random.normal(draw.key, wave.shape), draw.choices["slope"])
    return match_energy(add_noise(heard, own, draw.choices["noise_db"]), wave)


def describe(draw: Draw) -> dict[str, Any]:
    """The ratio to the noise in dB."""
    return {"noise_db": float(draw.choices["noise_db"])}


MICROPHONE = on_axis(choose, apply, describe)
