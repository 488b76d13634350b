"""Making the cells of a corrupted set: clips read in slices, corrupted in fixed chunks, written as 16-bit wav files.

A clip's samples follow from the cell, its id and its own recording; slices, order and workers change no bit of them.
"""

from __future__ import annotations

import collections
import itertools
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int16

from dhauds_jax import schemas
from dhauds_jax.data.audio import BadFile
from dhauds_jax.data.clip_source import ClipSource, ReadClip
from dhauds_jax.data.corrupted import files
from dhauds_jax.data.corrupted.cell import CellSpec, cell_folder, content_of, identity
from dhauds_jax.data.corrupted.layouts import file_name
from dhauds_jax.data.corruptions import CHUNK, checksum, corrupt, draw_clips, made_with, records
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.notices import SATURATED, Said
from dhauds_jax.data.pipeline import to_int16
from dhauds_jax.data.sets.base import check_inside, draw_name
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable, sync
from dhauds_jax.processors import available_cores
from dhauds_jax.progress import progress_bar

SLICE_BYTES = 128 << 20
"""Float samples of one slice (bytes): what bounds the memory of a set of any size."""
THREADS = available_cores()


class Slice(NamedTuple):
    """Corrupted clips: rows of the source, int16 (clips, length) samples, each row's notices, files left out."""

    rows: list[int]
    samples: np.ndarray
    notices: list[tuple[int, tuple[str, ...]]]
    bad: list[tuple[int, BadFile]]


class Written(NamedTuple):
    """A finished cell: its record (`cell.json`), what must be said of files, bad files that were left out."""

    record: dict[str, Any]
    notices: tuple[str, ...]
    bad: list[tuple[int, BadFile]]


def corrupt_clips(
    cell: CellSpec, waves: Sequence[np.ndarray], ids: Sequence[str], bank: NoiseBank | None
) -> Int16[np.ndarray, "clips length"]:
    """Corrupts whole recordings; the result as 16-bit integers, times 32768, rounded, saturating.

    Args:
      cell: what to do.
      waves: float32 (time,) each, at the set's rate.
      ids: their names.
      bank: recordings of the noise corruptions.
    """
    lengths = np.array([len(wave) for wave in waves])
    rows = np.stack([lay_out(wave, int(lengths.max())) for wave in waves])
    corrupted, _ = corrupt(
        rows,
        ids,
        dataset=cell.dataset,
        corruption=cell.corruption,
        level=cell.level,
        seed=cell.seed,
        profile=cell.profile,
        bank=bank,
        sample_rate=cell.dataset.sample_rate,
        length=cell.length,
        lengths=lengths,
    )
    samples = np.empty(corrupted.shape, np.int16)
    for row, wave in enumerate(corrupted):  # one by one: a whole slice would be held three times more
        samples[row] = to_int16(wave)
    return samples


def slice_clips(cell: CellSpec, slice_bytes: int = SLICE_BYTES) -> int:
    """Clips in a slice: as many whole chunks as fit, at least four."""
    return max(4, slice_bytes // (4 * cell.length * CHUNK)) * CHUNK


def corrupted_slices(
    cell: CellSpec, source: ClipSource, bank: NoiseBank | None, *, clips: int | None = None, threads: int = THREADS
) -> Iterator[Slice]:
    """Corrupts a split slice by slice; the next slice is read while one is computed.

    Args:
      cell: what to do.
      source: the split.
      bank: recordings of the noise corruptions.
      clips: clips in a slice (None: `slice_clips`).
      threads: files read at a time.

    Raises:
      BadFile: a file that cannot be used, if the source stops at it.
    """
    size = clips or slice_clips(cell)
    pool = ThreadPoolExecutor(threads)
    waiting: collections.deque[list[tuple[int, Future[ReadClip]]]] = collections.deque()
    try:
        for first in range(0, len(source.ids), size):
            rows = range(first, min(first + size, len(source.ids)))
            waiting.append([(row, pool.submit(source.read, row)) for row in rows])
            if len(waiting) > 1:
                yield _corrupt_slice(cell, source, bank, waiting.popleft())
        while waiting:
            yield _corrupt_slice(cell, source, bank, waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _corrupt_slice(
    cell: CellSpec, source: ClipSource, bank: NoiseBank | None, asked: list[tuple[int, Future[ReadClip]]]
) -> Slice:
    """Waits for the clips asked for and corrupts them; nothing of them is held when it is done."""
    found = [(row, future.result()) for row, future in asked]
    asked.clear()
    good = [(row, clip.wave) for row, clip in found if clip.bad is None]
    bad = [(row, clip.bad) for row, clip in found if clip.bad is not None]
    notices = [(row, clip.notices) for row, clip in found if clip.notices]
    rows = [row for row, _ in good]
    if not good:
        return Slice(rows, np.zeros((0, cell.length), np.int16), notices, bad)
    samples = corrupt_clips(cell, [wave for _, wave in good], [source.ids[row] for row in rows], bank)
    return Slice(rows, samples, notices, bad)


def write_cell(
    cell: CellSpec,
    source: ClipSource,
    bank: NoiseBank | None,
    root: Path | str,
    *,
    clips: int | None = None,
    threads: int = THREADS,
    progress: bool = True,
) -> Written:
    """Writes a cell under a temporary name and renames it, so that a cell that is there is whole.

    Args:
      cell: what to write.
      source: the clean clips.
      bank: recordings of the noise corruptions.
      root: folder of the corrupted set.
      clips: clips in a slice.
      threads: files read and written at a time.
      progress: show a progress bar.

    Raises:
      BadFile: a file that cannot be used, if the source stops at it. BadInput: no clip is left, the cell is there.
    """
    temporary = begin_cell(cell, root, source.ids)
    digests: dict[str, str] = {}
    said = Said(SATURATED)
    bad: list[tuple[int, BadFile]] = []
    title = f"{cell.corruption}-{cell.level}"
    with (
        ThreadPoolExecutor(threads) as pool,
        progress_bar(total=len(source.ids), desc=title, unit="clip", whole=True, disable=not progress) as bar,
    ):
        for piece in corrupted_slices(cell, source, bank, clips=clips, threads=threads):
            ids = [source.ids[row] for row in piece.rows]
            paths = [temporary / file_name(clip_id) for clip_id in ids]
            rates = itertools.repeat(cell.dataset.sample_rate)
            digests |= zip(ids, pool.map(files.write, paths, piece.samples, rates), strict=True)
            said.add_all((source.ids[row], notices) for row, notices in piece.notices)
            bad += piece.bad
            bar.update(len(piece.rows) + len(piece.bad))
    notices = (*said.sentences(len(source.ids)), *(bank.later_notices() if bank else ()))
    return Written(finish_cell(cell, root, source, digests, bank), notices, bad)


def begin_cell(cell: CellSpec, root: Path | str, ids: Sequence[str]) -> Path:
    """Makes the folders of a cell anew under its temporary name; what a killed run left there is removed.

    Raises:
      BadInput: the cell is there already, or two clips would be one file of it.
    """
    folder = cell_folder(cell, root)
    if folder.exists():
        raise BadInput(f"{folder}: is there already, expected it to be made by one command at a time")
    first: dict[Any, str] = {}
    check_inside(ids, cell.dataset.name)
    for clip_id in ids:
        if (other := first.setdefault(file_name(clip_id), clip_id)) != clip_id:
            both = f"{printable(other)} and {printable(clip_id)}"
            raise BadInput(f"{both} would both be written to {printable(file_name(clip_id))}; rename one of them")
    temporary = folder.with_name(f"{folder.name}.tmp")
    if temporary.is_symlink():
        temporary.unlink()  # nothing is written through a link
    shutil.rmtree(temporary, ignore_errors=True)
    for parent in {(temporary / file_name(clip_id)).parent for clip_id in ids} | {temporary}:
        parent.mkdir(parents=True, exist_ok=True)
    return temporary


def finish_cell(
    cell: CellSpec,
    root: Path | str,
    source: ClipSource,
    digests: Mapping[str, str],
    bank: NoiseBank | None,
) -> dict[str, Any]:
    """Writes `manifest.jsonl` (a line a clip, its draw included) and `cell.json`, renames the cell; returns its record.

    Args:
      cell: what was written.
      root: folder of the corrupted set.
      source: the clean clips.
      digests: SHA-256 of the samples of each clip that was written, by id.
      bank: recordings of the noise corruptions.

    Raises:
      BadInput: no clip was written.
    """
    ids, labels = source.ids, source.labels
    rows = [row for row, clip_id in enumerate(ids) if clip_id in digests]
    if not rows:
        raise BadInput(f"{cell.corruption}-{cell.level}: no clip of {cell.dataset.name} can be used")
    kept = [ids[row] for row in rows]
    entries, draws_checksum = drawn(cell, kept, bank)
    lines = [
        {
            **entry,
            "file": str(file_name(clip_id)),
            "class": cell.dataset.classes[labels[row]],
            "seed": cell.seed,
            "profile": cell.profile,
            "sha256": digests[clip_id],
        }
        for row, clip_id, entry in zip(rows, kept, entries, strict=True)
    ]
    versions = made_with(cell.corruption)
    record = {
        **identity(cell),
        "content": content_of(cell, source, bank),
        "clips": len(rows),
        "left_out": [clip_id for clip_id in ids if clip_id not in digests],
        "sample_rate": cell.dataset.sample_rate,
        "length": cell.length,
        "draws_sha256": draws_checksum,
        "samples_sha256": files.samples_checksum(digests),
        "machine": f"{platform.system()} {platform.machine()}",
        **({"made_with": dict(versions)} if versions else {}),
    }
    folder = cell_folder(cell, root)
    temporary = folder.with_name(f"{folder.name}.tmp")
    (temporary / files.MANIFEST).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (temporary / files.RECORD).write_text(json.dumps({**schemas.stamp(files.SCHEMA), **record}, indent=1) + "\n")
    sync(temporary)
    os.rename(temporary, folder)
    return record


def drawn(cell: CellSpec, ids: Sequence[str], bank: NoiseBank | None) -> tuple[list[dict[str, Any]], str]:
    """The draws of a cell's clips as records, and their checksum."""
    made = draw_clips(
        ids,
        bank,
        dataset=draw_name(cell.dataset),
        corruption=cell.corruption,
        level=cell.level,
        seed=cell.seed,
        profile=cell.profile,
        length=cell.length,
        stretch_both_ways=cell.dataset.order.stretch_both_ways,
    )
    names = {"corruption": cell.corruption, "level": cell.level}
    entries = records(ids, made, **names, noise_names=bank.names if bank else ())
    return entries, checksum(ids, made, **names)
