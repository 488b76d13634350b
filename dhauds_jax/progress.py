"""Progress bars: moving ones on a terminal, whole lines in a log file."""

from __future__ import annotations

import contextlib
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from dhauds_jax.estimates import Estimate

LINE_EVERY_S = 10.0
"""Seconds between two lines of a bar in a log file; what is done sooner leaves no line."""

FIRST = "in its first {}, which may compile"
"""What a bar of steps, epochs or batches waits for before the first one has ended."""

Bar = tqdm
"""The type of a bar: `update`, `apart`, `set_postfix`, `close`, and iteration over what it was given."""

_SO_FAR = "{desc}: {n_fmt} of {total_fmt} in {elapsed}{postfix}"
_COUNTS = "{desc}: {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go, {rate_fmt}{postfix}"


class Lines:
    """A stream that takes what a bar writes and passes on lines: no carriage returns, no moves of a cursor.

    Where nobody reads them any more (`|& tee`, which a Ctrl-C ends first) they are dropped: a bar breaks no step.
    """

    def __init__(self, stream: Any):
        """Lines go to `stream`."""
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes a line, if anything is left of `text`."""
        text = text.replace("\r", "").replace("\x1b[A", "").strip()
        if text:
            with contextlib.suppress(BrokenPipeError):
                self._stream.write(f"{text}\n")

    def flush(self) -> None:
        """Flushes the stream."""
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()


class _Bar(tqdm):
    """A bar whose rate leaves out its first step, which compiles: before the second has ended there is no estimate."""

    _first: tuple[float, float] | None = None  # the count and the time when the first step had ended
    _ended: float = 0.0  # the time when the last one had
    _estimate: Estimate | None = None

    def of_all(self) -> None:
        """The bar is of all that there is to do: it says once, on a line of its own, how long that takes."""
        if not self.disable and self.total:
            left, again = int(self.total - self.n), self.n > 0
            self._estimate = Estimate(left, self.unit, resumed=again, clock=self._time)

    def apart(self) -> None:
        """What passed since the last step, such as compiling between two, came once and tells nothing of others."""
        if self._first is not None:
            count, since = self._first
            self._first = count, since + self._time() - self._ended
        if self._estimate is not None:
            self._estimate.there(0, 0)

    def __iter__(self) -> Iterator[Any]:
        if self.disable:
            yield from self.iterable
            return
        try:
            for item in self.iterable:
                yield item
                self.update()
        finally:
            self.close()

    def update(self, n: float | None = 1) -> bool | None:
        if not self.disable and n:
            self._ended = self._time()
            self._first = self._first or (self.n + n, self._ended)
        shown = super().update(n)
        if self._estimate is not None and n:
            self._estimate.part(n, n)
        return shown

    @property
    def format_dict(self) -> dict[str, Any]:
        found = super().format_dict
        found["rate"] = 0.0  # tqdm's "unknown"
        if self._first is not None:
            count, since = self._first
            passed = self._time() - since
            found["rate"] = (self.n - count) / passed if passed > 0 else 0.0
        return found


def _call(method: weakref.WeakMethod, *args: Any) -> None:
    """Calls a method of an object that is still there."""
    found = method()
    if found is not None:
        found(*args)


class _LogBar(_Bar):
    """A bar of whole lines: remarks wait for the next one, the last one for the end, and none comes twice."""

    _shown: tuple[Any, ...] | None = None

    def __init__(self, *args: Any, awaited: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        said = weakref.WeakMethod(self.say_awaited)  # a bar that nobody has any more is closed, and says nothing
        self._awaited = threading.Timer(LINE_EVERY_S, _call, (said, awaited))
        self._awaited.daemon = True
        if awaited and not self.disable:
            self._awaited.start()

    def say_awaited(self, what: str) -> None:
        """Says once why no line comes, if no step has ended yet."""
        if self._first is None and not self.disable:
            self.fp.write(f"{self.desc.removesuffix(': ')}: {what}")
            self.fp.flush()

    def update(self, n: float | None = 1) -> bool | None:
        self._awaited.cancel()
        return super().update(n)

    def close(self) -> None:
        if hasattr(self, "_awaited"):
            self._awaited.cancel()
        super().close()

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        closing = self.disable
        line = self.n, self.postfix
        if msg == "" or line == self._shown or (not closing and self.total and self.n >= self.total):
            return True
        self._shown = line
        return super().display(msg, pos)

    @property
    def format_dict(self) -> dict[str, Any]:
        found = super().format_dict
        if found["bar_format"] is None:
            found["bar_format"] = _COUNTS if found["rate"] else _SO_FAR
        return found

    def set_postfix(self, *args: Any, **kwargs: Any) -> None:
        super().set_postfix(*args, **{**kwargs, "refresh": False})

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        super().set_postfix_str(s, refresh=False)


def progress_bar(
    iterable: Any = None,
    desc: str | None = None,
    total: float | None = None,
    awaited: str = "",
    whole: bool = False,
    **options: Any,
) -> Bar:
    """A tqdm bar on stderr; where that is no terminal, a line every `LINE_EVERY_S` seconds.

    Args:
      iterable: what to iterate over, if anything.
      desc: words before the counts.
      total: how many steps there are, where `iterable` does not know.
      awaited: what the first step waits for, such as "compiling": a log file says so where that step takes long.
      whole: whether it is of all that there is to do, so that an estimate of its time is worth a line of its own.
      **options: as tqdm has them (`unit`, `initial`, `disable`, `bar_format`, `position`, `leave`).
    """
    bar = _shown(iterable, desc, total, awaited, options)
    if whole:
        bar.of_all()
    return bar


def _shown(iterable: Any, desc: str | None, total: float | None, awaited: str, options: dict[str, Any]) -> _Bar:
    if sys.stderr is None or sys.stderr.isatty():
        return _Bar(iterable, desc, total, **options)
    if "bar_format" in options:
        options["bar_format"] = options["bar_format"].replace("{bar}", "")
    every = {"mininterval": LINE_EVERY_S, "maxinterval": LINE_EVERY_S, "delay": LINE_EVERY_S}
    return _LogBar(iterable, desc, total, file=Lines(sys.stderr), awaited=awaited, **every, **options)
