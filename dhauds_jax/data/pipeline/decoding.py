"""Reading many audio files at once, in order, as int16; and TensorFlow, imported when something is streamed."""

from __future__ import annotations

import importlib.util
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.notices import CUT, Said
from dhauds_jax.data.sets.base import ClipRef
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.progress import progress_bar


class DecodedFile(NamedTuple):
    """A file of a list: int16 (time,) wave, what had to be done to it; `bad` if it could not be read (no wave then)."""

    wave: np.ndarray
    notices: tuple[str, ...]
    bad: BadFile | None = None


def available() -> bool:
    """Whether TensorFlow and TensorFlow Datasets are installed."""
    return all(importlib.util.find_spec(name) for name in ("tensorflow", "tensorflow_datasets"))


def tensorflow() -> Any:
    """TensorFlow, with all GPUs hidden from it: it would take their memory away from JAX.

    Raises:
      BadInput: it is not installed, or somebody has let it use a GPU before.
    """
    if not available():
        raise BadInput("tensorflow and tensorflow_datasets are not installed, expected: pip install dhauds_jax[data]")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import tensorflow as tf

    if not tf.config.get_visible_devices("GPU"):
        return tf
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise BadInput(
            "TensorFlow has taken a GPU already, expected tf.config.set_visible_devices([], 'GPU') before its first use"
        ) from error
    return tf


def to_int16(wave: Float[np.ndarray, "*batch time"]) -> Int16[np.ndarray, "*batch time"]:
    """Samples as 16-bit integers, `x * 32768` rounded to the nearest (ties to even), saturating at -32768 and 32767.

    Exact for what was read from 16-bit files at their own rate; resampled, mixed-down, 24-bit and float samples move by
    up to half a step (2^-16), and those beyond [-1, 1) are cut.

    Args:
      wave: float32 samples.
    """
    return np.clip(np.rint(wave * np.float32(32768)), -32768, 32767).astype(np.int16)


def decode_files(
    paths: Sequence[Path],
    sample_rate: int,
    *,
    resampler: str = "sinc",
    workers: int = 4,
    on_bad_file: str = "stop",
) -> Iterator[DecodedFile]:
    """Reads files in parallel and yields them in order: mixed down to one channel, then resampled, then int16.

    Nothing depends on the number of workers, and no more than about as many files are held at a time.

    Args:
      paths: the files.
      sample_rate: wanted rate in Hz.
      resampler: see `data.resampling`.
      workers: files read at a time.
      on_bad_file: "stop" raises at the first bad file of the list, "skip" yields it with `bad` set.

    Raises:
      BadFile: a file that cannot be used, with "stop". BadInput: an unknown `on_bad_file`.
    """
    check_on_bad_file(on_bad_file)

    def read(path: Path) -> DecodedFile:
        try:
            wave, notices = read_audio(path, sample_rate, resampler)
        except BadFile as bad:
            if on_bad_file == "stop":
                bad.skippable = True
                raise
            return DecodedFile(np.zeros(0, np.int16), (), bad)
        return DecodedFile(to_int16(wave), tuple(notices))

    yield from _in_order(read, paths, workers)


def _in_order(read: Callable[[Path], DecodedFile], paths: Sequence[Path], workers: int) -> Iterator[DecodedFile]:
    """What `read` gives of each path, from as many threads; no more than `workers` wait to be taken."""
    ahead: deque[Future[DecodedFile]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for path in paths:
                if len(ahead) == workers:
                    yield ahead.popleft().result()
                ahead.append(pool.submit(read, path))
            while ahead:
                yield ahead.popleft().result()
        finally:  # also when whoever reads has had enough
            for waiting in ahead:
                waiting.cancel()


class Reading(NamedTuple):
    """What was found while a split was read; filled as `read_clips` goes along.

    Attributes:
      kept: positions of the good clips in the list.
      samples: how long each of them is.
      said: what had to be done to them; samples beyond full scale are cut here.
      skipped: (id, what is wrong with it) of every bad file that was left out.
    """

    kept: list[int]
    samples: list[int]
    said: Said
    skipped: list[tuple[str, str]]

    def notices(self, files: int) -> tuple[str, ...]:
        """What had to be done to the `files` files, as sentences."""
        said = list(self.said.sentences(files))
        if self.skipped:
            first = ": ".join(self.skipped[0])
            said.append(f"{len(self.skipped)} of {files} files are bad and were skipped (the first: {first})")
        return tuple(said)


def start_reading() -> Reading:
    """A report of nothing yet."""
    return Reading([], [], Said(CUT), [])


def read_clips(
    refs: Sequence[ClipRef],
    sample_rate: int,
    reading: Reading,
    *,
    what: str,
    resampler: str = "sinc",
    workers: int = 4,
    on_bad_file: str = "stop",
    progress: bool = True,
) -> Iterator[Int16[np.ndarray, " time"]]:
    """The waves of the good clips of a list, in order; `reading` says which they are and what was done to them.

    Args:
      refs: the clips.
      sample_rate: wanted rate in Hz.
      reading: of `start_reading`.
      what: the split's name, for the progress bar and for messages.
      resampler: as of `decode_files`.
      workers: likewise.
      on_bad_file: likewise.
      progress: show a progress bar.

    Raises:
      BadFile: a file that cannot be used, with "stop". BadInput: none of the files can.
    """
    decoded = decode_files(
        [ref.path for ref in refs], sample_rate, resampler=resampler, workers=workers, on_bad_file=on_bad_file
    )
    for i, (wave, said, bad) in enumerate(progress_bar(decoded, what, len(refs), unit="file", disable=not progress)):
        if bad:
            reading.skipped.append((printable(refs[i].id), bad.reason))
            continue
        reading.kept.append(i)
        reading.samples.append(len(wave))
        reading.said.add(refs[i].id, said)
        yield wave
    if not reading.kept:
        first = ": ".join(reading.skipped[0])
        raise BadInput(f"all {len(refs)} files of {what} are bad (the first: {first}); expected some that can be read")
