"""Rooms of one's own: measured impulse responses, a recording each, of which one is drawn for a clip.

RIR:PLACE is a folder or a list as ENU's. A response is taken from its peak on, so a clip is not delayed by it. What
lies more than 2.5 ms from the peak is multiplied by the severity: S1 is the response as measured, L1 8 dB and L2 3 dB
drier. The energy stays the clip's.
"""

from __future__ import annotations

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions import own_noises
from dhauds_jax.data.corruptions.base import Corruption, Draw, NoiseSource, Numbers, below
from dhauds_jax.data.corruptions.severity import on_axis
from dhauds_jax.dsp.mixing import match_energy
from dhauds_jax.dsp.spectra import convolved

CODE = "RIR"
DIRECT_S = 0.0025
"""What lies as near to the peak as this, in seconds, is the direct sound."""


@functools.lru_cache(maxsize=64)
def own_rooms(place: str) -> Corruption:
    """The corruption RIR:PLACE; no stand-ins."""

    def find(noise_dir: Path | None, level: str, rate: int) -> own_noises.noise_folders.Found:
        return own_noises.find(noise_dir, place, CODE)

    def notices(noise_dir: Path | None) -> tuple[str, ...]:
        return own_noises.left_out(own_noises.place_of(noise_dir, place, CODE))

    source = NoiseSource(own_noises.EXPECTED, find, anywhere=True, notices=notices, repeated=False)
    return on_axis(choose, apply, lambda draw: {}, noise=source)


def choose(xp: ModuleType, bits: Numbers, severity: float, *, noise_lengths: Numbers, **_: Any) -> dict[str, Numbers]:
    """Which response, from its beginning on."""
    index = below(xp, bits[..., 0], len(noise_lengths))
    return {"noise_index": index, "start": xp.zeros_like(index)}


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: Float[Array, " time"], *, sample_rate: int, **_: Any
) -> Float[Array, " time"]:
    """Puts the clip into the room whose response `noise` is."""
    size = jnp.abs(noise)
    peak = jnp.argmax(size)
    near = jnp.abs(jnp.arange(noise.shape[-1]) - peak) <= round(DIRECT_S * sample_rate)
    return match_energy(convolved(wave, jnp.where(near, 1.0, draw.choices["severity"]) * noise, peak), wave)
