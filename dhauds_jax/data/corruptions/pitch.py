"""PSH: a pitch shift by a drawn number of semitones, up or down."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Corruption, Draw, Numbers, below, pick
from dhauds_jax.dsp.stretch import pitch_shift

SEMITONES = {"L1": (4, 5), "L2": (5, 6, 7)}
"""Pitch shifts in semitones, up or down."""


def choose(xp: ModuleType, bits: Numbers, level: str, **_: Any) -> dict[str, Numbers]:
    """Semitones, uniformly, and their sign."""
    sign = 1 - 2 * below(xp, bits[..., 1], 2)
    return {"semitones": sign * pick(xp, bits[..., 0], SEMITONES[level], np.int32)}


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, sample_rate: int, step: int, **_: Any
) -> Float[Array, " time"]:
    """Shifts the pitch by `step` semitones; the length stays."""
    return pitch_shift(wave, sample_rate, int(step))


def semitones(draw: Draw) -> int:
    """The drawn semitones, which the resampling's shapes depend on."""
    return int(draw.semitones)


def describe(draw: Draw, level: str) -> dict[str, Any]:
    """The semitones."""
    return {"semitones": semitones(draw)}


PITCH_SHIFT = Corruption(choose, apply, levels=tuple(SEMITONES), describe=describe, static=semitones)
