"""Recordings of any length in windows of one length: cut, and held in memory, in a file, or nowhere at all."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.digests import of_texts
from dhauds_jax.dsp.clip_layout import starts
from dhauds_jax.errors import BadInput

IN_MEMORY = 512 * 2**20
"""Bytes of windows that are held in memory; more lie in a file, or are read again when they are asked for."""


def spans(samples: int, length: int, overlap: float, sample_rate: int) -> Float[np.ndarray, "windows 2"]:
    """Where the sound of each window of a recording starts and ends, in seconds."""
    first = np.array(starts(samples, length, overlap), np.float64)
    return np.stack([first, np.minimum(first + length, samples)], axis=1) / sample_rate


class Spooled:
    """Windows in a file, read by row as they are asked for; like an array (windows, time) of float32.

    Args:
      path: the file.
      shape: (windows, time).
    """

    dtype = np.dtype(np.float32)

    def __init__(self, path: Path, shape: tuple[int, int]) -> None:
        self.path, self.shape = path, shape
        self._rows = np.memmap(path, np.float32, "r", shape=shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time"]:
        return np.array(self._rows[rows])


class Chosen:
    """Some of other windows, which are asked for them when they are wanted.

    Args:
      windows: the others.
      rows: which of them, rising.
    """

    def __init__(self, windows: Windows, rows: Int[np.ndarray, " rows"]):
        self._windows, self._rows_of = windows, np.asarray(rows)
        self.shape = (len(self._rows_of), *windows.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time"]:
        return self._windows[self._rows_of[rows]]


class Reread:
    """Windows that are read from their recordings again whenever they are asked for: no more than a batch is held.

    Like an array (windows, time) of float32 whose rows are asked for in rising order, batch after batch; one that lies
    before the last begins anew at its file.

    Args:
      of_file: the windows of a file, by its number.
      owner: (windows,) the file of each window, rising.
      length: samples of a window.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, of_file: Callable[[int], Iterator[np.ndarray]], owner: Int[np.ndarray, " _"], length: int):
        self.shape = (len(owner), length)
        self._of_file, self._owner = of_file, owner
        self._next, self._coming = -1, iter(())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows time"]:
        different, back = np.unique(np.arange(len(self))[rows], return_inverse=True)
        return np.stack([self._window(int(row)) for row in different])[back.ravel()]

    def _window(self, row: int) -> np.ndarray:
        if not 0 <= self._next <= row:
            file = self._owner[row]
            self._next = int(np.searchsorted(self._owner, file))
            self._coming = itertools.chain.from_iterable(map(self._of_file, range(file, self._owner[-1] + 1)))
        for window in self._coming:
            self._next += 1
            if self._next > row:
                return window
        raise BadInput("the recordings became shorter while they were read; run the command again")


Windows = np.ndarray | Spooled | Reread | Chosen
"""What holds windows: `len`, `shape` and rows by number are all that is asked of it."""


def chosen(windows: Windows, rows: Int[np.ndarray, " rows"]) -> Windows:
    """Some rows, rising: those of an array, else what asks the others for them when they are wanted."""
    return windows[rows] if isinstance(windows, np.ndarray) else Chosen(windows, rows)


class Keeper:
    """Takes windows one by one and says at the end what holds them.

    Args:
      length: samples of a window.
      spool: where they are written when they are more than `IN_MEMORY`; None keeps them in memory.
      reread: whether, being more than that, they are kept nowhere, since they can be read again.
    """

    def __init__(self, length: int, spool: Path | None = None, reread: bool = False) -> None:
        self._length, self._reread = length, reread
        self._spool = None if reread else spool
        self._kept: list[np.ndarray] | None = []
        self._file: BinaryIO | None = None
        self._digest, self._digests, self.count = hashlib.sha256(), [], 0

    @contextlib.contextmanager
    def file(self) -> Iterator[None]:
        """A block in which the windows of one file are added; where it raises, there were none of that file."""
        before, self._digest = self.count, hashlib.sha256()
        try:
            yield
        except BaseException:
            self._forget_from(before)
            raise
        self._digests.append(self._digest.hexdigest())

    def _forget_from(self, count: int) -> None:
        self.count = count
        if self._file is not None:
            self._file.seek(count * self._length * 4)
            self._file.truncate()
        elif self._kept is not None:
            del self._kept[count:]

    def add(self, window: Float[np.ndarray, " time"]) -> None:
        """The next window."""
        window = np.array(window, np.float32)
        self._digest.update(window)
        self.count += 1
        if self._kept is not None and self.count * self._length * 4 > IN_MEMORY and (self._reread or self._spool):
            if self._spool is not None:
                self._spool.parent.mkdir(parents=True, exist_ok=True)
                self._spool.unlink(missing_ok=True)  # nothing is written through a link
                self._file = self._spool.open("xb")
                self._file.writelines(self._kept)
            self._kept = None
        if self._file is not None:
            self._file.write(window)
        elif self._kept is not None:
            self._kept.append(window)

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all samples, file by file."""
        return of_texts(*self._digests)

    def windows(self, again: Callable[[], Reread]) -> Windows:
        """What holds them; `again` gives the windows that are read again."""
        if self._file is not None:
            self._file.close()
            return Spooled(self._spool, (self.count, self._length))
        return again() if self._kept is None else np.stack(self._kept)

    def close(self) -> None:
        """Closes the file, where there is one."""
        if self._file is not None:
            self._file.close()
