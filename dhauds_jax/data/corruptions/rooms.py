"""RIR: a room, by image sources and a diffuse tail.

The room's sides are of U[3, 8), U[2.5, 6) and U[2.4, 3.5) m, microphone and talker anywhere in it but for 0.3 m at each
wall. Severity s has the talker s times as far away, and a reverberation time (Eyring's) of s U[0.75, 1.25) s: 0.3 to
0.5 s at L1, 0.53 to 0.88 s at L2. The direct sound comes after its way's time; the energy stays the clip's.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import Draw, Numbers, share
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.data.corruptions.severity import between, on_axis
from dhauds_jax.dsp import rooms
from dhauds_jax.dsp.mixing import match_energy
from dhauds_jax.dsp.spectra import convolved

SIDES_M = ((3.0, 8.0), (2.5, 6.0), (2.4, 3.5))
"""Least and largest length, width and height."""
WALL_M = 0.3
SECONDS = (0.75, 1.25)
"""Least and largest reverberation time of severity 1."""

_images = functools.lru_cache(maxsize=1)(lambda: rooms.images(tuple(low for low, _ in SIDES_M), rooms.MIXING_S))


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """The room, the places of talker and microphone in it (metres), and the reverberation time in seconds."""
    drawn = words(xp, bits, 10)
    room = xp.stack([between(xp, drawn[..., axis], *SIDES_M[axis]) for axis in range(3)], -1)
    microphone = WALL_M + share(xp, drawn[..., 3:6]) * (room - 2 * WALL_M)
    talker = WALL_M + share(xp, drawn[..., 6:9]) * (room - 2 * WALL_M)
    low, high = (severity * seconds for seconds in SECONDS)
    return {
        "room": room,
        "microphone": microphone,
        "talker": microphone + xp.float32(severity) * (talker - microphone),
        "seconds": between(xp, drawn[..., 9], low, high),
    }


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, sample_rate: int, **_: Any
) -> Float[Array, " time"]:
    """Puts the clip into the room; the tail's noise is made from `draw.key`."""
    chosen = draw.choices
    taps = rooms.AHEAD + min(wave.shape[-1], round(SECONDS[1] * sample_rate))
    places = (chosen["room"], chosen["talker"], chosen["microphone"], chosen["seconds"])
    heard = rooms.response(draw.key, _images(), *places, sample_rate=sample_rate, taps=taps)
    return match_energy(convolved(wave, heard, rooms.AHEAD), wave)


def describe(draw: Draw) -> dict[str, Any]:
    """How far away the talker is in metres, and what share of the energy a wall takes."""
    chosen = draw.choices
    away = float(np.linalg.norm(chosen["talker"] - chosen["microphone"]))
    return {
        "metres": away,
        "absorption": float(rooms.absorption(float(chosen["seconds"]), np.asarray(chosen["room"], np.float64))),
    }


ROOM = on_axis(choose, apply, describe)
