"""resampy's filter `kaiser_best` on the host: a sinc under a Kaiser window of 50 zero crossings, by its formula.

resampy reads its filter from a table of 8192 entries a crossing, linearly between them. Where the rate falls it steps
through the table by whole entries, `floor(ratio * 8192)`, and takes as many steps as fit, so its filter is not quite
the textbook's (by up to 2e-3 of full scale); here both are resampy's. Sources: bmcfee/resampy 0.4.3; J. O. Smith,
Digital Audio Resampling Home Page.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

CROSSINGS, ENTRIES, BETA, ROLLOFF = 50, 8192, 12.98458525, 0.91734737
"""Zero crossings of a wing, table entries a crossing, the window's beta, the cut-off as a share of half the rate."""

_TOGETHER = 64
"""Output samples that are computed as one product: fewer waste the processor, more multiply more zeros."""


class Plan(NamedTuple):
    """How a rate becomes another, a chunk of about a second at a time.

    Attributes:
      step: (input, output) samples of a period, after which positions between input samples repeat.
      reach: input samples that a period looks at (before, after) its own.
      parts: of a period's output: (first input sample, counted from `-reach[0]`; weights (input, output) float32).
      periods: in a chunk.
    """

    step: tuple[int, int]
    reach: tuple[int, int]
    parts: tuple[tuple[int, Float[np.ndarray, "inputs outputs"]], ...]
    periods: int


@functools.lru_cache
def half_window() -> Float[np.ndarray, " entries"]:
    """The right half of the filter, `CROSSINGS * ENTRIES + 1` entries in float64."""
    crossings = np.arange(CROSSINGS * ENTRIES + 1) / ENTRIES
    inside = np.sqrt(1.0 - np.square(crossings / CROSSINGS))
    table = ROLLOFF * np.sinc(ROLLOFF * crossings) * np.i0(BETA * inside) / np.i0(BETA)
    table.setflags(write=False)
    return table


def _wing(offset: float, step: int) -> Float[np.ndarray, " taps"]:
    """The filter at table positions `offset`, `offset + step`, ...: as many as resampy takes of its table."""
    table, first = half_window(), int(offset)
    here = table[first::step][: (len(table) - first) // step]
    following = table[first + 1 :: step][: len(here)]
    following = np.pad(following, (0, len(here) - len(following)), mode="edge")
    return here + (offset - first) * (following - here)


@functools.lru_cache(maxsize=16)
def plan(orig_rate: int, new_rate: int) -> Plan:
    """The products that bring `orig_rate` to `new_rate` (Hz), weights computed in float64."""
    common = math.gcd(orig_rate, new_rate)
    orig, new = orig_rate // common, new_rate // common
    orig, new = (side * max(1, -(-_TOGETHER // new)) for side in (orig, new))
    scale = min(1.0, new_rate / orig_rate)
    step = int(scale * ENTRIES)
    taps = (CROSSINGS * ENTRIES + 1) // step
    parts = []
    for first in range(0, new, _TOGETHER):
        outputs = range(first, min(first + _TOGETHER, new))
        begin = first * orig // new
        weights = np.zeros((outputs[-1] * orig // new - begin + 2 * taps + 1, len(outputs)))
        for column, output in enumerate(outputs):
            whole, rest = divmod(output * orig, new)
            at, share = whole - begin + taps, scale * rest / new
            left, right = _wing(share * ENTRIES, step), _wing((scale - share) * ENTRIES, step)
            weights[at - len(left) + 1 : at + 1, column] = left[::-1]
            weights[at + 1 : at + 1 + len(right), column] = right
        parts.append((begin, (scale * weights).astype(np.float32)))
    return Plan((orig, new), (taps, taps + 1), tuple(parts), max(1, new_rate // new))


def chunk(wave: Float[np.ndarray, " inputs"], how: Plan) -> Float[np.ndarray, " outputs"]:
    """`how.periods` periods of output, of the input samples that they look at; always the same products.

    Args:
      wave: (reach[0] + periods * step[0] + reach[1],) float32, from `reach[0]` samples before the chunk on.
      how: of `plan`.
    """
    stride = wave.strides[0]
    out = np.empty((how.periods, how.step[1]), np.float32)
    first = 0
    for begin, weights in how.parts:
        shape, strides = (how.periods, len(weights)), (how.step[0] * stride, stride)
        frames = np.lib.stride_tricks.as_strided(wave[begin:], shape, strides, writeable=False)
        out[:, first : first + weights.shape[1]] = np.ascontiguousarray(frames) @ weights
        first += weights.shape[1]
    return out.reshape(-1)
