"""Another rate for host waveforms of any length: few compilations, flat memory, the same bits in blocks of any size.

`RESAMPLERS`: "sinc" is torchaudio's windowed sinc (`dsp.resample`), as the published systems of TTA have it; "soxr_hq"
is libsoxr's high quality, librosa's default, as CLAP's have it; "kaiser_best" is resampy's default, as VGGish's have
it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np

from dhauds_jax.data.kaiser_best import chunk as one_chunk
from dhauds_jax.data.kaiser_best import plan
from dhauds_jax.errors import BadInput

BLOCK_SECONDS = 30
"""Longer recordings are resampled in blocks of this many seconds, so memory stays flat."""


def resample_wave(wave: np.ndarray, orig_rate: int, new_rate: int, resampler: str = "sinc") -> np.ndarray:
    """Resamples one host waveform of any length with few compilations and flat memory.

    Windowed-sinc resampling looks at a short neighbourhood only and takes silence beyond both ends, so the wave is
    padded with zeros to whole seconds (one compiled program per number of seconds, not per length) and long ones go
    block by block with enough context on both sides.

    Args:
      wave: float32 (time,).
      orig_rate: in Hz.
      new_rate: in Hz.
      resampler: of `names.RESAMPLERS`.

    Returns:
      float32 (ceil(new_rate * time / orig_rate),).

    Raises:
      BadInput: soxr is not installed.
    """
    if orig_rate == new_rate:
        return wave
    if resampler == "soxr_hq":
        return np.concatenate([np.zeros(0, np.float32), *_soxr_blocks([wave], orig_rate, new_rate)])
    if resampler == "kaiser_best":
        return np.concatenate([np.zeros(0, np.float32), *_kaiser_blocks([wave], orig_rate, new_rate)])
    if len(wave) > BLOCK_SECONDS * orig_rate:
        return np.concatenate(list(resample_blocks([wave], orig_rate, new_rate)))
    padded = np.zeros(max(1, math.ceil(len(wave) / orig_rate)) * orig_rate, np.float32)
    padded[: len(wave)] = wave
    return np.array(_resample(padded, orig_rate, new_rate))[: -(-new_rate * len(wave) // orig_rate)]


def resample_blocks(
    blocks: Iterable[np.ndarray], orig_rate: int, new_rate: int, resampler: str = "sinc"
) -> Iterator[np.ndarray]:
    """What `resample_wave` makes of a waveform that comes block by block, piece by piece.

    Args:
      blocks: float32 (time,), the waveform in its order.
      orig_rate: in Hz.
      new_rate: in Hz.
      resampler: of `names.RESAMPLERS`.

    Raises:
      BadInput: soxr is not installed.
    """
    if orig_rate == new_rate:
        yield from blocks
        return
    if resampler == "soxr_hq":
        yield from _soxr_blocks(blocks, orig_rate, new_rate)
        return
    if resampler == "kaiser_best":
        yield from _kaiser_blocks(blocks, orig_rate, new_rate)
        return
    kept = _Kept(blocks)
    if not kept.reach(BLOCK_SECONDS * orig_rate + 1):
        yield resample_wave(kept.part(0, kept.end), orig_rate, new_rate)
        return
    # Context of a whole second: far more than the filter's reach, and it keeps both rates in step.
    second = 0
    while kept.reach(second * orig_rate + 1):
        left, right = (second - 1) * orig_rate, (second - 1 + BLOCK_SECONDS) * orig_rate
        whole = kept.reach(right)
        part = kept.part(max(left, 0), right)
        block = np.zeros(BLOCK_SECONDS * orig_rate, np.float32)
        block[max(-left, 0) : max(-left, 0) + len(part)] = part
        piece = np.array(_resample(block, orig_rate, new_rate)[new_rate : (BLOCK_SECONDS - 1) * new_rate])
        out_length = -(-new_rate * kept.end // orig_rate)
        yield piece if whole else piece[: out_length - second * new_rate]
        second += BLOCK_SECONDS - 2


class _Kept:
    """A waveform that comes block by block, of which what was left behind is forgotten; `end` samples have come."""

    def __init__(self, blocks: Iterable[np.ndarray]):
        self._source, self._begins, self.end = iter(blocks), 0, 0
        self._blocks: list[np.ndarray] = []

    def reach(self, samples: int) -> bool:
        """Whether there are so many samples; as many are fetched."""
        while self.end < samples:
            block = next(self._source, None)
            if block is None:
                return False
            self._blocks.append(block)
            self.end += len(block)
        return True

    def part(self, first: int, beyond: int) -> np.ndarray:
        """The samples from `first` on up to `beyond`; those before `first` are forgotten."""
        while self._blocks and self._begins + len(self._blocks[0]) <= first:
            self._begins += len(self._blocks.pop(0))
        found, begins = [], self._begins
        for block in self._blocks:
            found.append(block[max(first - begins, 0) : max(beyond - begins, 0)])
            begins += len(block)
        return np.concatenate(found) if found else np.zeros(0, np.float32)


def _kaiser_blocks(blocks: Iterable[np.ndarray], orig_rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """`resampy.resample` of a waveform that comes block by block, in chunks of one shape whatever the blocks are.

    resampy rounds the number of samples down, here it is rounded up, as by the other resamplers.
    """
    how = plan(orig_rate, new_rate)
    kept, (orig, new), (before, after) = _Kept(blocks), how.step, how.reach
    for chunk in itertools.count():
        begins = chunk * how.periods * orig
        ends = begins + how.periods * orig
        if not kept.reach(begins + 1):
            return
        whole = kept.reach(ends + after)
        left = begins - before
        heard = kept.part(max(left, 0), ends + after)
        padded = np.zeros(before + ends - begins + after, np.float32)
        padded[max(-left, 0) : max(-left, 0) + len(heard)] = heard
        piece = one_chunk(padded, how)
        yield piece if whole else piece[: -(-new_rate * kept.end // orig_rate) - chunk * how.periods * new]


def _soxr_blocks(blocks: Iterable[np.ndarray], orig_rate: int, new_rate: int) -> Iterator[np.ndarray]:
    """`librosa.resample(wave, res_type="soxr_hq")` of a waveform that comes block by block, to the bit; none empty."""
    try:
        import soxr
    except ImportError as error:
        raise BadInput(
            "front_end.resampler is soxr_hq and soxr is not installed, expected: pip install soxr"
        ) from error
    stream = soxr.ResampleStream(orig_rate, new_rate, 1, dtype="float32", quality="HQ")
    came, left = 0, 0
    for block in blocks:
        came += len(block)
        piece = stream.resample_chunk(np.ascontiguousarray(block, np.float32))
        left += len(piece)
        if len(piece):  # of a short first block all of it still lies in the filter
            yield piece
    # soxr rounds the number of samples, librosa and the other resampler round it up.
    missing = -(-new_rate * came // orig_rate) - left
    rest = stream.resample_chunk(np.zeros(0, np.float32), last=True)[:missing]
    if missing:
        yield np.pad(rest, (0, missing - len(rest)))


def _resample(wave: np.ndarray, orig_rate: int, new_rate: int):
    import jax.numpy as jnp

    from dhauds_jax.dsp.resample import resample

    return resample(jnp.asarray(wave), orig_rate, new_rate)


def resample_on_host(wave: np.ndarray, orig_rate: int, new_rate: int, resampler: str = "sinc") -> np.ndarray:
    """`resample_wave` to 1e-6 without a compilation, for whoever must answer at once whatever the rate is.

    Arguments, result and what it raises as there.
    """
    if orig_rate == new_rate or resampler != "sinc":
        return resample_wave(wave, orig_rate, new_rate, resampler)
    return _sinc_in_numpy(wave, orig_rate, new_rate)


_TABLE = 1 << 21
"""Most numbers in an array of the filter below: an odd ratio has thousands of phases, and takes no more memory."""


def _sinc_in_numpy(wave: np.ndarray, orig_rate: int, new_rate: int) -> np.ndarray:
    """`dsp.resample.resample`, phase by phase: each is a product of overlapping windows of the wave with its filter."""
    from dhauds_jax.dsp.resample import ratio, taps

    orig, new, half = ratio(orig_rate, new_rate)
    out = -(-new * len(wave) // orig)
    periods, count = -(-out // new), 2 * half + 2
    phases = min(new, out)
    padded = np.zeros(half + max(len(wave), periods * orig + half + 2), np.float32)
    padded[half : half + len(wave)] = wave
    windows = np.lib.stride_tricks.sliding_window_view(padded, count)
    result = np.empty((periods, phases), np.float32)
    for first in range(0, phases, max(1, _TABLE // count)):
        offset, filters = taps(
            np.arange(first, min(phases, first + max(1, _TABLE // count)), dtype=np.int64), orig, new
        )
        if periods == 1:
            result[0, first : first + len(offset)] = np.einsum("pt,pt->p", windows[offset], filters)
            continue
        for phase, (begins, one) in enumerate(zip(offset, filters), first):
            result[:, phase] = windows[begins::orig][:periods] @ one
    return result.reshape(-1)[:out]
