"""How fast clips come from files, from memory and from TFRecords; for `experiments.benchmark --what=pipeline`."""

from __future__ import annotations

import mmap
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dhauds_jax.data import pipeline, sets
from dhauds_jax.data.pipeline.decoding import tensorflow
from dhauds_jax.data.sets.base import ClipRef, DataSet

MEBIBYTES = 64
"""Audio of a made-up set; a streamed pass reads all of it."""
RATE = 16_000


def rows(seconds: float, batch: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Four rows for each clip length (1 s and 10 s, or the one asked for), on made-up 16-bit wav files.

    `decode`: files read into memory, once. `memory`: passes in random order from there to float32 on the device.
    `prepare`: files written as TFRecords, once. `streamed`: as `memory`, from the TFRecords; with `resident_mb`, what
    the process holds after each quarter of the last pass (None where the system does not say).

    Args:
      seconds: of a clip; 0 for 1 s and 10 s.
      batch: clips of a batch; `seconds` of a row are those of a batch, as are `cpu_seconds` (of all threads, which a
        busy machine does not lengthen).
      rounds: timed passes of `memory` and `streamed`; their median counts.
    """
    for length in (seconds,) if seconds else (1.0, 10.0):
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows_of(Path(folder), length, batch, rounds)


def make_set(folder: Path, clips: int, samples: int) -> DataSet:
    """A set of `clips` 16-bit wav files of noise, `samples` long at 16 kHz, written into `folder`."""
    import soundfile

    refs = [ClipRef(f"{i:06d}.wav", folder / f"{i:06d}.wav", i % 10) for i in range(clips)]
    noise = np.random.default_rng(0).integers(-3000, 3000, samples + clips, np.int16)
    for i, ref in enumerate(refs):
        soundfile.write(ref.path, noise[i : i + samples], RATE)
    return sets.get("synthetic")._replace(
        name="made_up",
        classes=tuple("0123456789"),
        length=samples,
        splits=("train",),
        generate=None,
        listing=lambda data_dir, split, allow_partial: (refs, ()),
    )


def resident_mb() -> float | None:
    """Memory that the process holds now, in MiB; None where the system does not say (it has no /proc)."""
    held = Path("/proc/self/statm")
    if not held.is_file():
        return None
    return int(held.read_text().split()[1]) * mmap.PAGESIZE / 2**20


def _rows_of(folder: Path, seconds: float, batch: int, rounds: int) -> Iterator[dict[str, Any]]:
    samples = round(seconds * RATE)
    clips = max(batch, MEBIBYTES * 2**20 // (2 * samples))
    made = make_set(folder, clips, samples)
    shared = {"what": "pipeline", "batch": batch, "clip_seconds": seconds, "clips": clips}
    share = batch / clips
    opening = {"sample_rate": RATE, "width": samples, "progress": False}
    tensorflow()  # takes seconds to import
    for first, then, options in (
        ("decode", "memory", {}),
        ("prepare", "streamed", {"budget_mb": 0, "cache_dir": folder / "cache"}),
    ):
        begun, used = time.perf_counter(), time.process_time()
        source = pipeline.open_split(made, folder, "train", **opening, **options)
        once, used = (time.perf_counter() - begun) * share, (time.process_time() - used) * share
        timed = {"seconds": once, "fastest": once, "slowest": once, "first_call": once, "cpu_seconds": used}
        yield {**shared, "stage": first, **timed}
        held: list[int | None] = []
        passes, used = [_one_pass(source, batch, 0, held) * share], time.process_time()
        passes += [_one_pass(source, batch, number, held) * share for number in range(1, rounds + 1)]
        used = (time.process_time() - used) * share / rounds
        timed = {"seconds": statistics.median(passes[1:]), "fastest": min(passes[1:]), "slowest": max(passes[1:])}
        timed |= {"first_call": passes[0], "cpu_seconds": used, "resident_mb": held[-4:]}
        yield {**shared, "stage": then, **timed}


def _one_pass(source: pipeline.ClipSplit, batch: int, number: int, held: list[int | None]) -> float:
    """Seconds of a pass; appends the memory held after each quarter."""
    order = pipeline.epoch_order(jax.random.key(0), len(source.ids), number)
    steps = -(-len(order) // batch)
    begun = time.perf_counter()
    for step, got in enumerate(pipeline.to_device(pipeline.batches(source, order, batch)), start=1):
        jax.block_until_ready(pipeline.to_float(got.wave))
        now = resident_mb()
        held += [None if now is None else round(now)] * (4 * step // steps - 4 * (step - 1) // steps)
    return time.perf_counter() - begun
