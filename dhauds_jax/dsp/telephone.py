"""A telephone line: a band, a low rate, eight bits of mu-law, and the band again."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp.spectra import fft_length, frequencies

MU = 255.0
_STEPS = 127.0
_RING_S = 0.05
"""Zeros behind a clip for what its filters ring on, in seconds."""


def band(
    hz: Float[Array, " bins"], low: float | Float[Array, ""], high: float | Float[Array, ""]
) -> Float[Array, " bins"]:
    """Gains of a band: 1 from `low` to `high` Hz, 0 below half of `low` and above 1.1 `high`, half cosines between."""
    below = jnp.clip((hz - low / 2) / jnp.maximum(low / 2, 1e-3), 0.0, 1.0)
    above = jnp.clip((1.1 * high - hz) / (0.1 * high), 0.0, 1.0)
    return (0.5 - 0.5 * jnp.cos(jnp.pi * below)) * (0.5 - 0.5 * jnp.cos(jnp.pi * above))


def mu_law(wave: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Samples of [-1, 1] as eight bits of mu-law hold them: 255 steps of the logarithm, both signs and zero.

    Source: ITU-T G.711 (1988), the law that its segments approximate.
    """
    size = jnp.log1p(MU * jnp.clip(jnp.abs(wave), 0.0, 1.0)) / math.log1p(MU)
    return jnp.sign(wave) * jnp.expm1(jnp.round(size * _STEPS) / _STEPS * math.log1p(MU)) / MU


def line(
    wave: Float[Array, " time"],
    sample_rate: int,
    line_rate: int,
    low: float | Float[Array, ""],
    high: float | Float[Array, ""],
    peak: float | Float[Array, ""] = 1.0,
) -> Float[Array, " time"]:
    """The clip as it comes out of a telephone line, without delay.

    Args:
      wave: (time,) samples.
      sample_rate: of the clip in Hz.
      line_rate: at which the line takes samples, in Hz; no more than the clip's.
      low, high: edges of the band in Hz.
      peak: the clip's largest sample on the line, of the eight bits' full scale.
    """
    period = 2 * sample_rate // math.gcd(sample_rate, line_rate)
    long = fft_length(wave.shape[-1] + math.ceil(_RING_S * sample_rate), period)
    short = long * line_rate // sample_rate
    largest = jnp.max(jnp.abs(wave))
    scale = jnp.where(largest > 0, peak / jnp.where(largest > 0, largest, 1.0), 0.0)
    sent = jnp.fft.rfft(wave * scale, long)[: short // 2 + 1] * band(frequencies(short, line_rate), low, high)
    heard = mu_law(jnp.fft.irfft(sent, short) * (short / long))
    received = jnp.fft.rfft(heard, short) * band(frequencies(short, line_rate), low, high)
    whole = jnp.fft.irfft(jnp.pad(received, (0, long // 2 - short // 2)), long) * (long / short)
    return whole[: wave.shape[-1]] * jnp.where(scale > 0, 1.0 / jnp.where(scale > 0, scale, 1.0), 0.0)
