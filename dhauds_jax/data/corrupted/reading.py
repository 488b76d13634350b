"""Listing and loading the cells of corrupted ("-C") sets on disk.

The published archives (SpeechCommandsV2-C, VocalSound-C, ReefSet-C, UrbanSound8K-C) and what `experiments.corrupt`
writes have the same layouts, so one loader serves both.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from dhauds_jax.data.audio import read_audio
from dhauds_jax.data.corrupted.layouts import cell_path, file_name, layout_of
from dhauds_jax.data.corruptions import LEVELS
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.loading import Clips
from dhauds_jax.data.notices import Said
from dhauds_jax.data.sets.base import ClipRef, DataSet, check_inside, find_root
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput
from dhauds_jax.processors import available_cores
from dhauds_jax.progress import progress_bar

THREADS = available_cores()


def find(dataset: DataSet, root: Path | str | None, split: str = "test") -> Path:
    """The folder of a corrupted set from itself or its parent; raises `BadInput` when it is neither."""
    layout = layout_of(dataset, split)
    return find_root(root, (layout.folder, f"{layout.folder}/{layout.folder}"), layout.manifest, layout.folder)


def list_cell(
    dataset: DataSet,
    root: Path | str | None,
    corruption: str,
    level: str,
    *,
    split: str = "test",
    allow_partial: bool = False,
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a cell of a published archive or of one made here, in the order of its list.

    Ids are the clean set's and labels those of the list, so draws and labels line up with the clean clips.

    Args:
      dataset: the clean set.
      root: the corrupted set's folder (with its lists), or its parent.
      corruption: its name.
      level: its level's.
      split: the split that was corrupted; only test splits are published.
      allow_partial: go on when the list names absent files.

    Returns:
      `(refs, notices)`.

    Raises:
      BadInput: unknown names, a missing folder, list or cell, absent files.
    """
    layout = layout_of(dataset, split)
    cell = cell_path(layout, corruption, level)
    folder = find(dataset, root, split)
    if not (folder / cell).is_dir():
        there = [f"{c}-{v}" for c in layout.corruptions for v in LEVELS if (folder / cell_path(layout, c, v)).is_dir()]
        raise BadInput(f"{folder}: no folder {cell}, the cells there are: {', '.join(there) or 'none'}")
    clips = layout.clips(dataset, folder)
    check_inside((clip_id for clip_id, _ in clips), str(folder / layout.manifest))
    refs = [ClipRef(clip_id, folder / cell / file_name(clip_id), label) for clip_id, label in clips]
    return check_present(refs, folder / layout.manifest, allow_partial)


def load_cell(
    dataset: DataSet,
    root: Path | str | None,
    corruption: str,
    level: str,
    *,
    sample_rate: int,
    length: int,
    layout: str = "centre",
    resampler: str = "sinc",
    split: str = "test",
    allow_partial: bool = False,
    progress: bool = True,
) -> Clips:
    """Loads a cell of a corrupted set for a classifier: resampled, then cut at the head to its length.

    That is how the published numbers are measured: UrbanSound8K-C comes at 44.1 kHz, and the stretched clips of it and
    of ReefSet-C are longer than the classifier's.

    Args:
      dataset: the clean set.
      root: the corrupted set's folder, or its parent.
      corruption: its name.
      level: its level's.
      sample_rate: wanted rate in Hz.
      length: wanted samples a clip.
      layout: what becomes of shorter ones, see `lay_out`.
      resampler: see `data.resampling`.
      split: the split that was corrupted.
      allow_partial: go on when the list names absent files.
      progress: show a progress bar.

    Raises:
      BadInput: unknown names, a missing folder, list or cell, absent or bad files.

    Source: DHAuDS, */analysis.py.
    """
    refs, notices = list_cell(dataset, root, corruption, level, split=split, allow_partial=allow_partial)
    waves = np.zeros((len(refs), length), np.float32)
    lengths = np.zeros(len(refs), np.int32)
    said = Said()
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(lambda ref: read_audio(ref.path, sample_rate, resampler), refs)
        bar = progress_bar(results, total=len(refs), desc=f"{corruption}-{level}", unit="file", disable=not progress)
        for row, (wave, told) in enumerate(bar):
            waves[row], lengths[row] = lay_out(wave, length, layout=layout), min(len(wave), length)
            head = (f"longer than {length} samples, the head is kept",) if len(wave) > length else ()
            said.add(refs[row].id, (*told, *head))
    notices = (*notices, *said.sentences(len(refs)))
    labels = np.array([ref.label for ref in refs], np.int32)
    return Clips(tuple(ref.id for ref in refs), waves, labels, lengths, dataset.classes, sample_rate, notices)
