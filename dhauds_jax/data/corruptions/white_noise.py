"""WHN: white noise, Gaussian or uniform, at a drawn signal-to-noise ratio."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Corruption, Draw, Numbers, Quirks, below, pick, uniform_noise
from dhauds_jax.dsp.mixing import add_noise

SOURCES = ("gaussian", "uniform")
"""Kinds of white noise, in the order of `Draw.kind`."""
SNR_DB = {"L1": (6.0, 6.5, 7.0), "L2": (5.0, 5.5, 6.0, 6.5, 7.0)}
"""Signal-to-noise ratios in dB that are drawn; L2 is not lower, it has a wider range."""


def choose(xp: ModuleType, bits: Numbers, level: str, **_: Any) -> dict[str, Numbers]:
    """The kind of noise and the ratio, uniformly."""
    return {"kind": below(xp, bits[..., 0], len(SOURCES)), "snr_db": pick(xp, bits[..., 1], SNR_DB[level])}


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, quirks: Quirks, **_: Any
) -> Float[Array, " time"]:
    """Adds noise made from `draw.key`."""
    length = wave.shape[-1]
    gaussian = jax.random.normal(draw.key, (length,))
    white = jnp.where(draw.kind == 0, gaussian, uniform_noise(draw.key, length, quirks))
    return add_noise(wave, white, draw.snr_db)


def describe(draw: Draw, level: str) -> dict[str, Any]:
    """The ratio in dB and the kind."""
    return {"snr_db": float(draw.snr_db), "source": SOURCES[int(draw.kind)]}


WHITE_NOISE = Corruption(choose, apply, levels=tuple(SNR_DB), describe=describe)
