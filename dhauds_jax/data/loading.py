"""Loading a split into memory: read, resampled, laid out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import sets
from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.notices import Said
from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.data.sets.base import check_split, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.progress import progress_bar

_THREADS = 8


class Clips(NamedTuple):
    """A split in memory.

    Attributes:
      ids: clip names.
      waves: float32 (clips, length), each clip centred in zeros, or its head if it is longer.
      labels: int32 (clips,).
      lengths: int32 (clips,), samples of each row that are the clip's own.
      classes: class names.
      sample_rate: Hz.
      notices: what had to be done to the files, as sentences.
      skipped: (id, what is wrong with it) of every bad file that was left out.
    """

    ids: tuple[str, ...]
    waves: np.ndarray
    labels: np.ndarray
    lengths: np.ndarray
    classes: tuple[str, ...]
    sample_rate: int
    notices: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def load_split(
    dataset: str | sets.DataSet,
    data_dir: Path | str | None,
    split: str,
    *,
    sample_rate: int,
    length: int,
    resampler: str = "sinc",
    allow_partial: bool = False,
    on_bad_file: str = "stop",
    seed: int = 0,
    progress: bool = True,
) -> Clips:
    """Loads a split as one array.

    Args:
      dataset: name or record.
      data_dir: folder of the set; not used by sets that are made in memory.
      split: one of the set's splits.
      sample_rate: wanted rate in Hz (others are resampled, with a notice).
      length: wanted samples a clip (shorter clips are centred, longer ones cut, with a notice). For TST on sets with
        longer clips, load `length + length // 8` and let `corrupt` cut: a faster clip needs what comes after.
      resampler: how they are, see `data.resampling`.
      allow_partial: go on when a list names absent files.
      on_bad_file: "stop" at the first bad file, or "skip" the clip (see `Clips.skipped`); draws of the others stay.
      seed: of a set that is made in memory.
      progress: show a progress bar.

    Raises:
      BadInput: unknown names, missing folder, absent or bad files; with "skip" only if all files are bad.
    """
    check_on_bad_file(on_bad_file)
    dataset = sets.get(dataset, data_dir) if isinstance(dataset, str) else dataset
    check_split(dataset, split)
    skipped: tuple[tuple[str, str], ...] = ()
    if dataset.generate is not None:
        ids, read, labels, notices = _generate(dataset, split, seed, sample_rate, resampler)
    else:
        refs, notices = list_split(dataset, data_dir, split, allow_partial)
        what = f"{dataset.name} {split}"
        refs, read, said, skipped = _read_all(refs, sample_rate, resampler, what, progress, on_bad_file == "skip")
        ids, labels = tuple(ref.id for ref in refs), np.array([ref.label for ref in refs], np.int32)
        notices = (*notices, *said)
    longer = sum(len(wave) > length for wave in read)
    if longer:
        notices = (*notices, f"{longer} of {len(read)} clips are longer than {length} samples, their heads are kept")
    lengths = np.array([min(len(wave), length) for wave in read], np.int32)
    waves = np.stack([lay_out(wave, length) for wave in read])
    return Clips(ids, waves, labels, lengths, dataset.classes, sample_rate, notices, skipped)


def _generate(dataset: sets.DataSet, split: str, seed: int, sample_rate: int, resampler: str):
    made = dataset.generate(split, seed)
    if sample_rate == dataset.sample_rate:
        return made.ids, made.waves, made.labels, ()
    waves = [resample_wave(wave, dataset.sample_rate, sample_rate, resampler) for wave in made.waves]
    return made.ids, waves, made.labels, (f"resampled from {dataset.sample_rate} Hz to {sample_rate} Hz",)


def _read_all(
    refs: list[sets.ClipRef], sample_rate: int, resampler: str, what: str, progress: bool, skip: bool
) -> tuple[list[sets.ClipRef], list[np.ndarray], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Reads files in threads, in order: those that could be read, their waves, notices (equal ones counted), bad files.

    The first bad file stops it unless it shall `skip` them; then only a split of nothing else does.
    """
    kept, waves, skipped, notices = [], [], [], Said()

    def read(ref: sets.ClipRef) -> tuple[np.ndarray, tuple[str, ...]] | BadFile:
        try:
            return read_audio(ref.path, sample_rate, resampler)
        except BadFile as error:
            return error

    pool = ThreadPoolExecutor(_THREADS)
    try:
        results = progress_bar(pool.map(read, refs), total=len(refs), desc=what, unit="file", disable=not progress)
        for ref, result in zip(refs, results, strict=True):
            if isinstance(result, BadFile):
                if not skip:
                    result.skippable = True
                    raise result
                skipped.append((printable(ref.id), result.reason))
                continue
            kept.append(ref)
            waves.append(result[0])
            notices.add(ref.id, result[1])
    finally:
        pool.shutdown(cancel_futures=True)
    said = list(notices.sentences(len(refs)))
    if skipped:
        first = f"the first: {skipped[0][0]}: {skipped[0][1]}"
        if not kept:
            raise BadInput(f"all {len(refs)} files of {what} are bad ({first}); expected some that can be read")
        said.append(f"{len(skipped)} of {len(refs)} files are bad and were skipped ({first})")
    return kept, waves, tuple(said), tuple(skipped)
