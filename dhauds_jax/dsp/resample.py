"""Band-limited resampling whose cost follows the output, whatever the ratio of the rates."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput

_ZERO_CROSSINGS = 6
_ROLLOFF = 0.99
_UNROLLED_TAPS = 64
"""More taps than this are summed in a loop of the program instead of one expression, which would compile slowly."""


class Filters(NamedTuple):
    """Hann-windowed sinc filters for one ratio of rates `orig : new` (coprime).

    Attributes:
      orig: input samples in one period of the ratio.
      new: output samples in one period (phases).
      half: zeros needed before the first input sample.
      offset: (new,) first input sample of each phase's window, counted from the period's start in the padded signal.
      taps: (new, 2 half + 2) filter of each phase.
    """

    orig: int
    new: int
    half: int
    offset: np.ndarray
    taps: np.ndarray


@functools.lru_cache(maxsize=64)
def sinc_filters(orig_rate: int, new_rate: int) -> Filters:
    """Filters of torchaudio's `resample`: sinc with 6 zero crossings under a Hann window, rolloff 0.99.

    Only taps under the window are kept: `2 half + 2` for each phase, where torchaudio's kernel has `orig + 2 half`.
    """
    orig, new, half = ratio(orig_rate, new_rate)
    return Filters(orig, new, half, *taps(np.arange(new, dtype=np.int64), orig, new))


def ratio(orig_rate: int, new_rate: int) -> tuple[int, int, int]:
    """Two rates without their common divisor, and the zeros that the filter needs before the first sample."""
    divisor = math.gcd(orig_rate, new_rate)
    orig, new = orig_rate // divisor, new_rate // divisor
    return orig, new, math.ceil(_ZERO_CROSSINGS * orig / (min(orig, new) * _ROLLOFF))


def taps(phase: Int[np.ndarray, " phases"], orig: int, new: int) -> tuple[np.ndarray, Float[np.ndarray, "phases taps"]]:
    """The first input sample of some phases' windows, and the filters of these phases; see `Filters`.

    Args:
      phase: which of the `new` phases.
      orig: of the ratio of rates `orig : new` (coprime).
      new: likewise.
    """
    base, half = min(orig, new) * _ROLLOFF, ratio(orig, new)[2]
    offset = phase * orig // new
    sample = offset[:, None] + np.arange(-half, half + 2)
    # torchaudio rounds the phase to float32; exact phases differ from it by up to 1e-4 for ratios of thousands.
    delay = (-phase[:, None].astype(np.float32) / np.float32(new)).astype(np.float64)
    t = np.clip((delay + sample / orig) * base, -_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(t * np.pi / (2 * _ZERO_CROSSINGS)) ** 2
    return offset, (window * base / orig * np.sinc(t)).astype(np.float32)


def _filtered(padded: Float[Array, "*batch time"], filters: Filters, periods: int) -> Float[Array, "*batch new_time"]:
    """Each output sample as a weighted sum of its own few input samples, tap after tap.

    A sum over taps of gathers fuses into one loop without a (samples x taps) array between; on CPU it is as fast as a
    gather of windows or a dense convolution for any ratio, and its result is torchaudio's to the last bits.
    """
    count = filters.taps.shape[1]
    taps = jnp.asarray(filters.taps.T, padded.dtype)
    start = jnp.arange(periods)[:, None] * filters.orig + filters.offset.astype(np.int32)[None]

    def add(tap: int | Array, total: Array) -> Array:
        return total + padded[..., start + tap] * jnp.broadcast_to(taps[tap], total.shape)

    total = jnp.zeros((*padded.shape[:-1], *start.shape), padded.dtype)
    if count > _UNROLLED_TAPS:
        total = jax.lax.fori_loop(0, count, add, total)
    else:
        for tap in range(count):
            total = add(tap, total)
    return total.reshape(*padded.shape[:-1], -1)


@functools.partial(jax.jit, static_argnames=("orig_rate", "new_rate"))
def resample(wave: Float[Array, "*batch time"], orig_rate: int, new_rate: int) -> Float[Array, "*batch new_time"]:
    """Resamples with a Hann-windowed sinc (6 zero crossings, rolloff 0.99), as torchaudio's `resample`.

    The cost is about 15 multiplications for each output sample (times the ratio when the rate falls), so odd ratios
    such as 20158 : 16000 are as cheap as simple ones.

    Args:
      wave: (..., time) samples at `orig_rate` Hz.
      orig_rate: Hz.
      new_rate: Hz.

    Returns:
      (..., ceil(new_rate * time / orig_rate)) samples at `new_rate` Hz.

    Raises:
      BadInput: a rate that is not positive.
    """
    if orig_rate <= 0 or new_rate <= 0:
        raise BadInput(f"resample: rates are {orig_rate} and {new_rate} Hz, expected positive whole numbers")
    if orig_rate == new_rate:
        return wave
    filters = sinc_filters(orig_rate, new_rate)
    out = -(-filters.new * wave.shape[-1] // filters.orig)
    periods = -(-out // filters.new)
    if periods == 1:
        filters = filters._replace(offset=filters.offset[:out], taps=filters.taps[:out])
    right = periods * filters.orig + filters.half + 2
    padded = jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(filters.half, max(0, right - wave.shape[-1]))])
    return _filtered(padded, filters, periods)[..., :out]
