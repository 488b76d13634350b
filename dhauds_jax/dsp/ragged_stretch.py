"""Time stretch of clips of different lengths in one compiled program.

`time_stretch` compiles once for every length and rate. Here clips lie at the start of rows of one width, and all that
follows from a clip's own length and rate comes in as data: which frames are mixed into a stretched frame (`Plan`, made
on the host), where the end is reflected, how many frames there are, and what the windows add up to near the end.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, Int

from dhauds_jax.dsp.stft import frame, hann, overlap_add
from dhauds_jax.dsp.stretch import absolute, magnitude_root, stretch_positions

_INERTIA = 0.99 / 1.99
"""Griffin-Lim's momentum as torchaudio uses its default."""


class Plan(NamedTuple):
    """What follows from the lengths and rates of a batch of clips.

    Attributes:
      length: int32 (clips,), samples of each clip.
      frames: int32 (clips,), frames of each stretched clip, `ceil((length // hop + 1) / rate)`.
      first, second: int32 (clips, most), both source frames of every stretched frame; one past the last is silence.
      weight: float32 (clips, most), weight of the second.
    """

    length: Int[Array, " clips"]
    frames: Int[Array, " clips"]
    first: Int[Array, "clips most"]
    second: Int[Array, "clips most"]
    weight: Float[Array, "clips most"]


def plan_stretch(
    lengths: Sequence[int] | np.ndarray,
    rates: Sequence[float],
    width: int,
    *,
    slowest: float,
    n_fft: int = 1024,
    hop: int = 256,
) -> Plan:
    """Plans the stretch of a batch; on the host in float64, exactly as `time_stretch` does for one length.

    Args:
      lengths: (clips,) samples, at most `width`.
      rates: (clips,) speeds, above 1 is faster; as the grid writes them.
      width: samples of the rows that the clips lie in.
      slowest: the least rate that the compiled program is made for; decides the frames it has room for.
      n_fft: transform length in samples.
      hop: distance of frames in samples.

    Raises:
      ValueError: a clip longer than the row, a rate below `slowest`, a clip or a result too short to be reflected.
    """
    if max(lengths) > width or min(rates) < slowest:
        raise ValueError(
            f"plan_stretch: the longest clip has {max(lengths)} samples and the least rate is {min(rates)}, "
            f"expected at most {width} samples and at least {slowest}"
        )
    silence = width // hop + 1
    most = len(stretch_positions(silence, slowest)[0])
    frames = np.zeros(len(lengths), np.int32)
    sources = np.full((2, len(lengths), most), silence, np.int32)
    weight = np.zeros((len(lengths), most), np.float32)
    for row, (length, rate) in enumerate(zip(lengths, rates)):
        before = int(length) // hop + 1
        first, second, share = stretch_positions(before, rate)
        frames[row] = len(first)
        weight[row, : len(first)] = share[:, 0]
        for source, index in zip(sources[:, row], (first, second)):
            source[: len(first)] = np.where(index < before, index, silence)
    if min(lengths) <= n_fft // 2 or hop * (frames.min() - 1) <= n_fft // 2:
        raise ValueError(
            f"plan_stretch: the shortest clip has {min(lengths)} samples and the shortest result "
            f"{hop * (frames.min() - 1)}, expected more than n_fft // 2 = {n_fft // 2} for both"
        )
    return Plan(np.asarray(lengths, np.int32), frames, *sources, weight)


@functools.lru_cache
def _window_sums(n_fft: int, hop: int) -> np.ndarray:
    """Sums of squared windows: [a, b] over the blocks a to b of a window (float64; 1 where there are none)."""
    blocks = (hann(n_fft, n_fft) ** 2).reshape(-1, hop)
    sums = np.ones((len(blocks) + 1, len(blocks), hop))
    for a in range(len(blocks)):
        for b in range(a, len(blocks)):
            # The earliest frame is at its last block: the order in which `envelope` adds.
            sums[a, b] = functools.reduce(np.add, blocks[a : b + 1][::-1])
    sums.setflags(write=False)
    return sums


def _envelope(frames: Array, most: int, n_fft: int, hop: int, dtype: np.dtype) -> Float[Array, "clips time"]:
    """What `istft` divides by: squared windows summed over the clip's own frames; 1 beyond its end."""
    block = np.arange(n_fft // (2 * hop), most - 1 + n_fft // (2 * hop))
    earliest = jnp.clip(block[None] - frames[:, None] + 1, 0, n_fft // hop)
    sums = jnp.asarray(_window_sums(n_fft, hop), dtype)[earliest, np.minimum(block, n_fft // hop - 1)]
    return sums.reshape(len(frames), -1)


def _reflect_ends(wave: Float[Array, "clips time"], end: Int[Array, " clips"], half: int) -> Array:
    """Rows with `half` samples before them and after `end`, mirrored (what comes later has no meaning)."""
    index = jnp.arange(-half, wave.shape[-1] + half)[None]
    index = jnp.minimum(jnp.abs(index), 2 * (end[:, None] - 1) - index)
    return jnp.take_along_axis(wave, jnp.clip(index, 0, wave.shape[-1] - 1), -1)


def _reflect_block_ends(wave: Float[Array, "clips time"], blocks: Int[Array, " clips"], half: int, hop: int) -> Array:
    """The same for ends at whole blocks of `hop` samples: only the blocks around the end are fetched."""
    clips, reach = len(wave), half // hop
    cut = wave.reshape(clips, -1, hop)
    around = jnp.clip(blocks[:, None] - np.arange(reach + 1, 0, -1)[None], 0, cut.shape[1] - 1)
    before = jnp.take_along_axis(cut, around[..., None], 1).reshape(clips, -1)
    mirrored = before[:, hop - 1 : -1][:, ::-1].reshape(clips, reach, hop)
    left = wave[:, half:0:-1].reshape(clips, reach, hop)
    cut = jnp.concatenate([left, cut, jnp.zeros((clips, reach, hop), wave.dtype)], 1)
    position = np.arange(cut.shape[1])[None, :, None] - reach
    for i in range(reach):
        cut = jnp.where(position == blocks[:, None, None] + i, mirrored[:, i : i + 1], cut)
    return cut.reshape(clips, -1)


@functools.partial(jax.jit, static_argnames=("power", "iterations", "n_fft", "hop"))
def time_stretch_ragged(
    wave: Float[Array, "clips width"],
    plan: Plan,
    *,
    power: float = 2.0,
    start: Complex[Array, "clips most bins"] | None = None,
    iterations: int = 32,
    n_fft: int = 1024,
    hop: int = 256,
) -> Float[Array, "clips new_width"]:
    """`time_stretch` for a batch of clips whose lengths and rates are data; compiles once for a width.

    Args:
      wave: (clips, width) samples, each clip at the start of its row (what comes after it is not looked at).
      plan: of `plan_stretch` for this width.
      power: what Griffin-Lim takes the magnitude for, 2 (reference) or 1 (correct).
      start: (clips, most, n_fft // 2 + 1) complex start factors (None: all 1).
      iterations: rounds of Griffin-Lim.
      n_fft: transform and window length in samples.
      hop: distance of frames in samples, half of `n_fft` or a whole part of that.

    Returns:
      (clips, hop * (most - 1)) samples: `hop * (plan.frames - 1)` of the clip, then zeros. They are `time_stretch`'s
      but for rounding, which 32 rounds of Griffin-Lim amplify.

    Raises:
      ValueError: a hop that does not fit.

    Source: DHAuDS, lib/corruption.py (TST).
    """
    if n_fft % (2 * hop):
        raise ValueError(f"time_stretch_ragged: hop is {hop}, expected a whole part of n_fft // 2 = {n_fft // 2}")
    most, half = plan.first.shape[-1], n_fft // 2
    window = jnp.asarray(hann(n_fft, n_fft), wave.dtype)[None, None]

    def forward(padded: Array) -> Array:
        return jnp.fft.rfft(frame(padded, n_fft, hop) * window)

    def inverse(spectrum: Array) -> Array:
        return overlap_add(jnp.fft.irfft(spectrum, n_fft) * window, hop, half, half + hop * (most - 1)) / envelope

    def round_trip(_: int | Array, waves: tuple[Array, Array]) -> tuple[Array, Array]:
        now, previous = waves
        spectrum = forward(_reflect_block_ends(now - _INERTIA * previous, plan.frames - 1, half, hop))
        gain = target / (absolute(spectrum) + 1e-16)
        return inverse(jax.lax.complex(gain * spectrum.real, gain * spectrum.imag)), now

    envelope = _envelope(plan.frames, most, n_fft, hop, wave.dtype)
    # Frames beyond a clip's last are silent in `target`, so whatever their samples hold is multiplied by zero.
    target = magnitude_root(_mixed(absolute(forward(_reflect_ends(wave, plan.length, half))), plan), power)
    result = inverse(target + 0j if start is None else target * start)
    result = jax.lax.fori_loop(0, iterations, round_trip, (result, jnp.zeros_like(result)))[0]
    return jnp.where(np.arange(result.shape[-1])[None] < hop * (plan.frames[:, None] - 1), result, 0.0)


def _mixed(magnitude: Float[Array, "clips frames bins"], plan: Plan) -> Float[Array, "clips most bins"]:
    """The stretched magnitudes: linear interpolation between the frames that the plan names."""
    padded = jnp.pad(magnitude, [(0, 0), (0, 1), (0, 0)])
    first, second = (jnp.take_along_axis(padded, index[..., None], 1) for index in (plan.first, plan.second))
    weight = plan.weight[..., None].astype(magnitude.dtype)
    return weight * second + (1 - weight) * first
