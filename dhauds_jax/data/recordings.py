"""A folder of unlabelled recordings of any length, cut into windows of a network's length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data import formats, walking
from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.layout import lay_out
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.notices import Said
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.files import printable
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted, plural

_KINDS = ", ".join(sorted(formats.READ))


class Recordings(NamedTuple):
    """A folder in windows.

    Attributes:
      files: names relative to the folder, with "/", as a text can hold them (`files.printable`).
      waves: float32 (windows, length).
      owner: int32 (windows,), the file of each window.
      seconds: length of each file.
      skipped: (file, reason) of those that could not be read.
      notices: all that must be said of the files, as sentences: what had to be done to them, what was left out, which
        are silent.
      left_out: (ending, how many files) of each kind that cannot be read.
      silent: the files in which no sound is.
    """

    files: tuple[str, ...]
    waves: np.ndarray
    owner: np.ndarray
    seconds: np.ndarray
    skipped: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    left_out: tuple[tuple[str, int], ...] = ()
    silent: tuple[str, ...] = ()


class Listed(NamedTuple):
    """What a folder holds.

    Attributes:
      root: the folder from which on files are named.
      paths: the recordings, sorted.
      left_out: (ending, how many files) of each kind that cannot be read.
      notices: what is not read, as sentences.
    """

    root: Path
    paths: list[Path]
    left_out: tuple[tuple[str, int], ...] = ()
    notices: tuple[str, ...] = ()

    def name(self, path: Path) -> str:
        """The name of a recording, from the folder on, as a text can hold it."""
        return printable(path.relative_to(self.root).as_posix())


def find(audio_dir: Path | str) -> Listed:
    """All recordings below a folder, by the rule of `walking`; or the one file that is given in its place.

    Raises:
      BadInput: no such folder, or no recording in it that can be read.
    """
    folder = Path(audio_dir)
    if folder.is_file():
        return Listed(folder.parent, [folder])
    if not folder.is_dir():
        raise BadInput(f"--audio_dir={audio_dir}: no such folder, expected one with recordings ({_KINDS})")
    walked = walking.below(folder)
    others = [path for path in walked.files if formats.has_sound(path.name) and not formats.can_be_read(path.name)]
    said = formats.left_out(others, folder)
    if walked.again:
        links = counted(len(walked.again), "link leads", "links lead")
        first = printable(walked.again[0].relative_to(folder))
        said = (*said, f"{links} to folders that are read under another name (the first: {first})")
    found = [path for path in walked.files if formats.can_be_read(path.name)]
    if not found:
        held = "; ".join((f"{counted(len(walked.files), 'file')} and no recording that can be read", *said))
        raise BadInput(f"--audio_dir={audio_dir}: {held}, expected recordings ({_KINDS})")
    return Listed(folder, found, tuple(formats.kinds(others).items()), said)


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
    listed = find(audio_dir)
    files, cut, owner, seconds, skipped, silent, said = [], [], [], [], [], [], Said()
    for path in progress_bar(listed.paths, desc="read", unit="file"):
        name = listed.name(path)
        try:
            wave, told = read_audio(path, sample_rate)
        except BadFile as error:
            if on_bad_file == "stop":
                error.skippable = True
                raise
            skipped.append((name, error.reason))
            continue
        said.add(path.relative_to(listed.root).as_posix(), told)
        for window in windows(wave, length, overlap):
            cut.append(np.array(window, np.float32))
            owner.append(len(files))
        files.append(name)
        seconds.append(len(wave) / sample_rate)
        if is_silent(wave):
            silent.append(name)
    if not files:
        first = ": ".join(skipped[0])
        none = "its only file could not" if len(listed.paths) == 1 else f"none of {len(listed.paths)} files could"
        raise BadInput(f"--audio_dir={audio_dir}: {none} be read, the first: {first}")
    notices = (*said.sentences(len(listed.paths)), *listed.notices, *silence(silent))
    return Recordings(
        tuple(files),
        np.stack(cut),
        np.array(owner, np.int32),
        np.array(seconds),
        tuple(skipped),
        notices,
        listed.left_out,
        tuple(silent),
    )


def is_silent(wave: Float[np.ndarray, " time"]) -> bool:
    """Whether no two samples differ by a step of 16 bit."""
    return float(wave.max()) - float(wave.min()) < SILENT


def silence(files: list[str]) -> tuple[str, ...]:
    """A sentence about files without sound, if there are any."""
    if not files:
        return ()
    are = plural(len(files), "is", "are")
    return (f"{counted(len(files), 'file')} {are} silent (the first: {files[0]}): a label of silence says nothing",)


def per_file(
    probabilities: Float[np.ndarray, "windows classes"], owner: np.ndarray, files: int
) -> Float[np.ndarray, "files classes"]:
    """A file's probabilities: the mean over its windows."""
    sums = np.zeros((files, probabilities.shape[1]))
    np.add.at(sums, owner, probabilities)
    return sums / np.bincount(owner, minlength=files)[:, None]
