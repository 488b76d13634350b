"""A small picture of a recording for people: decibels by time and frequency, on the host, whatever its length is."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from jaxtyping import Float

FRAMES, BINS = 400, 128
"""The most columns and rows of a picture."""

RANGE_DB = 80.0
"""What lies further below the loudest is drawn as that far below."""

_N_FFT = 512


def spectrogram(wave: Float[np.ndarray, " time"], sample_rate: int) -> dict[str, Any]:
    """A picture as JSON can hold it: levels from 0 (`RANGE_DB` below the loudest) to 255, time by time.

    Args:
      wave: (time,) samples.
      sample_rate: Hz.

    Returns:
      `frames`, `bins`, `seconds` and `hz` (the whole width and height), `range_db`, `loudest_db` (decibels of full
      scale) and `levels`: base64 of frames x bins bytes, the lowest frequency first.
    """
    hop = max(_N_FFT // 4, -(-len(wave) // FRAMES))
    padded = np.pad(wave, (0, _N_FFT))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[: max(1, len(wave)) : hop]
    window = np.hanning(_N_FFT).astype(np.float32)
    power = np.abs(np.fft.rfft(frames * window, axis=-1)) ** 2 / (window.sum() / 2) ** 2
    power = power[:, 1:].reshape(len(frames), BINS, -1).mean(-1)
    level = 10 * np.log10(np.maximum(power, 1e-12))
    loudest = float(level.max())
    bytes_of = np.clip(255 * (1 + (level - loudest) / RANGE_DB), 0, 255).astype(np.uint8)
    return {
        "frames": len(frames),
        "bins": BINS,
        "seconds": round(len(frames) * hop / sample_rate, 6),
        "hz": sample_rate / 2,
        "range_db": RANGE_DB,
        "loudest_db": round(loudest, 2),
        "levels": base64.b64encode(bytes_of.tobytes()).decode("ascii"),
    }
