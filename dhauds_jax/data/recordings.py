"""A folder of unlabelled recordings of any length, cut into windows of a network's length."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data import formats, walking
from dhauds_jax.data.audio import BadFile, check_on_bad_file, read_blocks, told_length
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.notices import Said
from dhauds_jax.data.windows import IN_MEMORY, Keeper, Reread, Windows
from dhauds_jax.data.windows import spans as spans_of
from dhauds_jax.dsp.clip_layout import cut, starts
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.files import printable
from dhauds_jax.progress import progress_bar
from dhauds_jax.wording import counted, plural

EXPECTED = f"recordings ({', '.join(formats.READ)})"
"""What a folder without a recording is told to hold."""


class Recordings(NamedTuple):
    """Recordings in windows.

    Attributes:
      files: names relative to the folder, with "/", as a text can hold them (`files.printable`).
      waves: float32 (windows, length); of many hours not in memory (see `windows`).
      owner: int32 (windows,), the file of each window.
      spans: (windows, 2), seconds in its file at which a window's sound starts and ends.
      seconds: length of each file.
      digest: sixteen hexadecimal digits of all samples.
      skipped: (file, reason) of those that could not be read.
      notices: all that must be said of the files, as sentences: what had to be done to them, what was left out, which
        are silent.
      left_out: (ending, how many files) of each kind that cannot be read.
      silent: the files in which no sound is.
    """

    files: tuple[str, ...]
    waves: Windows
    owner: Int[np.ndarray, " windows"]
    spans: Float[np.ndarray, "windows 2"]
    seconds: Float[np.ndarray, " files"]
    digest: str
    skipped: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()
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


def find(audio_dir: Path | str, flag: str = "audio_dir", expected: str = EXPECTED) -> Listed:
    """All recordings below a folder, by the rule of `walking`; or the one file that is given in its place.

    Sentences name the flag that gave the folder ("" for none), and what it is expected to hold.

    Raises:
      BadInput: no such folder, or no recording in it that can be read.
    """
    folder, given = Path(audio_dir), _given(flag, audio_dir)
    if folder.is_file() and formats.has_sound(folder.name) and not formats.can_be_read(folder.name):
        raise BadInput(f"{given}: {formats.left_out([folder], folder.parent)[0]}")
    if folder.is_file():
        return Listed(folder.parent, [folder])
    if not folder.is_dir():
        raise BadInput(f"{given}: no such folder, expected one with {expected}")
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
        raise BadInput(f"{given}: {held}, expected {expected}")
    return Listed(folder, found, tuple(formats.kinds(others).items()), said)


def load(
    sounds: Path | str | Sequence[Path | str],
    *,
    sample_rate: int,
    length: int,
    overlap: float = 0.0,
    layout: str = "centre",
    resampler: str = "sinc",
    on_bad_file: str = "skip",
    spool: Path | None = None,
    reread: bool = False,
    flag: str = "audio_dir",
    expected: str = EXPECTED,
) -> Recordings:
    """Reads a file, a folder, or a list of both; a progress bar shows the files.

    Args:
      sounds: files, and folders that are searched with all folders below them.
      sample_rate: wanted rate in Hz; other rates are resampled, several channels mixed down, with a notice.
      length: samples of a window.
      overlap: share of a window that the next one repeats, 0 up to below 1.
      layout: what becomes of recordings shorter than a window, see `dsp.clip_layout.lay_out`.
      resampler: how rates are changed, see `data.resampling`.
      on_bad_file: "skip" leaves unreadable files out and lists them, "stop" raises.
      spool: a file for windows that are more than fit into memory (`windows.IN_MEMORY`).
      reread: whether such windows are kept nowhere: they will be asked for in their order.
      flag, expected: for sentences, see `find`.

    Raises:
      BadInput: nothing to read, an overlap out of range, a bad file, or no file that could be read.
    """
    check_on_bad_file(on_bad_file)
    check_number("--overlap", overlap, 0.0, 1.0, below=True)
    listed = [find(one, flag, expected) for one in ([sounds] if isinstance(sounds, Path | str) else sounds)]
    # Of one folder the names go on from it; of several with its own name in front, which tells them apart.
    named = [
        (one.name(path) if len(listed) == 1 else printable(path.as_posix()), path)
        for one in listed
        for path in one.paths
    ]
    wanted = _Wanted(sample_rate, length, overlap, layout, resampler)
    if spool is not None and not reread:
        _check_room([path for _, path in named], spool, wanted)
    keeper = Keeper(length, spool, reread)
    try:
        found = _read(named, keeper, wanted, on_bad_file, _given(flag, sounds))
    finally:
        keeper.close()
    unread = [notice for one in listed for notice in one.notices]
    return found._replace(
        notices=(*found.notices, *unread, *silence(found.silent)),
        left_out=tuple(kind for one in listed for kind in one.left_out),
    )


def _given(flag: str, value: object) -> str:
    """What a sentence about a flag's value begins with."""
    return f"--{flag}={value}" if flag else str(value)


def none_read(where: str, count: int, first: Sequence[str]) -> BadInput:
    """The refusal of recordings of which none can be read; `first` is the name of the first and what is wrong."""
    none = "its only file could not be read" if count == 1 else f"none of {count} files could be read, the first"
    return BadInput(": ".join((where, none, *first)))


class _Wanted(NamedTuple):
    """How recordings are cut, as `load` is told."""

    sample_rate: int
    length: int
    overlap: float
    layout: str = "centre"
    resampler: str = "sinc"


def _read(
    named: Sequence[tuple[str, Path]], keeper: Keeper, wanted: _Wanted, on_bad_file: str, given: str
) -> Recordings:
    made, said = _Made(wanted, keeper), Said()
    skipped, paths = [], []
    for name, path in progress_bar(named, desc="read", unit="file"):
        try:
            blocks, reading = read_blocks(path, wanted.sample_rate, wanted.resampler)
            made.add(name, blocks)
        except BadFile as error:
            if on_bad_file == "stop":
                error.skippable = True
                raise
            skipped.append((name, error.reason))
            continue
        said.add(name, reading.notices(wanted.sample_rate))
        paths.append(path)
    if not made.files:
        raise none_read(given, len(named), skipped[0])

    def again(file: int) -> Iterator[np.ndarray]:
        blocks, _ = read_blocks(paths[file], wanted.sample_rate, wanted.resampler)
        return cut(blocks, wanted.length, wanted.overlap, wanted.layout)

    return made.recordings(again)._replace(skipped=tuple(skipped), notices=said.sentences(len(named)))


def _check_room(paths: Sequence[Path], spool: Path, wanted: _Wanted) -> None:
    """Raises `BadInput` unless the disk has room for the windows, as far as headers tell how many there are."""
    told = [told_length(path) for path in paths]
    seconds = sum(samples / rate for rate, samples in filter(None, told))
    needed = sum(
        4 * wanted.length * len(starts(round(samples * wanted.sample_rate / rate), wanted.length, wanted.overlap))
        for rate, samples in filter(None, told)
    )
    if needed <= IN_MEMORY:
        return
    above = next(folder for folder in spool.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(above).free
    if needed > free:
        raise BadInput(
            f"{above}: the recordings are {seconds / 3600:.1f} h, which as windows take {needed / 2**30:.1f} GiB, and "
            f"its disk has {free / 2**30:.1f} GiB free; give --online or --method=source, which keep nothing, or fewer "
            "recordings"
        )


def of_waves(
    waves: Sequence[Float[np.ndarray, " _"]],
    *,
    sample_rate: int,
    length: int,
    overlap: float = 0.0,
    layout: str = "centre",
) -> Recordings:
    """Recordings from arrays at the rate wanted, named by their numbers; arguments as in `load`.

    Raises:
      BadInput: no array, or an overlap out of range.
    """
    check_number("overlap", overlap, 0.0, 1.0, below=True)
    if not waves:
        raise BadInput("no recordings: expected at least one")
    made = _Made(_Wanted(sample_rate, length, overlap, layout), Keeper(length))
    for number, wave in enumerate(waves):
        made.add(str(number), [wave])
    return made.recordings(None)


class _Made:
    """Recordings that are being cut."""

    def __init__(self, wanted: _Wanted, keeper: Keeper) -> None:
        self.files: list[str] = []
        self._wanted, self._keeper = wanted, keeper
        self._owner: list[np.ndarray] = []
        self._spans: list[np.ndarray] = []
        self._seconds: list[float] = []
        self._silent: list[str] = []

    def add(self, name: str, blocks: Iterable[np.ndarray]) -> None:
        """The next file, block by block."""
        rate, length, overlap, layout, _ = self._wanted
        samples, lowest, highest = 0, np.inf, -np.inf

        def seen() -> Iterator[np.ndarray]:
            nonlocal samples, lowest, highest
            for block in blocks:
                samples, lowest, highest = samples + len(block), min(lowest, block.min()), max(highest, block.max())
                yield block

        with self._keeper.file():
            for window in cut(seen(), length, overlap, layout):
                self._keeper.add(window)
        spans = spans_of(samples, length, overlap, rate)
        self._owner.append(np.full(len(spans), len(self.files), np.int32))
        self._spans.append(spans)
        self._seconds.append(samples / rate)
        if highest - lowest < SILENT:
            self._silent.append(name)
        self.files.append(name)

    def recordings(self, again: Callable[[int], Iterator[np.ndarray]] | None) -> Recordings:
        """All files; `again` reads the windows of one anew."""
        owner = np.concatenate(self._owner)
        return Recordings(
            tuple(self.files),
            self._keeper.windows(lambda: Reread(again, owner, self._wanted.length)),
            owner,
            np.concatenate(self._spans),
            np.array(self._seconds),
            self._keeper.digest,
            silent=tuple(self._silent),
        )


def silence(files: Sequence[str]) -> tuple[str, ...]:
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
