"""What must be said of files: equal sentences counted, with the first file or the largest number where these matter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from dhauds_jax.files import printable
from dhauds_jax.wording import counted

LOUD = "samples far beyond full scale (1)"
CANCELLING = "channels that cancel: their mean, which is taken, is over 20 dB quieter than they are"
TAKEN = "taken as they are"
CUT = "cut at full scale, as rows have 16 bit"
SATURATED = "cut at full scale when they are written, as files have 16 bit"
_MEND = {LOUD: "divide by the largest if that is not meant", CANCELLING: "keep one channel if that is not meant"}


_NAMED = 5  # classes that are named before the rest is counted


def absent_classes(split: str, classes: Sequence[str], labels: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """A sentence about the classes of which a split has no clip; nothing where it has all.

    Args:
      split: its name.
      classes: of the set.
      labels: of the split's clips, indices into `classes`.
    """
    there = set(map(int, labels))
    absent = [name for label, name in enumerate(classes) if label not in there]
    if not absent:
        return ()
    more = f" and {len(absent) - _NAMED:,} more" if len(absent) > _NAMED else ""
    named = ", ".join(map(printable, absent[:_NAMED])) + more
    return (f"{split} has no clip of {len(absent):,} of {counted(len(classes), 'class', 'classes')}: {named}",)


class Notice(str):
    """A sentence about a file, equal for all files that it is true of, and the number in which they differ."""

    value: float

    def __new__(cls, text: str, value: float = 0.0) -> Notice:
        notice = super().__new__(cls, text)
        notice.value = value
        return notice


class OfSet(str):
    """A sentence about all of a set, the same for each of its splits."""


def to_say(notices: Iterable[str], of_set: bool = True) -> list[str]:
    """The notices of a split as lines to print, without those `OfSet` where another split's have said them."""
    return [f"note: {notice}" for notice in notices if of_set or not isinstance(notice, OfSet)]


class Said:
    """The notices of many files, counted as they come.

    Args:
      beyond: what becomes of samples beyond full scale, `TAKEN`, `CUT` or `SATURATED`.
    """

    def __init__(self, beyond: str = TAKEN):
        self._beyond = beyond
        self._counts: Counter[str] = Counter()
        self._largest: dict[str, tuple[float, str]] = {}

    def add(self, name: str, notices: Iterable[str]) -> None:
        """Counts a file's notices."""
        for notice in notices:
            self._counts[notice] += 1
            value, _ = self._largest.get(notice, (-1.0, ""))
            if (found := getattr(notice, "value", 0.0)) > value:
                self._largest[notice] = (found, name)

    def add_all(self, files: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Counts the notices of several files, by name."""
        for name, notices in files:
            self.add(name, notices)

    def sentences(self, files: int) -> tuple[str, ...]:
        """A sentence for each kind of notice, of so many files in all."""
        return tuple(f"{count} of {files} files: {self._whole(notice)}" for notice, count in self._counts.items())

    def _whole(self, notice: str) -> str:
        if notice not in _MEND:
            return notice
        value, name = self._largest[notice]
        where = f"the largest, {value:.4g}, in {printable(name)}" if value else f"the first: {printable(name)}"
        fate = f", {self._beyond}" if notice == LOUD else ""
        return f"{notice}{fate} ({where}); {_MEND[notice]}"
