"""A folder of unlabelled recordings of any length, cut into windows of a network's length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_audio
from dhauds_jax.data.sets.base import SUFFIXES
from dhauds_jax.data.windows import Keeper, Reread, Windows, cut
from dhauds_jax.data.windows import spans as spans_of
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted


class Recordings(NamedTuple):
    """Recordings in windows.

    Attributes:
      files: names relative to the folder, with "/".
      waves: float32 (windows, length); of many hours not in memory (see `windows`).
      owner: int32 (windows,), the file of each window.
      spans: (windows, 2), seconds in its file at which a window's sound starts and ends.
      seconds: length of each file.
      level: root mean square of each file in dB of full scale, -inf for silence.
      digest: sixteen hexadecimal digits of all samples.
      skipped: (file, reason) of those that could not be read.
      notices: what had to be done to the files, as sentences.
    """

    files: tuple[str, ...]
    waves: Windows
    owner: Int[np.ndarray, " windows"]
    spans: Float[np.ndarray, "windows 2"]
    seconds: Float[np.ndarray, " files"]
    level: Float[np.ndarray, " files"]
    digest: str
    skipped: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()


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


def load(
    sounds: Path | str | Sequence[Path | str],
    *,
    sample_rate: int,
    length: int,
    overlap: float = 0.0,
    on_bad_file: str = "skip",
    spool: Path | None = None,
    reread: bool = False,
) -> Recordings:
    """Reads a file, a folder, or a list of both; a progress bar shows the files.

    Args:
      sounds: files, and folders that are searched with all folders below them.
      sample_rate: wanted rate in Hz; other rates are resampled, several channels mixed down, with a notice.
      length: samples of a window.
      overlap: share of a window that the next one repeats, 0 up to below 1.
      on_bad_file: "skip" leaves unreadable files out and lists them, "stop" raises.
      spool: a file for windows that are more than fit into memory (`windows.IN_MEMORY`).
      reread: whether such windows are kept nowhere: they will be asked for in their order.

    Raises:
      BadInput: nothing to read, an overlap out of range, a bad file, or no file that could be read.
    """
    check_on_bad_file(on_bad_file)
    check_number("--overlap", overlap, 0.0, 1.0, below=True)
    named = _named(sounds)
    made, counts = _Made(length, overlap, sample_rate, Keeper(length, spool, reread)), Counter()
    skipped, paths = [], []
    for name, path in progress_bar(named, desc="read", unit="file"):
        try:
            wave, said = read_audio(path, sample_rate)
        except BadFile as error:
            if on_bad_file == "stop":
                error.skippable = True
                raise
            skipped.append((name, error.reason))
            continue
        counts.update(said)
        made.add(name, [wave])
        paths.append(path)
    if not made.files:
        first = ": ".join(skipped[0])
        none = "its only file could not" if len(named) == 1 else f"none of {len(named)} files could"
        raise BadInput(f"--audio_dir={sounds}: {none} be read, the first: {first}")
    notices = tuple(f"{count} of {len(named)} files: {notice}" for notice, count in counts.items())

    def again(file: int) -> Iterator[np.ndarray]:
        return cut([read_audio(paths[file], sample_rate)[0]], length, overlap)

    return made.recordings(again)._replace(skipped=tuple(skipped), notices=notices)


def of_waves(
    waves: Sequence[Float[np.ndarray, " _"]], *, sample_rate: int, length: int, overlap: float = 0.0
) -> Recordings:
    """Recordings from arrays at the rate wanted, named by their numbers; arguments as in `load`.

    Raises:
      BadInput: no array, or an overlap out of range.
    """
    check_number("overlap", overlap, 0.0, 1.0, below=True)
    if not waves:
        raise BadInput("no recordings: expected at least one")
    made = _Made(length, overlap, sample_rate, Keeper(length))
    for number, wave in enumerate(waves):
        made.add(str(number), [wave])
    return made.recordings(None)


class _Made:
    """Recordings that are being cut."""

    def __init__(self, length: int, overlap: float, sample_rate: int, keeper: Keeper) -> None:
        self.files: list[str] = []
        self._length, self._overlap, self._rate, self._keeper = length, overlap, sample_rate, keeper
        self._owner: list[np.ndarray] = []
        self._spans: list[np.ndarray] = []
        self._seconds: list[float] = []
        self._level: list[float] = []

    def add(self, name: str, blocks: Iterable[np.ndarray]) -> None:
        """The next file, block by block."""
        samples, energy = 0, 0.0

        def counted_blocks() -> Iterator[np.ndarray]:
            nonlocal samples, energy
            for block in blocks:
                samples, energy = samples + len(block), energy + float(np.square(block, dtype=np.float64).sum())
                yield block

        for window in cut(counted_blocks(), self._length, self._overlap):
            self._keeper.add(window)
        spans = spans_of(samples, self._length, self._overlap, self._rate)
        self._owner.append(np.full(len(spans), len(self.files), np.int32))
        self._spans.append(spans)
        self._seconds.append(samples / self._rate)
        self._level.append(10 * np.log10(energy / samples) if energy else -np.inf)
        self.files.append(name)

    def recordings(self, again: Callable[[int], Iterator[np.ndarray]] | None) -> Recordings:
        """All files; `again` reads the windows of one anew."""
        owner = np.concatenate(self._owner)
        return Recordings(
            tuple(self.files),
            self._keeper.windows(lambda: Reread(again, owner, self._length)),
            owner,
            np.concatenate(self._spans),
            np.array(self._seconds),
            np.array(self._level),
            self._keeper.digest,
        )


def _named(sounds: Path | str | Sequence[Path | str]) -> list[tuple[str, Path]]:
    """Every file with its name: relative to the folder that was given, of a list with that folder in front."""
    if isinstance(sounds, Path | str):
        path = Path(sounds)
        return [(path.name, path)] if path.is_file() else [(f.relative_to(path).as_posix(), f) for f in find(path)]
    found = []
    for one in map(Path, sounds):
        found += [(one.as_posix(), one)] if one.is_file() else [(f.as_posix(), f) for f in find(one)]
    return found


def per_file(
    probabilities: Float[np.ndarray, "windows classes"], owner: np.ndarray, files: int
) -> Float[np.ndarray, "files classes"]:
    """A file's probabilities: the mean over its windows."""
    sums = np.zeros((files, probabilities.shape[1]))
    np.add.at(sums, owner, probabilities)
    return sums / np.bincount(owner, minlength=files)[:, None]
