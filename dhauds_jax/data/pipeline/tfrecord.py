"""Prepared sets: a split's clips as TFDS TFRecords in a cache folder, read at random by their place in the files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int16

from dhauds_jax.arrays import read_npz
from dhauds_jax.data.pipeline.decoding import read_clips, start_reading, tensorflow
from dhauds_jax.data.sets.base import ClipRef, DataSet
from dhauds_jax.errors import BadInput
from dhauds_jax.files import sync, temporary_beside

CLIPS_PER_FILE = 4096
_INDEX = "index.npz"
_PENDING_BYTES = 4 << 20  # written at once: after every call the writer writes all of TFDS's descriptions anew
_FRAME = (12, 4)  # bytes before a record (its length and that one's checksum) and after it (its own checksum)


class Records(NamedTuple):
    """A prepared split.

    Attributes:
      folder: where it lies; TFDS reads it too (`tfds.builder_from_directory`).
      files: the TFRecord files.
      file_number: (clips,) which of the files a clip lies in.
      offset: (clips,) where its samples begin in that file, in bytes.
      samples: (clips,) how many there are.
      kept: (clips,) positions of the clips in the list that was given; bad files are left out.
      notices: what had to be done to the files, as sentences.
      skipped: (id, what is wrong with it) of every bad file that was left out.
    """

    folder: Path
    files: tuple[Path, ...]
    file_number: np.ndarray
    offset: np.ndarray
    samples: np.ndarray
    kept: np.ndarray
    notices: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def prepare(
    dataset: DataSet,
    split: str,
    refs: Sequence[ClipRef],
    *,
    sample_rate: int,
    cache_dir: Path | str,
    resampler: str = "sinc",
    workers: int = 4,
    on_bad_file: str = "stop",
    progress: bool = True,
) -> Records:
    """Writes a split's clips into `cache_dir`, or finds them there.

    Clips are stored whole: mixed down, resampled, int16, in the order of the list. The folder's name has a checksum of
    names, sizes and times of change of all files, so another copy or a mended file is prepared anew. It is written
    under a temporary name and renamed: a run that was killed leaves nothing that could pass for a prepared set.

    Args:
      dataset: the set.
      split: its name.
      refs: its clips.
      sample_rate: Hz.
      cache_dir: folder of prepared sets.
      resampler: see `data.resampling`.
      workers: files read at a time.
      on_bad_file: "stop" or "skip", as `decode_files`.
      progress: show a progress bar.

    Raises:
      BadFile: a file that cannot be used. BadInput: none is left.
    """
    folder = Path(cache_dir).resolve() / _folder_name(dataset, split, refs, sample_rate, on_bad_file, resampler)
    found = _load(folder)
    if found is not None:
        return found
    temporary = temporary_beside(folder)
    temporary.mkdir(parents=True)
    try:
        said = _write(temporary, dataset, split, refs, sample_rate, resampler, workers, on_bad_file, progress)
        files = sorted(path.name for path in temporary.glob("*.tfrecord-*"))
        sizes = [(temporary / name).stat().st_size for name in files]
        np.savez(temporary / _INDEX, files=files, sizes=sizes, **_scan([temporary / f for f in files]), **said)
        if _load(folder) is None:  # another run may have been quicker
            shutil.rmtree(folder, ignore_errors=True)
            sync(temporary)
            os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _load(folder)


def read_rows(records: Records, rows: Int[np.ndarray, " rows"], width: int) -> Int16[np.ndarray, "rows {width}"]:
    """Clips by position, centred in `width` samples of silence; of longer ones the head.

    Only the samples asked for are read, each file is opened once.

    Raises:
      BadInput: a file ends too early.
    """
    out = np.zeros((len(rows), width), np.int16)
    for number in np.unique(records.file_number[rows]):
        path = records.files[number]
        with path.open("rb", buffering=0) as file:
            for i in np.flatnonzero(records.file_number[rows] == number):
                samples = int(records.samples[rows[i]])
                head = max(0, width - samples) // 2
                part = out[i, head : head + samples]
                file.seek(int(records.offset[rows[i]]))
                if file.readinto(part) != part.nbytes:
                    raise BadInput(f"{path}: ends before clip {rows[i]}, expected what was prepared; remove its folder")
    return out


def stream(
    records: Records, batches: Int[np.ndarray, "steps rows"], width: int, workers: int = 4
) -> Iterator[Int16[np.ndarray, "rows {width}"]]:
    """Batches of `read_rows`, several at a time, in order; nothing depends on the number of workers.

    Args:
      records: the prepared split.
      batches: positions of the clips of each batch.
      width: samples of a row.
      workers: batches read at a time.
    """
    tf = tensorflow()
    read = tf.data.Dataset.from_tensor_slices(np.asarray(batches, np.int64)).map(
        lambda rows: tf.numpy_function(lambda r: read_rows(records, r, width), [rows], tf.int16),
        num_parallel_calls=workers,
        deterministic=True,
    )
    yield from read.as_numpy_iterator()


def listing_state(refs: Iterable[ClipRef]) -> Iterator[bytes]:
    """What tells copies of the same clips apart without reading them: id, label, size and time of change of each."""
    for ref in refs:
        stat = ref.path.stat() if ref.path.is_file() else None
        state = (stat.st_size, stat.st_mtime_ns) if stat else ()
        yield repr((ref.id, ref.label, *state)).encode()


def _folder_name(
    dataset: DataSet, split: str, refs: Sequence[ClipRef], sample_rate: int, on_bad_file: str, resampler: str
) -> str:
    other = [] if resampler == "sinc" else [resampler]  # what was prepared before there was a choice is found again
    digest = hashlib.sha256(json.dumps([dataset.name, dataset.classes, on_bad_file, *other]).encode())
    for state in listing_state(refs):
        digest.update(state)
    return f"{dataset.name.replace('/', '-')}-{split}-{sample_rate}-{digest.hexdigest()[:12]}"


def _write(
    folder: Path,
    dataset: DataSet,
    split: str,
    refs: Sequence[ClipRef],
    sample_rate: int,
    resampler: str,
    workers: int,
    on_bad_file: str,
    progress: bool,
) -> dict[str, np.ndarray]:
    """Writes the records in the order of `refs`, a few clips at a time; TFDS's own writer would hold a gigabyte."""
    import tensorflow_datasets as tfds

    from dhauds_jax.data.pipeline import builders

    name = dataset.name.replace("/", "_")
    identity = tfds.core.dataset_info.DatasetIdentity(name, tfds.core.Version("1.0.0"), str(folder), __name__)
    info = tfds.core.DatasetInfo(builder=identity, features=builders.features(dataset), disable_shuffling=True)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=CLIPS_PER_FILE)
    stored = builders.split_name(split)
    writer.initialize_splits([stored])
    reading = start_reading()
    what = f"{dataset.name} {split}"
    options = {
        "what": what,
        "resampler": resampler,
        "workers": workers,
        "on_bad_file": on_bad_file,
        "progress": progress,
    }
    pending: list[dict[str, Any]] = []
    for wave in read_clips(refs, sample_rate, reading, **options):
        pending.append(builders.example(dataset, refs[reading.kept[-1]], wave))
        if sum(one["audio"].nbytes for one in pending) > _PENDING_BYTES:
            writer.add_examples({stored: pending})
            pending = []
    writer.add_examples({stored: pending})
    writer.close_splits([stored])
    return {
        "kept": np.array(reading.kept),
        "notices": np.array(reading.notices(len(refs)), np.str_),
        "skipped": np.array(reading.skipped, np.str_).reshape(-1, 2),
    }


def _scan(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """Where each clip's samples lie; reads every record once, checksums included."""
    tf = tensorflow()
    rows = []
    for number, path in enumerate(files):
        position = 0
        for record in tf.data.TFRecordDataset([str(path)]).as_numpy_iterator():
            audio = tf.train.Example.FromString(record).features.feature["audio"].bytes_list.value[0]
            # The bytes are stored as they are; wherever they are found, they are the same.
            rows.append((number, position + _FRAME[0] + record.index(audio), len(audio) // 2))
            position += sum(_FRAME) + len(record)
    file_number, offset, samples = np.array(rows, np.int64).T
    return {"file_number": file_number, "offset": offset, "samples": samples}


def _load(folder: Path) -> Records | None:
    """The prepared split in a folder; None if there is none, or its files are not as they were written."""
    if not (folder / _INDEX).is_file():
        return None
    try:
        index = read_npz(folder / _INDEX, _ARRAYS, "an index")
    except BadInput:  # damaged: the split is prepared anew
        return None
    if not _fits(index):
        return None
    files = tuple(folder / Path(name).name for name in index["files"])
    sizes = [path.stat().st_size if path.is_file() else -1 for path in files]
    if sizes != index["sizes"].tolist():
        return None
    arrays = (index[name] for name in _PLACES)
    return Records(
        folder, files, *arrays, tuple(index["notices"].tolist()), tuple(map(tuple, index["skipped"].tolist()))
    )


_PLACES = ("file_number", "offset", "samples", "kept")
_ARRAYS = ("files", "sizes", *_PLACES, "notices", "skipped")


def _fits(index: Mapping[str, np.ndarray]) -> bool:
    """Whether the arrays of an index are of the types that are written, and their places lie within the files."""
    files, sizes, *places = (index[name] for name in _ARRAYS[:6])
    number, offset, samples, kept = places
    whole = all(array.ndim == 1 and array.dtype.kind in "iu" for array in (sizes, *places))
    texts = all(index[name].dtype.kind == "U" for name in ("files", "notices", "skipped"))
    if not whole or not texts or files.ndim != 1 or index["skipped"].ndim != 2:
        return False
    if len({len(array) for array in places}) > 1 or len(files) != len(sizes):
        return False
    if not len(number):
        return True
    inside = number.min() >= 0 and number.max() < len(files) and min(offset.min(), samples.min(), kept.min()) >= 0
    return bool(inside and (offset.astype(float) + 2.0 * samples <= sizes[number]).all())
