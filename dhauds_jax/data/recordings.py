"""A folder of unlabelled recordings of any length, cut into windows of a network's length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.sets.base import SUFFIXES
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted


class Recordings(NamedTuple):
    """A folder in windows.

    Attributes:
      files: names relative to the folder, with "/".
      waves: float32 (windows, length).
      owner: int32 (windows,), the file of each window.
      seconds: length of each file.
      skipped: (file, reason) of those that could not be read.
      notices: what had to be done to the files, as sentences.
    """

    files: tuple[str, ...]
    waves: np.ndarray
    owner: np.ndarray
    seconds: np.ndarray
    skipped: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]


def find(audio_dir: Path | str) -> list[Path]:
    """All recordings below a folder, sorted; hidden ones (a Mac's "._x.wav") and those of hidden folders are none.

    Raises:
      BadInput: no such folder, or no recording in it.
    """
    folder = Path(audio_dir)
    if not folder.is_dir():
        raise BadInput(f"--audio_dir={audio_dir}: no such folder, expected one with {', '.join(SUFFIXES)} files")
    audio = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    found = sorted(path for path in audio if not any(part[0] == "." for part in path.relative_to(folder).parts))
    if not found:
        files = sum(path.is_file() for path in folder.rglob("*"))
        held = counted(files, "file")
        raise BadInput(f"--audio_dir={audio_dir}: {held} and no recording, expected {', '.join(SUFFIXES)} files")
    return found


def windows(wave: Float[np.ndarray, " time"], length: int, overlap: float) -> Iterator[Float[np.ndarray, " {length}"]]:
    """Cuts a recording into windows of `length` samples.

    A shorter one is centred in silence. Of a longer one, windows start every `length * (1 - overlap)` samples as long
    as they fit; when samples are left over, a last window ends with the recording.
    """
    if len(wave) <= length:
        yield lay_out(wave, length)
        return
    hop = max(1, round(length * (1 - overlap)))
    last = len(wave) - length
    for start in range(0, last + 1, hop):
        yield wave[start : start + length]
    if last % hop:
        yield wave[last:]


def load(
    audio_dir: Path | str, *, sample_rate: int, length: int, overlap: float = 0.0, on_bad_file: str = "skip"
) -> Recordings:
    """Reads a folder; a progress bar shows the files.

    Args:
      audio_dir: the folder, searched with all folders below it.
      sample_rate: wanted rate in Hz; other rates are resampled, several channels mixed down, with a notice.
      length: samples of a window.
      overlap: share of a window that the next one repeats, 0 up to below 1.
      on_bad_file: "skip" leaves unreadable files out and lists them, "stop" raises.

    Raises:
      BadInput: nothing to read, an overlap out of range, a bad file, or no file that could be read.
    """
    check_on_bad_file(on_bad_file)
    check_number("--overlap", overlap, 0.0, 1.0, below=True)
    files, cut, owner, seconds, skipped, counts = [], [], [], [], [], Counter()
    paths = find(audio_dir)
    for path in progress_bar(paths, desc="read", unit="file"):
        name = path.relative_to(audio_dir).as_posix()
        try:
            wave, said = read_audio(path, sample_rate)
        except BadFile as error:
            if on_bad_file == "stop":
                error.skippable = True
                raise
            skipped.append((name, error.reason))
            continue
        counts.update(said)
        for window in windows(wave, length, overlap):
            cut.append(np.array(window, np.float32))
            owner.append(len(files))
        files.append(name)
        seconds.append(len(wave) / sample_rate)
    if not files:
        first = ": ".join(skipped[0])
        none = "its only file could not" if len(paths) == 1 else f"none of {len(paths)} files could"
        raise BadInput(f"--audio_dir={audio_dir}: {none} be read, the first: {first}")
    notices = tuple(f"{count} of {len(paths)} files: {notice}" for notice, count in counts.items())
    return Recordings(
        tuple(files), np.stack(cut), np.array(owner, np.int32), np.array(seconds), tuple(skipped), notices
    )


def per_file(
    probabilities: Float[np.ndarray, "windows classes"], owner: np.ndarray, files: int
) -> Float[np.ndarray, "files classes"]:
    """A file's probabilities: the mean over its windows."""
    sums = np.zeros((files, probabilities.shape[1]))
    np.add.at(sums, owner, probabilities)
    return sums / np.bincount(owner, minlength=files)[:, None]
