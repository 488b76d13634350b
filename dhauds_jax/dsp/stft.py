"""Short-time Fourier transform and its inverse, with the conventions of PyTorch and librosa.

Frames are centred, the window is a periodic Hann of `win_length` samples in the middle of `n_fft`. Arrays are laid out
(..., frames, bins). Framing and overlap-add stack and add shifted blocks of `hop` samples: no gather and no scatter,
neither forwards nor in gradients.
"""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from dhauds_jax.errors import BadInput

_SMALLEST_ENVELOPE = 1e-11
"""Below this sum of squared windows a sample cannot be recovered (the same bound as PyTorch's)."""


@functools.lru_cache
def hann(win_length: int, n_fft: int) -> np.ndarray:
    """Periodic Hann window of `win_length` samples, centred in `n_fft` samples of zeros (float64, on the host)."""
    if not 0 < win_length <= n_fft:
        raise BadInput(f"win_length is {win_length} samples, expected 1 to n_fft = {n_fft}")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    if win_length == 1:
        window = np.ones(1)
    left = (n_fft - win_length) // 2
    window = np.pad(window, (left, n_fft - win_length - left))
    window.setflags(write=False)
    return window


def frame(wave: Float[Array, "*batch time"], size: int, hop: int) -> Float[Array, "*batch frames {size}"]:
    """Cuts a signal into overlapping frames: frame i holds samples `i * hop` to `i * hop + size - 1`.

    Args:
      wave: (..., time) signal, at least `size` samples.
      size: frame length in samples.
      hop: distance of frames in samples.
    """
    frames = 1 + (wave.shape[-1] - size) // hop
    shifts = -(-size // hop)
    blocks = _fit(wave, (frames + shifts - 1) * hop).reshape(*wave.shape[:-1], -1, hop)
    stacked = jnp.stack([blocks[..., i : i + frames, :] for i in range(shifts)], -2)
    return stacked.reshape(*wave.shape[:-1], frames, shifts * hop)[..., :size]


def _shifted_sum(parts: Float[Array, "*batch frames shifts hop"]) -> Float[Array, "*batch blocks hop"]:
    """Overlap-add of frames given as blocks of one hop, by zero-padding: slow, but right for any number of frames."""
    *batch, _, shifts, _ = parts.shape
    none = [(0, 0)] * len(batch)
    return sum(jnp.pad(parts[..., i, :], [*none, (i, shifts - 1 - i), (0, 0)]) for i in range(shifts))


def overlap_add(
    frames: Float[Array, "*batch frames size"], hop: int, start: int = 0, end: int | None = None
) -> Float[Array, "*batch time"]:
    """Adds frames at a distance of `hop` samples, the transpose of `frame`, and cuts samples `start` to `end - 1` out.

    Args:
      frames: (..., frames, size) samples.
      hop: distance of frames in samples.
      start: first sample kept.
      end: end of the samples kept (None: all `hop * (frames - 1) + size` of them).
    """
    *batch, count, size = frames.shape
    end = hop * (count - 1) + size if end is None else end
    shifts = -(-size // hop)
    parts = jnp.pad(frames, [(0, 0)] * (len(batch) + 1) + [(0, shifts * hop - size)]).reshape(
        *batch, count, shifts, hop
    )
    edge = shifts - 1
    first, last = min(start // hop, edge), max(-(-end // hop), count)
    if count <= edge or edge == 0:
        blocks = _shifted_sum(parts)[..., first:last, :]
    else:
        # Inside, plain slices: XLA on CPU adds them in vector registers, which padding would prevent.
        middle = sum(parts[..., edge - i : count - i, i, :] for i in range(shifts))
        left = _shifted_sum(parts[..., :edge, :, :])[..., first:edge, :]
        right = _shifted_sum(parts[..., -edge:, :, :])[..., edge : edge + last - count, :]
        blocks = jnp.concatenate([left, middle, right], -2)
    return blocks.reshape(*batch, -1)[..., start - first * hop : end - first * hop]


def _fit(wave: Float[Array, "*batch time"], length: int) -> Float[Array, "*batch length"]:
    """Cuts or right-pads with zeros to `length` samples."""
    wave = wave[..., :length]
    return jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, length - wave.shape[-1])])


def centre_pad(wave: Float[Array, "*batch time"], n_fft: int, pad_mode: str) -> Float[Array, "*batch padded"]:
    """Pads `n_fft // 2` samples on both sides, so that frame i is centred on sample `i * hop`."""
    half = n_fft // 2
    if pad_mode == "reflect" and wave.shape[-1] <= half:
        raise BadInput(
            f"the clip has {wave.shape[-1]} samples, expected more than n_fft // 2 = {half} for pad_mode 'reflect'"
        )
    return jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(half, half)], mode=pad_mode)


def stft(
    wave: Float[Array, "*batch time"],
    *,
    n_fft: int,
    hop: int,
    win_length: int | None = None,
    pad_mode: str = "reflect",
) -> Complex[Array, "*batch frames bins"]:
    """Centred short-time Fourier transform with a periodic Hann window, as `torch.stft` and `librosa.stft`.

    Args:
      wave: (..., time) signal.
      n_fft: transform length in samples.
      hop: distance of frames in samples.
      win_length: window length in samples, centred in `n_fft` (None: `n_fft`).
      pad_mode: how both ends are extended by `n_fft // 2` samples, a mode of `numpy.pad` ("reflect", "constant").

    Returns:
      (..., 1 + time // hop, n_fft // 2 + 1) for an even `n_fft`.

    Raises:
      BadInput: a window longer than `n_fft`, or a clip too short to be reflected.
    """
    win_length = n_fft if win_length is None else win_length
    left = (n_fft - win_length) // 2
    window = hann(win_length, n_fft)[left : left + win_length]
    padded = centre_pad(wave, n_fft, pad_mode)
    count = 1 + (padded.shape[-1] - n_fft) // hop
    # Only the samples under the window are framed; zeros around them make up the rest of n_fft.
    inner = padded[..., left : left + (count - 1) * hop + win_length]
    frames = frame(inner, win_length, hop)
    frames = frames * jnp.broadcast_to(jnp.asarray(window, wave.dtype), frames.shape)
    frames = jnp.pad(frames, [(0, 0)] * (frames.ndim - 1) + [(left, n_fft - win_length - left)])
    return jnp.fft.rfft(frames)


@functools.lru_cache
def envelope(n_fft: int, hop: int, win_length: int, count: int, end: int) -> np.ndarray:
    """Sum of squared windows of `count` frames for the samples `n_fft // 2` to `end - 1` (float64, on the host).

    Raises:
      BadInput: where windows and hop leave samples that no frame covers.
    """
    total = np.zeros(n_fft + hop * (count - 1))
    for i in range(count):
        total[i * hop : i * hop + n_fft] += hann(win_length, n_fft) ** 2
    inner = total[n_fft // 2 : end]
    if inner.size and inner.min() < _SMALLEST_ENVELOPE:
        raise BadInput(
            f"a window of {win_length} samples every {hop} samples (n_fft {n_fft}) leaves samples uncovered, expected "
            "a smaller hop or a longer window"
        )
    inner.setflags(write=False)
    return inner


def istft(
    spectrum: Complex[Array, "*batch frames bins"],
    *,
    n_fft: int,
    hop: int,
    win_length: int | None = None,
    length: int | None = None,
) -> Float[Array, "*batch time"]:
    """Inverse of `stft` by overlap-add of windowed frames over the sum of squared windows, as `torch.istft`.

    Args:
      spectrum: (..., frames, n_fft // 2 + 1).
      n_fft: transform length in samples.
      hop: distance of frames in samples.
      win_length: window length in samples (None: `n_fft`).
      length: samples wanted, cut or padded with zeros (None: `hop * (frames - 1)` for an even `n_fft`).

    Raises:
      BadInput: a spectrum that does not fit `n_fft`, or samples that no window covers.
    """
    count, bins = spectrum.shape[-2:]
    if bins != n_fft // 2 + 1:
        raise BadInput(f"istft: the spectrum has {bins} bins, expected n_fft // 2 + 1 = {n_fft // 2 + 1}")
    win_length = n_fft if win_length is None else win_length
    whole = n_fft + hop * (count - 1)
    end = whole - n_fft // 2 if length is None else min(n_fft // 2 + length, whole)
    frames = jnp.fft.irfft(spectrum, n_fft)
    frames = frames * jnp.broadcast_to(jnp.asarray(hann(win_length, n_fft), frames.dtype), frames.shape)
    wave = overlap_add(frames, hop, n_fft // 2, end)
    covered = jnp.asarray(envelope(n_fft, hop, win_length, count, end), wave.dtype)
    wave = wave / jnp.broadcast_to(covered, wave.shape)
    return wave if length is None else _fit(wave, length)
