"""Small audio files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def write_clip(path: Path, seed: int, *, rate: int, seconds: float, channels: int = 1) -> Path:
    """Writes a noisy tone as 16-bit PCM; `seed` decides its pitch and noise, so that no two files are equal."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(rate * seconds)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (200 + 37 * (seed % 50)) * t)
    wave = tone[:, None] + 0.02 * rng.normal(size=(len(t), channels))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype="PCM_16")
    return path
