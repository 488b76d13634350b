"""Mixing a signal with noise at a given signal-to-noise ratio."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def add_noise(
    wave: Float[Array, "*batch time"],
    noise: Float[Array, "*batch noise_time"],
    snr_db: float | Float[Array, "*#batch"],
) -> Float[Array, "*batch time"]:
    """Adds noise scaled to a signal-to-noise ratio: `wave + g noise`, `g = 10^((10 log10(Ex / En) - snr_db) / 20)`.

    Ex and En are the energies (sums of squares over time) of each row. Silence is defined: a silent clip stays silent
    (g = 0), silent noise adds nothing (g = 0; torchaudio gives NaN there). Gradients stay finite in both cases.

    Args:
      wave: (..., time) samples.
      noise: (..., time) samples, as many as `wave`.
      snr_db: dB, one number or one for each row.

    Raises:
      ValueError: noise of another length than the clip.

    Source: torchaudio's `add_noise`.
    """
    if wave.shape[-1] != noise.shape[-1]:
        raise ValueError(f"add_noise: the noise has {noise.shape[-1]} samples, expected the clip's {wave.shape[-1]}")
    signal_energy, noise_energy = (jnp.sum(jnp.square(x), -1) for x in (wave, noise))
    audible = (signal_energy > 0) & (noise_energy > 0)
    ratio_db = 10.0 * (
        jnp.log10(jnp.where(audible, signal_energy, 1.0)) - jnp.log10(jnp.where(audible, noise_energy, 1.0))
    )
    gain = jnp.where(audible, 10.0 ** ((ratio_db - snr_db) / 20.0), 0.0)
    return wave + gain[..., None] * noise


def match_energy(wave: Float[Array, "*batch time"], like: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Scales each row to the energy (sum of squares) of another; silence stays silent.

    Args:
      wave: (..., time) samples.
      like: (..., time) samples whose energy is wanted.
    """
    energy, wanted = (jnp.sum(jnp.square(x), -1) for x in (wave, like))
    audible = energy > 0
    gain = jnp.where(audible, jnp.sqrt(wanted / jnp.where(audible, energy, 1.0)), 0.0)
    return wave * gain[..., None]
