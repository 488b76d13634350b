"""A tone, and files of it in every format that is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

SAMPLES = 3_200
WRITTEN = {
    ".wav": ("WAV", "PCM_16"),
    ".wave": ("WAVEX", "PCM_24"),
    ".bwf": ("WAV", "PCM_16"),
    ".rf64": ("RF64", "PCM_16"),
    ".w64": ("W64", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aif": ("AIFF", "PCM_16"),
    ".aiff": ("AIFF", "PCM_S8"),
    ".aifc": ("AIFF", "ULAW"),
    ".au": ("AU", "PCM_16"),
    ".snd": ("AU", "FLOAT"),
    ".caf": ("CAF", "PCM_16"),
    ".sph": ("NIST", "PCM_16"),
    ".nist": ("NIST", "PCM_16"),
    ".avr": ("AVR", "PCM_16"),
    ".svx": ("SVX", "PCM_16"),
    ".8svx": ("SVX", "PCM_S8"),
    ".sf": ("IRCAM", "PCM_16"),
    ".ircam": ("IRCAM", "FLOAT"),
    ".paf": ("PAF", "PCM_16"),
    ".fap": ("PAF", "PCM_24"),
    ".pvf": ("PVF", "PCM_16"),
}
"""Ending -> the format and the subtype that soundfile writes."""

NOTHING_TELLS = (".sf", ".ircam", ".paf", ".fap", ".pvf")
"""Their headers do not say how long they are."""


def tone() -> np.ndarray:
    """A noisy tone."""
    rng = np.random.default_rng(0)
    return (0.4 * np.sin(np.arange(SAMPLES) * 0.05) + 0.01 * rng.normal(size=SAMPLES)).astype(np.float32)


def write(path: Path, wave: np.ndarray, ending: str) -> Path:
    """Writes a wave at 16 kHz in the format of an ending, whatever the path is called."""
    kind, subtype = WRITTEN[ending]
    soundfile.write(path, wave, 16_000, format=kind, subtype=subtype)
    return path
