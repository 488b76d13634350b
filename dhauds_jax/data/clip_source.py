"""The clips of a split, read one by one when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.sets.base import DataSet, check_split, list_split


class ReadClip(NamedTuple):
    """A recording as it was read: float32 (time,) wave, what had to be done to it; `bad` if it cannot be used."""

    wave: np.ndarray
    notices: tuple[str, ...] = ()
    bad: BadFile | None = None


class ClipSource(NamedTuple):
    """The clips of a split, each read when it is wanted.

    Attributes:
      ids: clip names.
      labels: int32 (clips,).
      read: `row -> ReadClip`, whole recordings at the set's own rate; safe to call from threads.
      notices: what must be said of the copy.
      paths: the files, in the same order; None for a set that is made in memory.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    read: Callable[[int], ReadClip]
    notices: tuple[str, ...] = ()
    paths: tuple[Path, ...] | None = None


def open_clips(
    dataset: DataSet,
    data_dir: Path | str | None,
    split: str,
    *,
    allow_partial: bool = False,
    on_bad_file: str = "stop",
    seed: int = 0,
) -> ClipSource:
    """Lists a split for reading clip by clip.

    Args:
      dataset: the set.
      data_dir: its folder; not used by sets that are made in memory.
      split: one of its splits.
      allow_partial: go on when a list names absent files.
      on_bad_file: "stop" raises at a file that cannot be used, "skip" hands it back as bad.
      seed: of a set that is made in memory.

    Raises:
      BadInput: unknown names, missing folder, absent files.
    """
    check_split(dataset, split)
    check_on_bad_file(on_bad_file)
    if dataset.generate is not None:
        made = dataset.generate(split, seed)
        return ClipSource(made.ids, made.labels, lambda row: ReadClip(made.waves[row]))
    refs, notices = list_split(dataset, data_dir, split, allow_partial)
    ids, paths = tuple(ref.id for ref in refs), tuple(ref.path for ref in refs)
    read = file_reader(paths, dataset.sample_rate, on_bad_file)
    return ClipSource(ids, np.array([ref.label for ref in refs], np.int32), read, notices, paths)


def file_reader(paths: Sequence[Path], sample_rate: int, on_bad_file: str) -> Callable[[int], ReadClip]:
    """`row -> ReadClip` of a list of files at `sample_rate` Hz."""

    def read(row: int) -> ReadClip:
        try:
            return ReadClip(*read_audio(paths[row], sample_rate))
        except BadFile as error:
            if on_bad_file == "stop":
                error.skippable = True
                raise
            return ReadClip(np.zeros(0, np.float32), bad=error)

    return read
