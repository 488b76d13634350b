"""Kaldi's log filter banks, as AST and SSAST take them; every constant stands in one `FbankSpec`."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.dsp.stft import frame
from dhauds_jax.errors import BadInput

FLOOR = float(np.finfo(np.float32).eps)
"""The smallest energy before the logarithm; ln of it is -15.942."""


class FbankSpec(NamedTuple):
    """Every constant of a filter-bank front end; hashable, and JSON-able by `_asdict()`.

    Attributes:
      sample_rate: Hz.
      n_mels: number of mel bands.
      frame_length: length of the symmetric Hann window in samples (25 ms: 400 at 16 kHz).
      hop: distance of frames in samples (10 ms: 160 at 16 kHz).
      frames: number of frames wanted, or None. Longer ones are cut, shorter ones are padded at the end with 0.
      mean: taken off every value (natural logarithms of energies), and
      std: divided by, after it was multiplied by
      std_factor: 2 in AST and SSAST.
      pad_last: False pads with 0 before mean and deviation, so padding becomes -mean / (2 std), as AST, SSAST and
        Hugging Face's feature extractor do; True pads the normalised values, as SSAST's wrapper for SUPERB does.
      pre_emphasis: share of the sample before that is taken off.
      f_min: lowest band edge in Hz; f_max: highest, None for half the rate.
    """

    sample_rate: int
    n_mels: int
    frame_length: int
    hop: int
    frames: int | None
    mean: float
    std: float
    std_factor: float = 2.0
    pad_last: bool = False
    pre_emphasis: float = 0.97
    f_min: float = 20.0
    f_max: float | None = None


def frame_count(samples: int, frame_length: int, hop: int) -> int:
    """Frames that lie wholly inside a clip (all lengths in samples; nothing is padded), 0 if it is too short."""
    return max(0, 1 + (samples - frame_length) // hop)


def _mel(hz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hz / 700.0)


@functools.lru_cache
def _tables(spec: FbankSpec) -> tuple[np.ndarray, np.ndarray, int]:
    """Window (frame_length,), filters (bins, mels) and transform length, float64 on the host.

    Triangles equally spaced and straight-sided in mel, 1127 ln(1 + f / 700); the bin at half the rate is in none.
    """
    f_max = spec.sample_rate / 2 if spec.f_max is None else spec.f_max
    if not 0 <= spec.f_min < f_max <= spec.sample_rate / 2:
        raise BadInput(
            f"FbankSpec has f_min {spec.f_min} and f_max {f_max} Hz, expected 0 <= f_min < f_max <= sample_rate / 2 = "
            f"{spec.sample_rate / 2}"
        )
    n_fft = 1 << (spec.frame_length - 1).bit_length()
    low, high = _mel(np.array([spec.f_min, f_max], np.float64))
    edges = low + (high - low) / (spec.n_mels + 1) * np.arange(spec.n_mels + 2)
    bins = _mel(spec.sample_rate / n_fft * np.arange(n_fft // 2))[:, None]
    width = np.diff(edges)
    filters = np.minimum((bins - edges[:-2]) / width[:-1], (edges[2:] - bins) / width[1:])
    return np.hanning(spec.frame_length), np.maximum(0.0, np.vstack([filters, np.zeros(spec.n_mels)])), n_fft


def log_filter_bank(wave: Float[Array, "*batch time"], spec: FbankSpec) -> Float[Array, "*batch frames mels"]:
    """Kaldi's log mel energies, `ln max(|FFT(window * emphasised frame)|^2 @ filters, eps)`, not yet normalised.

    Frames lie wholly inside the clip; each loses its mean, then 0.97 of the sample before (of itself for the first
    sample), is windowed and transformed at the next power of two. The clip's mean is taken off first, which changes
    nothing but rounding. No dither, no energy, no 16-bit scaling.

    Args:
      wave: (..., time) samples at `spec.sample_rate` Hz.
      spec: the constants.

    Returns:
      (..., 1 + (time - frame_length) // hop, n_mels) natural logarithms of energies.

    Raises:
      BadInput: a clip shorter than one frame, or band edges out of order.

    Source: Kaldi's `compute-fbank-feats` with a Hann window; layout as `torchaudio.compliance.kaldi.fbank`.
    """
    if frame_count(wave.shape[-1], spec.frame_length, spec.hop) < 1:
        raise BadInput(f"the clip has {wave.shape[-1]} samples, expected at least frame_length = {spec.frame_length}")
    window, filters, n_fft = _tables(spec)
    frames = frame(wave - wave.mean(-1, keepdims=True), spec.frame_length, spec.hop)
    frames = frames - frames.mean(-1, keepdims=True)
    before = jnp.concatenate([frames[..., :1], frames[..., :-1]], -1)
    frames = frames - spec.pre_emphasis * before
    frames = frames * jnp.broadcast_to(jnp.asarray(window, wave.dtype), frames.shape)
    spectrum = jnp.fft.rfft(frames, n_fft)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    energies = jnp.matmul(power, jnp.asarray(filters, power.dtype), precision=jax.lax.Precision.HIGHEST)
    return jnp.log(jnp.maximum(energies, FLOOR))


def fbank(wave: Float[Array, "*batch time"], spec: FbankSpec) -> Float[Array, "*batch frames mels"]:
    """Normalised filter banks, `(log_filter_bank - mean) / (std_factor * std)`, cut or padded to `spec.frames`.

    Args:
      wave: (..., time) samples at `spec.sample_rate` Hz.
      spec: the constants.

    Returns:
      (..., frames, n_mels).

    Raises:
      BadInput: a clip shorter than one frame, or band edges out of order.

    Source: Gong et al. 2021 (arXiv 2104.01778) and 2022 (arXiv 2110.09784).
    """
    features = log_filter_bank(wave, spec)
    if spec.pad_last:
        return _fit((features - spec.mean) / (spec.std_factor * spec.std), spec.frames)
    return (_fit(features, spec.frames) - spec.mean) / (spec.std_factor * spec.std)


def _fit(features: Float[Array, "*batch frames mels"], frames: int | None) -> Float[Array, "*batch wanted mels"]:
    """Cuts or pads with 0 at the end to `frames` frames (None: as they are)."""
    if frames is None:
        return features
    features = features[..., :frames, :]
    missing = frames - features.shape[-2]
    return jnp.pad(features, [(0, 0)] * (features.ndim - 2) + [(0, missing), (0, 0)])
