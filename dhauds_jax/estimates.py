"""How much a command has to do, said first, and how long it will take, said once that can be measured."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from tqdm import tqdm

from dhauds_jax.wording import counted, plural

LEAST_S = 20.0
"""Seconds: no estimate is said where less is left."""

MEASURED_S = 5.0
"""Seconds that parts must have taken before an estimate is made of them."""

_WITHIN: ContextVar[bool] = ContextVar("within", default=False)


@contextlib.contextmanager
def within(larger: bool = True) -> Iterator[None]:
    """What runs inside is a part of something larger that speaks for itself: it says neither its work nor its time."""
    before = _WITHIN.set(larger or _WITHIN.get())
    try:
        yield
    finally:
        _WITHIN.reset(before)


def say(line: str) -> None:
    """Writes a line of its own on stderr, above a bar that moves there.

    The processes of a run after the first, which show no bars, write none, and neither does a part of something larger.
    """
    if not _WITHIN.get():
        _write(line)


def _write(line: str) -> None:
    if sys.stderr is not None and not os.environ.get("TQDM_DISABLE"):
        with contextlib.suppress(BrokenPipeError):  # nobody reads it any more, which stops no work
            tqdm.write(line, file=sys.stderr)
            sys.stderr.flush()


def epochs_of(epochs: int, done: int, clips: int, steps: int) -> None:
    """Says the work of a training: epochs in all and those behind it, clips and steps of each."""
    behind = f", {done:,} of them done" if done else ""
    say(f"work: {counted(epochs, 'epoch')} of {counted(clips, 'clip')} in {counted(steps, 'step')}{behind}")


def duration(seconds: float) -> str:
    """A time that is known roughly: "45 s", "12 min", "2 h 10 min", "3 days 4 h"."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 36 * 60:
        hours, tens = divmod(round(minutes / 10), 6)
        return f"{hours} h {10 * tens} min" if tens else f"{hours} h"
    days, hours = divmod(round(minutes / 60), 24)
    return f"{counted(days, 'day')} {hours} h" if hours else counted(days, "day")


class Estimate:
    """The time of many parts from those that have ended: a line, once, when it has been measured.

    Nothing is said before parts have taken `MEASURED_S`, or where less than `LEAST_S` is left. Where
    parts are many and small the first one, which may compile, is not measured; where they are few and large it is. Made
    inside `within` it stays silent.
    """

    def __init__(
        self,
        parts: int,
        unit: str,
        *,
        work: float | None = None,
        few: bool = False,
        resumed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        """The time starts now.

        Args:
          parts: how many there are to do.
          unit: what one is called, such as "step".
          work: all of it, in any measure, where parts are unequal (None: `parts`).
          few: whether the first part is measured too.
          resumed: whether an earlier sitting did others.
          clock: gives seconds.
        """
        self._parts, self._unit, self._few, self._resumed, self._clock = parts, unit, few, resumed, clock
        self._left, self._to_do = float(parts) if work is None else work, parts
        self._begun, self._count, self._done, self._said = clock(), 0, 0.0, _WITHIN.get()
        self._first, self._first_s, self._apart, self._apart_s, self._apart_work = 0, 0.0, 0, 0.0, 0.0
        self._since, self._last = self._begun if few else None, self._begun

    def compiled(self, work: float = 1.0) -> None:
        """A part has ended that compiled what others will use: they take less, so it is not measured with them."""
        now = self._clock()
        self._apart, self._apart_s, self._apart_work = (
            self._apart + 1,
            self._apart_s + now - self._last,
            self._apart_work + work,
        )
        self._forward(now)
        self._left, self._to_do = self._left - work, self._to_do - 1

    def _forward(self, now: float) -> None:
        """Takes what passed since the last part out of what is measured."""
        if self._since is not None:
            self._since += now - self._last
        self._last = now

    def part(self, work: float = 1.0, parts: int = 1, compiling: int = 0) -> None:
        """Parts have ended, so much work; says the line if it is time. Of those to do, `compiling` will compile."""
        now, self._left, self._to_do = self._clock(), self._left - work, self._to_do - parts
        self._last = now
        if self._since is None:
            self._since, self._first, self._first_s = now, parts, now - self._begun
            return
        self._count, self._done = self._count + parts, self._done + work
        measured = now - self._since
        if self._said or measured < MEASURED_S or self._to_do <= 0 or self._done <= 0:
            return
        self._said = True
        rate = measured / self._done
        more = max(0.0, self._apart_s - rate * self._apart_work) / max(1, self._apart)
        left = rate * self._left + compiling * more
        if left >= LEAST_S:
            _write(self._line(now - self._begun + left))

    def there(self, work: float = 1.0, parts: int = 1) -> None:
        """Parts need not be done, or cannot be; what was spent on them says nothing about the others."""
        self._forward(self._clock())
        self._resumed = self._resumed or parts > 0
        self._parts, self._left, self._to_do = self._parts - parts, self._left - work, self._to_do - parts

    def _line(self, seconds: float) -> str:
        words = plural(self._parts, self._unit)
        over = f"the {self._parts:,} {words} that were left" if self._resumed else f"all {self._parts:,} {words}"
        if self._apart:
            measured = f"{counted(self._count, self._unit)} and {self._apart:,} that compiled"
            return f"estimate: about {duration(seconds)} for {over}, from {measured}"
        first = self._count if self._few else self._first
        begun = "the first" if first == 1 else f"the first {first:,}"
        if self._few:
            return f"estimate: about {duration(seconds)} for {over}, from {begun}, reading and compiling included"
        apart = f"{begun}, which took {duration(self._first_s)} and may have compiled"
        return f"estimate: about {duration(seconds)} for {over}, from {counted(self._count, self._unit)} after {apart}"
