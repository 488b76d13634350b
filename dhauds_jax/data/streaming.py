"""Another rate for a waveform that comes as it is played: each piece as soon as its samples are known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from dhauds_jax.data.kaiser_best import chunk, plan
from dhauds_jax.data.resampling import resample_blocks, resample_on_host
from dhauds_jax.dsp.resample import ratio


def resample_stream(
    blocks: Iterable[np.ndarray], orig_rate: int, new_rate: int, resampler: str = "sinc"
) -> Iterator[np.ndarray]:
    """`resampling.resample_wave` to 1e-6, piece by piece with the filter's own delay, and nothing compiled.

    Args:
      blocks: float32 (time,), the waveform in its order.
      orig_rate: in Hz.
      new_rate: in Hz.
      resampler: of `names.RESAMPLERS`.

    Returns:
      float32 (time,) pieces, none empty; after each block what can be told by then.

    Raises:
      BadInput: soxr is not installed.
    """
    if orig_rate == new_rate or resampler == "soxr_hq":
        pieces = resample_blocks(blocks, orig_rate, new_rate, resampler)
    elif resampler == "kaiser_best":
        how = plan(orig_rate, new_rate)
        pieces = _by_periods(
            blocks, how.step, how.reach, lambda wave, periods: chunk(wave, how._replace(periods=periods))
        )
    else:
        pieces = _sinc(blocks, orig_rate, new_rate)
    return (piece for piece in pieces if len(piece))


def delay_s(orig_rate: int, new_rate: int, resampler: str = "sinc", block_s: float = 0.02) -> float:
    """Seconds of sound that `resample_stream` holds back at the most, where blocks last `block_s`: measured."""
    block = np.zeros(max(1, round(block_s * orig_rate)), np.float32)
    left, held = 0, [0.0]

    def blocks() -> Iterator[np.ndarray]:
        for number in range(1, 1 + round(2 / block_s)):
            yield block
            held.append(number * len(block) / orig_rate - left / new_rate)  # nothing more can be told without the next

    for piece in resample_stream(blocks(), orig_rate, new_rate, resampler):
        left += len(piece)
    return max(held)


def _sinc(blocks: Iterable[np.ndarray], orig_rate: int, new_rate: int) -> Iterator[np.ndarray]:
    orig, new, half = ratio(orig_rate, new_rate)
    context = -(-half // orig)  # whole periods, so that the phases are those of the whole wave

    def filtered(wave: np.ndarray, periods: int) -> np.ndarray:
        return resample_on_host(wave, orig_rate, new_rate)[context * new :][: periods * new]

    return _by_periods(blocks, (orig, new), (context * orig, half + 2), filtered)


def _by_periods(
    blocks: Iterable[np.ndarray],
    step: tuple[int, int],
    reach: tuple[int, int],
    filtered: Callable[[np.ndarray, int], np.ndarray],
) -> Iterator[np.ndarray]:
    """Whole periods of `step` (input, output) samples, each when all that it looks at is there.

    Args:
      blocks: of the wave.
      step: samples of a period.
      reach: input samples that a period looks at (before, after) its own; beyond both ends lies silence.
      filtered: `(wave, periods) -> output`; the wave has the samples that so many periods look at.
    """
    (orig, new), (before, after) = step, reach
    kept, came, left = np.zeros(before, np.float32), 0, 0
    for block in itertools.chain(blocks, [None]):
        if block is None:  # the end: silence, of which one period at least is whole
            kept = np.concatenate([kept, np.zeros(after + orig, np.float32)])
        else:
            came += len(block)
            kept = np.concatenate([kept, block])
        periods = (len(kept) - before - after) // orig
        if periods < 1:
            continue
        piece = filtered(kept[: before + periods * orig + after], periods)
        kept = kept[periods * orig :]
        yield piece[: -(-new * came // orig) - left]
        left += len(piece)
