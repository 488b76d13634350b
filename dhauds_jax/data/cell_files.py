"""The files of a corrupted set's cells: writing, reading back, comparing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int16

MANIFEST = "manifest.jsonl"
"""A cell's clips, one JSON object a line: id, file, class, what was drawn, SHA-256 of the samples."""
RECORD = "cell.json"
"""What a cell is: set, split, seed, profile, number of clips, checksums."""


class Difference(NamedTuple):
    """A file of a cell that is not as it should be, and why; `steps` of 16 bit is how far its samples are off."""

    file: str
    reason: str
    steps: int = 0


def write(path: Path, samples: Int16[np.ndarray, " time"], sample_rate: int) -> str:
    """Writes 16-bit PCM and returns the SHA-256 (hex) of the samples."""
    import soundfile

    soundfile.write(os.fsencode(path), samples, sample_rate, subtype="PCM_16", format="WAV")
    return digest(samples)


def digest(samples: Int16[np.ndarray, " time"]) -> str:
    """SHA-256 (hex) of 16-bit samples, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(samples, "<i2").tobytes()).hexdigest()


def samples_checksum(digests: Mapping[str, str]) -> str:
    """SHA-256 (hex) over a cell's clips, each with its digest, sorted by id: whatever order they were made in."""
    return hashlib.sha256("".join(f"{i} {digests[i]}\n" for i in sorted(digests)).encode()).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """A cell's record; None for a cell that was not made here."""
    path = folder / RECORD
    return json.loads(path.read_text()) if path.is_file() else None


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """A cell's manifest; raises `ValueError` when it has none (it was not made here)."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected a cell that experiments.corrupt has written")
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_samples(path: Path, sample_rate: int, length: int) -> np.ndarray | Difference:
    """A file's int16 (length,) samples, or why it is not such a file."""
    import soundfile

    name = path.name
    if not path.is_file():
        return Difference(name, "is absent")
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            found = (file.format, file.subtype, file.samplerate, file.channels, file.frames)
            wanted = ("WAV", "PCM_16", sample_rate, 1, length)
            if found != wanted:
                return Difference(name, f"is {' '.join(map(str, found))}, expected {' '.join(map(str, wanted))}")
            samples = file.read(dtype="int16")
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError) as error:
        return Difference(name, f"cannot be read ({error})")
    return samples if len(samples) == length else Difference(name, f"holds {len(samples)} samples, expected {length}")
