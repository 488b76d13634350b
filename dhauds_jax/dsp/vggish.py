"""VGGish's front end: natural logarithms of mel magnitudes, cut into examples of 96 frames.

Its constants are those that every published VGGish has, at 16 kHz, so none of them is an option.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from dhauds_jax.dsp.stft import frame

SAMPLE_RATE = 16_000
"""Hz."""

FRAME, HOP, N_FFT = 400, 160, 512
"""Samples of a frame, between frames, and of the transform (25 ms, 10 ms, the next power of two)."""

BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
"""Mel bands, and their lowest and highest edge in Hz."""

OFFSET = 0.01
"""What is added to a band before the logarithm; silence is ln of it, -4.605."""

EXAMPLE = 96
"""Frames of an example (0.96 s)."""

SHORTEST = (EXAMPLE - 1) * HOP + FRAME
"""Samples of one example."""

_SILENCE = float(np.log(OFFSET)) + 1e-5
"""A band of exact zeros has ln `OFFSET`, up to rounding; one sample of the smallest 16-bit step has more."""


def _to_mel(hz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hz / 700.0)


@functools.lru_cache
def filters() -> np.ndarray:
    """Triangles that are straight-sided in mel, 1127 ln(1 + f / 700): (257 bins, 64 bands), float64 on the host.

    The bin at 0 Hz is in none. (Those of `dsp.mel` are straight-sided in Hz.)
    """
    low, high = _to_mel(np.array([LOWEST, HIGHEST]))
    edges = np.linspace(low, high, BANDS + 2)
    bins = _to_mel(np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, None]
    width = np.diff(edges)
    table = np.maximum(0.0, np.minimum((bins - edges[:-2]) / width[:-1], (edges[2:] - bins) / width[1:]))
    table[0] = 0.0
    table.setflags(write=False)
    return table


def log_mel(wave: Float[Array, "*batch time"]) -> Float[Array, "*batch frames 64"]:
    """`ln(|FFT(window * frame)| @ filters + 0.01)`, frame by frame.

    Frames of 400 samples every 160, none reaching beyond the clip, under a periodic Hann window, transformed at 512.

    Args:
      wave: (..., time) samples at 16 kHz, at least one frame.

    Source: google's AudioSet models, vggish; harritaylor/torchvggish, mel_features.py.
    """
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    frames = frame(wave, FRAME, HOP)
    spectrum = jnp.fft.rfft(frames * jnp.broadcast_to(jnp.asarray(window, wave.dtype), frames.shape), N_FFT)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    loud = power > 0  # the root's derivative at 0 is infinite
    magnitude = jnp.where(loud, jnp.sqrt(jnp.where(loud, power, 1.0)), 0.0)
    bands = jnp.matmul(magnitude, jnp.asarray(filters(), wave.dtype), precision=jax.lax.Precision.HIGHEST)
    return jnp.log(bands + OFFSET)


def example_count(samples: int) -> int:
    """Examples that a clip of so many samples at 16 kHz gives, at least one."""
    return max(1, (1 + (samples - FRAME) // HOP) // EXAMPLE)


def examples(wave: Float[Array, "batch time"]) -> Float[Array, "batch examples 96 64"]:
    """The log-mel examples of clips, side by side; frames that are left over at the end are dropped.

    A clip too short for one example is followed by silence, so it gives one. (The published code gives none, and some
    of its callers then look at log-mel values of 0, which are louder than silence.)

    Args:
      wave: (batch, time) samples at 16 kHz.
    """
    count = example_count(wave.shape[-1])
    samples = SHORTEST + (count - 1) * EXAMPLE * HOP
    wave = jnp.pad(wave[..., :samples], [(0, 0), (0, max(0, samples - wave.shape[-1]))])
    return log_mel(wave).reshape(wave.shape[0], count, EXAMPLE, BANDS)


def heard(features: Float[Array, "batch examples 96 64"]) -> Bool[Array, "batch examples"]:
    """Whether an example lies before the silence that its clip ends with; the first one always counts as heard.

    Silence is samples of exactly 0, as padding is. Log-mel values of 0 are sounds.
    """
    sounding = features.max((-2, -1)) > _SILENCE
    until = jax.lax.cummax(sounding.astype(jnp.float32), axis=1, reverse=True) > 0  # whole numbers are no ONNX
    return until.at[:, 0].set(True)
