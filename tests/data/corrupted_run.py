"""What the child processes of `test_corrupted_runs.py` run: small cells and the digests of their samples, as JSON.

`python -m tests.data.corrupted_run FOLDER [CORRUPTION ...]` writes them, those of `CODES` unless others are named, on
as many devices as XLA_FLAGS=--xla_force_host_platform_device_count=N makes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from dhauds_jax.data.clip_source import ClipSource, ReadClip
from dhauds_jax.data.corrupted import writing
from dhauds_jax.data.corrupted.cell import CellSpec
from dhauds_jax.data.corruptions.noise import synthetic_bank
from dhauds_jax.data.sets.base import DataSet, Order

RATE, LENGTH, CLIPS = 16_000, 3_200, 20
CODES = ("WHN", "ENQ", "PSH", "TST", "TEL", "RIR")
"""Noise, recorded noise, pitch, speed, a telephone line and a room: every kind of program."""


def cell(code: str) -> CellSpec:
    """A cell of a set of two classes, clips of 0.2 s."""
    order = Order(stretch_both_ways=True)
    data = DataSet("tiny", ("a", "b"), RATE, LENGTH, ("test",), "accuracy", order, "none", "none")
    return CellSpec(data, code, "L2", 3)


def clips() -> ClipSource:
    """Clips of 0.1 to 0.25 s."""
    rng = np.random.default_rng(1)
    waves = [rng.uniform(-0.99, 0.99, int(n)).astype(np.float32) for n in rng.integers(1_600, 4_000, CLIPS)]
    ids = tuple(f"x/{row:02d}.flac" for row in range(CLIPS))
    return ClipSource(ids, np.arange(CLIPS) % 2, lambda row: ReadClip(waves[row], ()))


def digests(folder: Path, codes: Sequence[str] = CODES) -> dict[str, str]:
    """SHA-256 of the samples of each cell, written into a folder."""
    found = {}
    for code in codes:
        bank = synthetic_bank("ENQ", "L2", seconds=0.5) if code == "ENQ" else None
        record = writing.write_cell(cell(code), clips(), bank, folder, progress=False).record
        found[code] = record["samples_sha256"]
    return found


if __name__ == "__main__":
    print(json.dumps({"devices": jax.device_count(), **digests(Path(sys.argv[1]), sys.argv[2:] or CODES)}))
