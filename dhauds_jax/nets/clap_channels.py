"""What a fused CLAP sees of a long recording: the whole of it shrunk to a clip's frames, and three crops of it.

Everything is computed on the host in float64, a few hundred frames at a time, so memory does not grow with the
recording: blocks of samples come in, blocks of log-mel frames go on, and what is left is (4, frames, mels).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from dhauds_jax.dsp.mel import mel_filters
from dhauds_jax.dsp.resize import bilinear_places
from dhauds_jax.dsp.stft import hann
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.clap_mel import FULL_SCALE, ClapMel

SHRINKS = ("plain", "antialias")
"""How the whole is shrunk: bilinearly between two frames, as Hugging Face's code does, or over all frames that a new
one covers, as torchvision does since its version 0.17 and so LAION's code with it."""

BLOCK = 512
"""Frames that are computed at once."""


def check(spec: ClapMel) -> None:
    """Raises `BadInput` for constants whose frames depend on more than their own samples."""
    mel = spec.mel
    if (mel.pad_mode, mel.top_db, mel.frames) != ("reflect", None, None):
        raise BadInput(
            f"config front_end: pad_mode {mel.pad_mode!r}, top_db {mel.top_db} and frames {mel.frames}, expected "
            "'reflect', null and null to lay out recordings longer than a clip"
        )


def frames_of(samples: int, spec: ClapMel) -> int:
    """Frames of a recording of so many samples."""
    return 1 + samples // spec.mel.hop


def mel_blocks(
    blocks: Iterable[Float[np.ndarray, " _"]], spec: ClapMel
) -> Iterator[tuple[int, Float[np.ndarray, "frames mels"]]]:
    """The log-mel frames of a recording that comes block by block: `clap_mel.features` of the whole, in float64.

    Args:
      blocks: float32 samples at the front end's rate, in their order; any sizes give the same bits.
      spec: the constants.

    Yields:
      `(number of the first frame, frames)`.

    Raises:
      BadInput: fewer samples than are reflected at an end.
    """
    size, hop = spec.mel.n_fft, spec.mel.hop
    kept, first = np.zeros(0, np.float32), 0
    for piece in _with_reflected_ends(blocks, size // 2):
        kept = np.concatenate([kept, piece])
        while len(kept) >= (BLOCK - 1) * hop + size:
            yield first, _log_mel(kept[: (BLOCK - 1) * hop + size], spec)
            kept, first = kept[BLOCK * hop :], first + BLOCK
    if len(kept) >= size:
        yield first, _log_mel(kept, spec)


def _with_reflected_ends(blocks: Iterable[np.ndarray], half: int) -> Iterator[np.ndarray]:
    """The blocks, with `half` samples before and behind them that mirror the recording's ends."""
    last, begun = np.zeros(0, np.float32), False
    for block in blocks:
        last = np.concatenate([last, block])
        if begun:
            yield block
        elif len(last) > half:
            yield last[half:0:-1]
            yield last
            begun = True
        if begun:
            last = last[-(half + 1) :]
    if not begun:
        raise BadInput(f"the recording has {len(last)} samples, expected more than n_fft // 2 = {half}")
    yield last[-2::-1]


def _log_mel(wave: Float[np.ndarray, " _"], spec: ClapMel) -> Float[np.ndarray, "frames mels"]:
    """Log-mel frames, not centred: frame i begins at sample `i * hop`."""
    mel = spec.mel
    if spec.quantise:  # in float32, as `clap_mel.quantise`
        wave = np.trunc(np.clip(wave, -1, 1).astype(np.float32) * np.float32(FULL_SCALE)) / np.float32(FULL_SCALE)
    framed = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), mel.n_fft)[:: mel.hop]
    spectrum = np.fft.rfft(framed * hann(mel.win_length, mel.n_fft))
    power = spectrum.real**2 + spectrum.imag**2
    power = power if mel.power == 2.0 else power ** (mel.power / 2)
    return 10.0 * np.log10(np.maximum(power @ mel_filters(mel), mel.amin)) / mel.divisor


def fused(
    mels: Iterable[tuple[int, Float[np.ndarray, "_ _"]]], frames: int, chunk: int, starts: Sequence[int], shrink: str
) -> Float[np.ndarray, "channels {chunk} mels"]:
    """The channels of a long recording: the whole shrunk to `chunk` frames, then a crop of as many from each start.

    Args:
      mels: of `mel_blocks`.
      frames: how many there are in all, more than `chunk`.
      chunk: frames of a clip.
      starts: the first frame of each crop.
      shrink: of `SHRINKS`.
    """
    add = _Plain(frames, chunk) if shrink == "plain" else _Antialiased(frames, chunk)
    out: np.ndarray | None = None
    for first, block in mels:
        if out is None:
            out = np.zeros((1 + len(starts), chunk, block.shape[1]))
        add(out[0], first, block)
        for crop, start in zip(out[1:], starts, strict=True):
            low, high = max(start, first), min(start + chunk, first + len(block))
            if low < high:
                crop[low - start : high - start] = block[low - first : high - first]
    out[0] /= add.norm[:, None]
    return out.astype(np.float32)


class _Plain:
    """Adds to every frame of the shrunk whole its two nearest frames, weighted by nearness."""

    def __init__(self, frames: int, chunk: int) -> None:
        below, share = bilinear_places(frames, chunk)
        self._near = ((below, 1 - share), (np.minimum(below + 1, frames - 1), share))
        self.norm = np.ones(chunk)

    def __call__(self, out: np.ndarray, first: int, block: np.ndarray) -> None:
        for place, weight in self._near:
            here = (place >= first) & (place < first + len(block))
            out[here] += weight[here, None] * block[place[here] - first]


class _Antialiased:
    """Adds to every frame of the shrunk whole all frames under a triangle that is two new frames wide.

    Source: the antialiased bilinear resizing of torchvision and Pillow.
    """

    def __init__(self, frames: int, chunk: int) -> None:
        self._scale, self.norm = frames / chunk, np.zeros(chunk)

    def __call__(self, out: np.ndarray, first: int, block: np.ndarray) -> None:
        # New frame i reaches from (i - 1/2) to (i + 3/2) times the scale.
        low = max(0, int(np.floor(first / self._scale - 1.5)))
        high = min(len(out), int(np.ceil((first + len(block)) / self._scale + 0.5)) + 1)
        centres = (np.arange(low, high) + 0.5) * self._scale
        middles = first + np.arange(len(block)) + 0.5
        weights = np.maximum(0.0, 1 - np.abs(middles - centres[:, None]) / self._scale)
        out[low:high] += weights @ block
        self.norm[low:high] += weights.sum(1)
