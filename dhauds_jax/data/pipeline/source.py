"""From files to the device: a split opened in memory or streamed, cut into batches, moved ahead of its use.

Only `open_split` of a set on disk and batches of a streamed one need TensorFlow; it is imported then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, Shaped

from dhauds_jax.data import sets
from dhauds_jax.data.audio import check_on_bad_file
from dhauds_jax.data.loading import load_split
from dhauds_jax.data.pipeline import tfrecord
from dhauds_jax.data.pipeline.decoding import Reading, read_clips, start_reading
from dhauds_jax.data.pipeline.tfrecord import Records
from dhauds_jax.data.sets.base import ClipRef, list_split
from dhauds_jax.errors import BadInput

MEMORY_BUDGET_MB = 4096
"""The most memory, in MiB, that an opened split takes unless told otherwise."""


class ClipSplit(NamedTuple):
    """A split of which any clips can be had at any time, as rows of one width.

    Attributes:
      ids: clip names.
      labels: int32 (clips,).
      lengths: int32 (clips,), samples of each row that are the clip's own.
      width: samples of a row.
      classes: class names.
      sample_rate: Hz.
      notices: what had to be done to the files, as sentences.
      skipped: (id, what is wrong with it) of every bad file that was left out.
      waves: (clips, width) in memory, int16 (float32 if it was made there); None for a streamed split.
      records: where the clips lie; None for a split in memory.
    """

    ids: tuple[str, ...]
    labels: np.ndarray
    lengths: np.ndarray
    width: int
    classes: tuple[str, ...]
    sample_rate: int
    notices: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    waves: np.ndarray | None = None
    records: Records | None = None


class ClipBatch(NamedTuple):
    """A batch of labelled clips.

    Attributes:
      wave: (batch, width) rows, int16 of a set on disk (`to_float` makes samples of them).
      lengths: (batch,) samples of each row that are the clip's own.
      labels: (batch,) class indices.
      weights: (batch,) 1 for a real row, 0 for a padded one.
      index: (batch,) position of each clip in the split.
    """

    wave: Array | np.ndarray
    lengths: Array | np.ndarray
    labels: Array | np.ndarray
    weights: Array | np.ndarray
    index: Array | np.ndarray


def open_split(
    dataset: str | sets.DataSet,
    data_dir: Path | str | None,
    split: str,
    *,
    sample_rate: int,
    width: int,
    resampler: str = "sinc",
    budget_mb: float = MEMORY_BUDGET_MB,
    cache_dir: Path | str | None = None,
    workers: int = 4,
    on_bad_file: str = "stop",
    allow_partial: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> ClipSplit:
    """Opens a split: in memory if it fits the budget, else prepared once as TFRecords and streamed from there.

    Files are read in parallel; each is mixed down, then resampled, then made int16, then laid out in a row: a shorter
    clip in the centre of silence (half of the missing samples, rounded down, before it), of a longer one the head. The
    rows are those of `loading.load_split` for 16-bit mono files at their own rate; others are rounded to 16 bits
    (`decoding.to_int16`: to the nearest, ties to even, saturating). Whether in memory or streamed, and with any number
    of workers, the bits are the same. A set that is made in memory stays as it is made, float32, whatever the budget.

    Args:
      dataset: name or record.
      data_dir: folder of the set; not used by sets that are made in memory.
      split: one of the set's splits.
      sample_rate: wanted rate in Hz.
      width: samples of a row.
      resampler: how files at another rate get there, see `data.resampling`.
      budget_mb: the most memory for the rows, in MiB (2 bytes a sample).
      cache_dir: where a split that does not fit is prepared.
      workers: files read at a time.
      on_bad_file: "stop" at the first bad file, or "skip" it and say so in `skipped`.
      allow_partial: go on when a list names absent files.
      seed: of a set that is made in memory.
      progress: show a progress bar.

    Raises:
      BadInput: unknown names, absent or bad files, a split that does not fit without a `cache_dir`.
    """
    dataset = sets.get(dataset, data_dir) if isinstance(dataset, str) else dataset
    check_on_bad_file(on_bad_file)
    if dataset.generate is not None:
        clips = load_split(
            dataset,
            None,
            split,
            sample_rate=sample_rate,
            length=width,
            resampler=resampler,
            seed=seed,
            progress=progress,
        )
        return from_arrays(*clips[:4], classes=clips.classes, sample_rate=sample_rate, notices=clips.notices)
    refs, notices = list_split(dataset, data_dir, split, allow_partial)
    needed_mb = len(refs) * width * 2 / 2**20
    what = f"{dataset.name} {split}"
    reading = {"resampler": resampler, "workers": workers, "on_bad_file": on_bad_file, "progress": progress}
    if needed_mb <= budget_mb:
        waves, found = _read_into_memory(refs, sample_rate, width, what=what, **reading)
        place, samples, said = {"waves": waves}, np.array(found.samples), found.notices(len(refs))
    elif cache_dir is None:
        raise BadInput(
            f"{what} takes {needed_mb:.0f} MiB and the budget is {budget_mb:g} MiB: raise --memory_budget_mb or give "
            f"--cache_dir, a folder to prepare it in"
        )
    else:
        found = tfrecord.prepare(dataset, split, refs, sample_rate=sample_rate, cache_dir=cache_dir, **reading)
        place, samples, said = {"records": found}, found.samples, found.notices
    refs = [refs[i] for i in found.kept]
    longer = int((samples > width).sum())
    heads = (f"{longer} of {len(refs)} clips are longer than {width} samples, their heads are kept",) if longer else ()
    return ClipSplit(
        ids=tuple(ref.id for ref in refs),
        labels=np.array([ref.label for ref in refs], np.int32),
        lengths=np.minimum(samples, width).astype(np.int32),
        width=width,
        classes=dataset.classes,
        sample_rate=sample_rate,
        notices=(*notices, *said, *heads),
        skipped=tuple(found.skipped),
        **place,
    )


def from_arrays(
    ids: Sequence[str],
    waves: Shaped[np.ndarray, "clips width"],
    labels: Int[np.ndarray, " clips"],
    lengths: Int[np.ndarray, " clips"],
    *,
    classes: Sequence[str],
    sample_rate: int,
    notices: tuple[str, ...] = (),
) -> ClipSplit:
    """A split that is in memory already, as int16 or float32 rows; arguments as the fields of `ClipSplit`."""
    lengths, labels = np.asarray(lengths, np.int32), np.asarray(labels, np.int32)
    return ClipSplit(
        tuple(ids), labels, lengths, waves.shape[1], tuple(classes), sample_rate, notices, waves=np.asarray(waves)
    )


def narrowed(source: ClipSplit, width: int) -> ClipSplit:
    """The same clips in rows of `width` samples, centred anew; `width` holds the longest clip.

    Raises:
      ValueError: it does not.
    """
    if width < source.lengths.max():
        raise ValueError(f"narrowed: width {width}, expected at least the longest clip's {source.lengths.max()}")
    if width == source.width or source.waves is None:
        return source._replace(width=width)
    waves = np.zeros((len(source.ids), width), source.waves.dtype)
    for row, wave, length in zip(waves, source.waves, source.lengths, strict=True):
        head, old_head = (width - length) // 2, (source.width - length) // 2
        row[head : head + length] = wave[old_head : old_head + length]
    return source._replace(width=width, waves=waves)


def memory_mb(source: ClipSplit) -> float:
    """What a source's rows take in memory, in MiB."""
    return 0.0 if source.waves is None else source.waves.nbytes / 2**20


def epoch_order(key: PRNGKeyArray, clips: int, epoch: int = 0) -> Int[np.ndarray, "{clips}"]:
    """The order of one pass, a permutation that follows from key and epoch alone; as `tta.protocols.stream_order`."""
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), clips))


def batches(
    source: ClipSplit,
    order: Int[np.ndarray, " clips"],
    batch_size: int,
    *,
    begin: int = 0,
    shard: tuple[int, int] = (0, 1),
    workers: int = 4,
) -> Iterator[ClipBatch]:
    """The batches of one pass, as numpy arrays; the last is filled up with its first clip at weight 0.

    Args:
      source: the split.
      order: positions of the clips in order of use; see `epoch_order`.
      batch_size: clips of a global batch.
      begin: batches left out at the start; what follows is as without it.
      shard: `(index, count)`: the process takes the index-th of `count` equal parts of every global batch.
      workers: batches read at a time from a streamed split.

    Raises:
      BadInput: a batch size that cannot be shared out, a shard that does not exist.
    """
    number, count = shard
    if not 0 <= number < count or batch_size < 1 or batch_size % count:
        raise BadInput(
            f"batches: shard {number} of {count} with batch_size {batch_size}, expected 0 <= shard < {count} and a "
            f"positive multiple of {count}"
        )
    steps = -(-len(order) // batch_size)
    mine = slice(number * batch_size // count, (number + 1) * batch_size // count)
    rows = np.empty((steps, batch_size), np.int64)
    rows[:] = order[::batch_size, None]
    rows.reshape(-1)[: len(order)] = order
    weights = (np.arange(steps * batch_size) < len(order)).astype(np.float32).reshape(rows.shape)
    return _read_batches(source, rows[begin:, mine], weights[begin:, mine], workers)


def _read_batches(source: ClipSplit, rows: np.ndarray, weights: np.ndarray, workers: int) -> Iterator[ClipBatch]:
    if source.waves is not None:
        waves = (source.waves[batch] for batch in rows)
    else:
        waves = tfrecord.stream(source.records, rows, source.width, workers)
    for wave, batch, weight in zip(waves, rows, weights, strict=True):
        yield ClipBatch(wave, source.lengths[batch], source.labels[batch], weight, batch.astype(np.int32))


def to_device(iterator: Iterator[Any], place: Callable[[Any], Any] | None = None) -> Iterator[Any]:
    """Moves batches to the device, one ahead of the one in use: it is read and copied while the device computes.

    Args:
      iterator: of pytrees of numpy arrays; what it raises is raised here, in its turn.
      place: brings a batch to the devices (None: to the default one).
    """

    def fetch() -> Any:
        batch = next(iterator, None)
        return None if batch is None else (place or jax.device_put)(batch)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(fetch)
        while (batch := ahead.result()) is not None:
            ahead = pool.submit(fetch)
            yield batch


@jax.jit
def _scaled(wave: Array) -> Array:
    return wave.astype(jnp.float32) * jnp.float32(2**-15)


def to_float(wave: Shaped[Array | np.ndarray, "*batch time"]) -> Float[Array, "*batch time"]:
    """Samples of int16 rows on the device, `x / 32768`, exact; float rows pass.

    A program of its own: within another one, the multiplication could be fused into an addition and round otherwise.
    """
    return _scaled(wave) if wave.dtype == jnp.int16 else jnp.asarray(wave)


def _read_into_memory(
    refs: Sequence[ClipRef], sample_rate: int, width: int, **options: Any
) -> tuple[np.ndarray, Reading]:
    """int16 rows (good clips, width), and what was found."""
    waves, reading = np.zeros((len(refs), width), np.int16), start_reading()
    for wave, row in zip(read_clips(refs, sample_rate, reading, **options), waves, strict=False):
        head = max(0, width - len(wave)) // 2
        row[head : head + len(wave)] = wave[:width]
    return waves[: len(reading.kept)], reading
