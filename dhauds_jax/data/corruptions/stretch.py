"""TST: a time stretch by a drawn rate; of a whole set in buckets of clips of similar length, one program a bucket.

A stretched clip has `256 * (ceil((time // 256 + 1) / rate) - 1)` samples: lay it out again. Its magnitude is
interpolated between frames and Griffin-Lim finds a phase.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Key

from dhauds_jax.data.corruptions.base import Corruption, Draw, Numbers, Quirks, below, pick
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.dsp.ragged_stretch import Plan, plan_stretch, time_stretch_ragged
from dhauds_jax.dsp.stretch import start_in_square, time_stretch, time_stretch_frames
from dhauds_jax.errors import BadInput

RATE_OFFSETS = {"L1": (0.04, 0.05, 0.06), "L2": (0.08, 0.09, 0.10, 0.11, 0.12)}
"""Nominal offsets r of the time stretch; the rate is 1+r (faster) or 1-r (slower)."""

_CHUNK_SAMPLES = 1 << 17
BUCKETS = 8
"""Widths up to a set's clip length. On 1 s clips of mixed lengths, twice as many spend more on compiling (0.8 s each)
than they save in padding, for sets of up to some ten thousand clips."""
N_FFT, HOP = 1024, 256
"""Short-time Fourier transform, in samples."""
SHORTEST = N_FFT
"""A shorter clip (samples) is centred in as many zeros before it is stretched."""
_START_FRAMES = 64  # drawn by one program for all buckets, since compiling the generator costs more than running it


def rate_offsets(level: str, quirks: Quirks) -> tuple[float, ...]:
    """The rate offsets that are drawn at a level."""
    nominal = RATE_OFFSETS[level]
    return nominal[:-1] if quirks.top_rate_lost else nominal


def nominal_rate(rate: Any) -> float:
    """The rate as the grid writes it (float32 holds 1.08 as 1.0800000429); shapes and groups depend on it."""
    return round(float(rate), 2)


def choose(
    xp: ModuleType, bits: Numbers, level: str, *, quirks: Quirks, both_ways: bool | None, **_: Any
) -> dict[str, Numbers]:
    """The rate, uniformly: 1+r, or with probability 1/2 (`both_ways`) 1-r."""
    if both_ways is None:
        raise BadInput(
            "TST: of the joined sets some may be slowed down and others (isolated words) not, expected sets of one "
            "kind; corrupt each by itself"
        )
    offsets = rate_offsets(level, quirks)
    faster = pick(xp, bits[..., 0], [1 + r for r in offsets])
    if not both_ways:
        return {"rate": faster}
    slower = pick(xp, bits[..., 0], [1 - r for r in offsets])
    return {"rate": xp.where(below(xp, bits[..., 1], 2) == 1, slower, faster)}


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, quirks: Quirks, step: float, **_: Any
) -> Float[Array, " new_time"]:
    """Stretches by the rate `step`."""
    rate = nominal_rate(step)
    start = start_phase(draw.key, wave.shape[-1], rate) if quirks.start_phase_in_square else None
    return time_stretch(wave, rate, power=quirks.griffin_lim_power, start=start, n_fft=N_FFT, hop=HOP)


def start_phase(key: Key[Array, ""], length: int, rate: float) -> Complex[Array, "frames bins"]:
    """Griffin-Lim's random start for all frames of a stretched clip."""
    return start_in_square(key, jnp.arange(time_stretch_frames(length, rate, HOP)), N_FFT // 2 + 1)


def drawn_rate(draw: Draw) -> float:
    """The drawn rate, which the result's length depends on."""
    return nominal_rate(draw.rate)


def describe(draw: Draw, level: str) -> dict[str, Any]:
    """The rate."""
    return {"rate": drawn_rate(draw)}


def bucket(own: int, length: int) -> int:
    """Samples of the row that a clip goes into: the next multiple of an eighth of the set's clip length.

    Nothing but the clip's own length and the set's decides it, so other clips change no bit of a result.

    Args:
      own: samples of the clip.
      length: samples of a laid-out clip of the set.
    """
    step = -(-length // BUCKETS)
    return -(-max(own, SHORTEST) // step) * step


def chunk_of(width: int) -> int:
    """Clips in one compiled batch of rows of `width` samples: 2 to 8. Short batches are filled up; more are no faster
    on CPU, and fewer leave less to fill up in sets of long clips."""
    return min(8, max(2, _CHUNK_SAMPLES // width))


def stretched(
    waves: Float[np.ndarray, "clips width"],
    lengths: np.ndarray,
    draws: Draw,
    *,
    level: str,
    length: int,
    quirks: Quirks,
) -> Iterator[tuple[np.ndarray, Array, np.ndarray]]:
    """Stretches all clips of a set by the rates drawn, as recorded; results are not waited for.

    Args:
      waves: clips centred in rows.
      lengths: (clips,) samples of each without its padding.
      draws: of `draw_set`.
      level: L1 or L2; with the direction it says how many frames a program has room for.
      length: samples of a laid-out clip of the set.
      quirks: power and start of Griffin-Lim.

    Yields:
      `(rows, result, samples)` of some clips: their rows, (at least as many, time), and how many samples of each are
        the clip's.
    """
    groups: dict[tuple[float, int], list[int]] = {}
    for row in range(len(lengths)):
        slower = draws.rate[row] < 1
        slowest = 1 - max(RATE_OFFSETS[level]) if slower else 1 + min(RATE_OFFSETS[level])
        groups.setdefault((nominal_rate(slowest), bucket(int(lengths[row]), length)), []).append(row)
    for (slowest, width), members in groups.items():
        chunk = chunk_of(width)
        for first in range(0, len(members), chunk):
            rows = np.array(members[first : first + chunk])
            filled = np.resize(rows, chunk)
            clips = [raw_clip(waves[i], int(lengths[i])) for i in filled]
            clips = [lay_out(clip, max(len(clip), SHORTEST)) for clip in clips]
            rates = [nominal_rate(draws.rate[i]) for i in filled]
            plan = plan_stretch([len(clip) for clip in clips], rates, width, slowest=slowest, n_fft=N_FFT, hop=HOP)
            batch = np.stack([np.pad(clip, (0, width - len(clip))) for clip in clips])
            starts = _starts(draws.key[filled], plan.first.shape[1]) if quirks.start_phase_in_square else ()
            result = _stretch_chunk(batch, plan, starts, quirks.griffin_lim_power)
            yield rows, result, HOP * (plan.frames[: len(rows)] - 1)


def _starts(keys: Key[Array, " clips"], frames: int) -> tuple[Complex[Array, "clips some bins"], ...]:
    """Griffin-Lim's random start for the first `frames` frames and some more, in blocks."""
    return tuple(_start_block(keys, np.int32(first)) for first in range(0, frames, _START_FRAMES))


@jax.jit
def _start_block(keys, first):
    frames = first + jnp.arange(_START_FRAMES)
    return jax.vmap(lambda key: start_in_square(key, frames, N_FFT // 2 + 1))(keys)


@functools.partial(jax.jit, static_argnums=3)
def _stretch_chunk(waves, plan: Plan, starts, power):
    start = jnp.concatenate(starts, 1)[:, : plan.first.shape[1]] if starts else None
    return time_stretch_ragged(waves, plan, power=power, start=start, n_fft=N_FFT, hop=HOP)


TIME_STRETCH = Corruption(
    choose, apply, levels=tuple(RATE_OFFSETS), describe=describe, static=drawn_rate, whole_set=stretched
)
