"""Filters as products of spectra: of known gains, of impulse responses, of noises with a slope."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def fft_length(samples: int, period: int = 1) -> int:
    """The shortest length of a fast Fourier transform that holds `samples`: 2^a 3^b 5^c times `period`."""
    wanted = -(-samples // period)
    best = 1 << max(0, wanted - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = 1 << max(0, -(-wanted // three) - 1).bit_length()
            best = min(best, three * two)
            three *= 3
        five *= 5
    return best * period


def frequencies(length: int, sample_rate: int) -> Float[Array, " bins"]:
    """Frequencies in Hz of the bins of a real transform of that many samples."""
    return jnp.arange(length // 2 + 1, dtype=jnp.float32) * (sample_rate / length)


def filtered(wave: Float[Array, " time"], gain: Float[Array, " bins"], length: int) -> Float[Array, " time"]:
    """Multiplies the spectrum by real gains: no delay, as long as before.

    Args:
      wave: (time,) samples.
      gain: a factor for each bin of a real transform of `length` samples.
      length: samples of the transform, more than the wave's by what the filter rings on.
    """
    return jnp.fft.irfft(jnp.fft.rfft(wave, length) * gain, length)[: wave.shape[-1]]


def convolved(
    wave: Float[Array, " time"], response: Float[Array, " taps"], ahead: int | Array = 0
) -> Float[Array, " time"]:
    """The clip through an impulse response, as long as before: what rings on beyond its end is cut off.

    Args:
      wave: (time,) samples.
      response: (taps,) its impulse response.
      ahead: taps before the one that is no delay.
    """
    time, taps = wave.shape[-1], response.shape[-1]
    length = fft_length(time + taps)
    whole = jnp.fft.irfft(jnp.fft.rfft(wave, length) * jnp.fft.rfft(response, length), length)
    return jnp.roll(whole, -ahead)[:time]


def sloped(noise: Float[Array, " time"], slope: float | Float[Array, ""]) -> Float[Array, " time"]:
    """White noise with a power of `f^-slope`: 0 leaves it white, 1 makes it pink; the mean is taken off.

    Args:
      noise: (time,) white samples.
      slope: of the power over frequency, negated.
    """
    length = noise.shape[-1]
    place = jnp.arange(length // 2 + 1, dtype=jnp.float32)
    gain = jnp.where(place > 0, jnp.exp(-0.5 * slope * jnp.log(jnp.maximum(place, 1.0))), 0.0)
    return jnp.fft.irfft(jnp.fft.rfft(noise) * gain, length)
