"""Comparing the files of a corrupted set's cells with what they should hold."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16

from dhauds_jax.data import walking
from dhauds_jax.data.clip_source import ClipSource
from dhauds_jax.data.corrupted.cell import CellSpec, cell_folder
from dhauds_jax.data.corrupted.files import (
    MANIFEST,
    RECORD,
    Difference,
    digest,
    read_manifest,
    read_record,
    read_samples,
    samples_checksum,
)
from dhauds_jax.data.corrupted.layouts import file_name
from dhauds_jax.data.corrupted.writing import corrupted_slices
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.errors import BadInput
from dhauds_jax.processors import available_cores
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted

THREADS = available_cores()


def compare(path: Path, sample_rate: int, length: int, expected: Int16[np.ndarray, " time"] | str) -> Difference | None:
    """Compares a file with samples or with their digest; None when they are equal."""
    found = read_samples(path, sample_rate, length)
    if isinstance(found, Difference):
        return found
    if isinstance(expected, str):
        return None if digest(found) == expected else Difference(path.name, "has other samples than its checksum says")
    steps = np.abs(found.astype(np.int32) - expected)
    if not steps.any():
        return None
    most = int(steps.max())
    reason = f"differs in {int((steps > 0).sum())} of {length} samples, by up to {counted(most, 'step')} of 16 bit"
    return Difference(path.name, reason, most)


def unlisted(folder: Path, files: Iterable[str]) -> list[Difference]:
    """The wav files below a cell's folder that are not among `files` (relative paths)."""
    there = walking.below(folder, lambda name: name.endswith(".wav")).files
    found = {path.relative_to(folder).as_posix() for path in there}
    return [Difference(name, "belongs to no clip of the list") for name in sorted(found - set(files))]


def verify_checksums(folder: Path, *, threads: int = THREADS, progress: bool = True) -> list[Difference]:
    """Compares the files of a cell with the checksums that were stored when it was written.

    Args:
      folder: the cell.
      threads: files read at a time.
      progress: show a progress bar.

    Returns:
      What differs, in the order of the manifest; a changed manifest comes first.

    Raises:
      BadInput: the cell has no manifest or no record.
    """
    entries, record = read_manifest(folder), read_record(folder)
    if record is None:
        raise BadInput(f"{folder / RECORD}: no such file, expected a cell that experiments.corrupt has written")
    differences = []
    if samples_checksum({entry["id"]: entry["sha256"] for entry in entries}) != record["samples_sha256"]:
        differences.append(Difference(MANIFEST, f"is not the one that {RECORD} was written with"))

    def check(entry: dict[str, Any]) -> Difference | None:
        found = compare(folder / entry["file"], record["sample_rate"], record["length"], entry["sha256"])
        return found and found._replace(file=entry["file"])

    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(check, entries)
        title = f"verify {record['corruption']}-{record['level']}"
        results = progress_bar(results, total=len(entries), desc=title, unit="file", disable=not progress)
        differences += [found for found in results if found]
    return differences + unlisted(folder, {entry["file"] for entry in entries})


def verify_samples(
    cell: CellSpec,
    source: ClipSource,
    bank: NoiseBank | None,
    root: Path | str,
    *,
    clips: int | None = None,
    threads: int = THREADS,
    progress: bool = True,
) -> list[Difference]:
    """Makes every clip of a cell again and compares it with its file, sample by sample.

    Args:
      cell: what the files should be.
      source: the clean clips.
      bank: recordings of the noise corruptions.
      root: folder of the corrupted set.
      clips: clips in a slice.
      threads: files read at a time.
      progress: show a progress bar.

    Returns:
      What differs, in the order of the clips.

    Raises:
      BadFile: a clean file that cannot be used, if the source stops at it.
    """
    folder = cell_folder(cell, root)
    differences = []

    def check(clip_id: str, samples: Int16[np.ndarray, " time"]) -> Difference | None:
        file = file_name(clip_id)
        found = compare(folder / file, cell.dataset.sample_rate, cell.length, samples)
        return found and found._replace(file=str(file))

    title = f"verify {cell.corruption}-{cell.level}"
    with (
        ThreadPoolExecutor(threads) as pool,
        progress_bar(total=len(source.ids), desc=title, unit="clip", whole=True, disable=not progress) as bar,
    ):
        for piece in corrupted_slices(cell, source, bank, clips=clips, threads=threads):
            results = pool.map(check, [source.ids[row] for row in piece.rows], piece.samples)
            differences += [found for found in results if found]
            bar.update(len(piece.rows) + len(piece.bad))
    return differences + unlisted(folder, [str(file_name(clip_id)) for clip_id in source.ids])
