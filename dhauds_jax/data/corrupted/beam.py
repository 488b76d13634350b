"""Corrupting a set on many machines: an Apache Beam pipeline over its clips. Needs apache_beam (the extra `beam`).

Every worker reads a batch of clips, corrupts it in the same fixed chunks as everywhere and writes the wav files, so the
result is the local one bit for bit. All of them must see the data, the noises and the output under the same paths.
"""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from dhauds_jax.data import sets
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.clip_source import ClipSource, ReadClip, file_reader
from dhauds_jax.data.corrupted import files, writing
from dhauds_jax.data.corrupted.cell import CellSpec, plug_ins
from dhauds_jax.data.corrupted.layouts import file_name
from dhauds_jax.data.corruptions import CHUNK, is_own, needs_noise
from dhauds_jax.data.corruptions.noise import NoiseBank, load_bank, synthetic_bank
from dhauds_jax.data.notices import SATURATED, Notice, Said

BATCH = 16 * CHUNK
"""Clips that a worker takes at a time."""
_LOCK = threading.Lock()


class Job(NamedTuple):
    """What a worker has to know of a cell, as plain text and numbers.

    Attributes:
      dataset: name of the clean set.
      data_dir: its folder.
      noise_dir: folder of the noises; None for a set that is made in memory with its own.
      corruption, level, seed, profile, split: as in `CellSpec`.
      on_bad_file: "stop" or "skip".
    """

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    corruption: str
    level: str
    seed: int
    profile: str = "reference"
    split: str = "test"
    on_bad_file: str = "stop"

    @property
    def cell(self) -> CellSpec:
        """The cell."""
        dataset = sets.get(self.dataset, self.data_dir)
        own = plug_ins(self.dataset, self.corruption)
        return CellSpec(dataset, self.corruption, self.level, self.seed, self.profile, self.split, own)


class Work(NamedTuple):
    """A batch: rows of the split, their ids, and their files (or, of a set that is made in memory, their waves)."""

    rows: tuple[int, ...]
    ids: tuple[str, ...]
    paths: tuple[str, ...] | None
    waves: np.ndarray | None


def batches(source: ClipSource, size: int = BATCH) -> list[Work]:
    """A split in batches of `size` clips."""
    works = []
    for first in range(0, len(source.ids), size):
        rows = tuple(range(first, min(first + size, len(source.ids))))
        ids = tuple(source.ids[row] for row in rows)
        if source.paths is None:
            works.append(Work(rows, ids, None, np.stack([source.read(row).wave for row in rows])))
        else:
            works.append(Work(rows, ids, tuple(str(source.paths[row]) for row in rows), None))
    return works


def corrupt_work(job: Job, work: Work) -> writing.Slice:
    """What a worker does with a batch: reads and corrupts it; `rows` of the result count within the batch."""
    cell = job.cell
    if work.paths is None:
        read = lambda row: ReadClip(work.waves[row])  # noqa: E731
    else:
        read = file_reader([Path(path) for path in work.paths], cell.dataset.sample_rate, job.on_bad_file)
    source = ClipSource(work.ids, np.zeros(len(work.ids), np.int32), read)
    return next(writing.corrupted_slices(cell, source, bank_of(job), clips=len(work.ids)))


def bank_of(job: Job) -> NoiseBank | None:
    """The recordings that a job mixes in: read once in a process, the last ones kept."""
    if not needs_noise(job.corruption):
        return None
    with _LOCK:  # threads of one process would each read them
        return _read_bank(job.noise_dir, job.corruption, job.level, job.cell.dataset.sample_rate)


@functools.lru_cache(maxsize=1)
def _read_bank(noise_dir: str | None, corruption: str, level: str, sample_rate: int) -> NoiseBank:
    if noise_dir is None and not is_own(corruption):
        return synthetic_bank(corruption, level, sample_rate=sample_rate)
    return load_bank(noise_dir, corruption, level, sample_rate)


def write_work(job: Job, folder: str, work: Work) -> Iterator[str]:
    """Corrupts a batch and writes its wav files; yields a line of JSON for each clip, bad file and notice."""
    cell, piece = job.cell, corrupt_work(job, work)
    for row, samples in zip(piece.rows, piece.samples, strict=True):
        path = Path(folder) / file_name(work.ids[row])
        yield json.dumps({"id": work.ids[row], "sha256": files.write(path, samples, cell.dataset.sample_rate)})
    for row, error in piece.bad:
        yield json.dumps({"row": work.rows[row], "path": str(error.path), "reason": error.reason, "kind": error.kind})
    for row, notices in piece.notices:
        for notice in notices:
            yield json.dumps({"row": work.rows[row], "notice": notice, "value": getattr(notice, "value", 0.0)})


def write_cell(
    job: Job, source: ClipSource, root: Path | str, *, options: Sequence[str] = (), size: int = BATCH
) -> writing.Written:
    """Writes a cell like `writing.write_cell`, the work done by Beam's runner.

    Args:
      job: what to write.
      source: the clean clips.
      root: folder of the corrupted set.
      options: Beam's options without their dashes, "runner=..." among them; by default the direct runner.
      size: clips in a batch.

    Raises:
      BadInput: the cell is there, or no clip is left. Whatever Beam raises for a worker that fails.
    """
    cell = job.cell
    temporary = writing.begin_cell(cell, root, source.ids)
    parts = temporary.with_name(f"{temporary.name}.parts")
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir()
    with apache_beam.Pipeline(options=pipeline_options(options)) as pipeline:
        lines = (
            pipeline
            | "Batches" >> apache_beam.Create(batches(source, size))
            | "Spread" >> apache_beam.Reshuffle()
            | "Corrupt" >> apache_beam.FlatMap(functools.partial(write_work, job, str(temporary)))
        )
        lines | "Digests" >> apache_beam.io.WriteToText(str(parts / "digests"), file_name_suffix=".jsonl")
    digests, notices, bad = _gather(parts, source.ids)
    record = writing.finish_cell(cell, root, source, digests, bank_of(job))
    shutil.rmtree(parts)
    return writing.Written(record, notices, bad)


def pipeline_options(options: Sequence[str]) -> PipelineOptions:
    """Beam's options from "name=value" and "name" texts."""
    return PipelineOptions([f"--{option}" for option in options])


def _gather(parts: Path, ids: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...], list[tuple[int, BadFile]]]:
    digests: dict[str, str] = {}
    notices: list[tuple[int, Notice]] = []
    bad: list[tuple[int, BadFile]] = []
    lines: list[dict[str, Any]] = []
    for path in sorted(parts.glob("*.jsonl")):
        lines += [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if "sha256" in line:
            digests[line["id"]] = line["sha256"]
        elif "reason" in line:
            bad.append((line["row"], BadFile(line["path"], line["reason"], line["kind"])))
        else:
            notices.append((line["row"], Notice(line["notice"], line["value"])))
    said = Said(SATURATED)
    said.add_all((ids[row], [notice]) for row, notice in sorted(notices))
    return digests, said.sentences(len(ids)), sorted(bad, key=lambda found: found[0])
