"""TEL: a telephone line, with a band, 8 kHz and eight bits of mu-law.

Up to severity 0.4 the band narrows from (0, 8000) to (300, 3400) Hz, from there to (600, 2000) at S1: (450, 2608) at
L2. Of the lower edge a factor of U[1, 1.2) is drawn, of the upper one of U[0.9, 1), of the level on the line 0 to 40 s
dB below full scale. Bands that end below 3.4 kHz have 8,000 samples a second, wider ones the clip's. The energy stays.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Draw, Numbers
from dhauds_jax.data.corruptions.severity import POINTS, between, on_axis
from dhauds_jax.dsp.mixing import match_energy
from dhauds_jax.dsp.telephone import line

BANDS_HZ = ((0.0, 0.0, 8000.0), (POINTS["L1"], 300.0, 3400.0), (1.0, 600.0, 2000.0))
"""Severity and edges of the band, in Hz; between them the lower edge goes linearly, the upper one by factors."""
LINE_RATE = 8000
SOFTEST_DB = 40.0
"""How far below full scale the loudest sample may lie on a line of severity 1, in dB."""


def band_of(severity: float) -> tuple[float, float]:
    """The widest band that is drawn at a severity, in Hz."""
    first = 0 if severity <= BANDS_HZ[1][0] else 1
    (start, low, high), (end, next_low, next_high) = BANDS_HZ[first], BANDS_HZ[first + 1]
    way = (severity - start) / (end - start)
    return low + way * (next_low - low), high * (next_high / high) ** way


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """The edges of the band in Hz, and the level on the line in dB of full scale."""
    low, high = band_of(severity)
    return {
        "low_hz": between(xp, bits[..., 0], low, 1.2 * low),
        "high_hz": between(xp, bits[..., 1], high, 0.9 * high),
        "line_db": between(xp, bits[..., 2], 0.0, -SOFTEST_DB * severity),
    }


def line_rate(draw: Draw) -> int:
    """Samples a second on the line; 0: as many as the clip has."""
    return LINE_RATE if draw.choices["high_hz"] <= BANDS_HZ[1][2] else 0


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, sample_rate: int, step: int, **_: Any
) -> Float[Array, " time"]:
    """Sends the clip over the line, `step` samples a second."""
    chosen = draw.choices
    rate = min(step or sample_rate, sample_rate)
    heard = line(wave, sample_rate, rate, chosen["low_hz"], chosen["high_hz"], 10.0 ** (chosen["line_db"] / 20.0))
    return match_energy(heard, wave)


def describe(draw: Draw) -> dict[str, Any]:
    """The line's rate in Hz, where it is not the clip's."""
    return {"line_rate": line_rate(draw) or None}


TELEPHONE = on_axis(choose, apply, describe, static=line_rate)
