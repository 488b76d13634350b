"""Progress bars: moving ones on a terminal, whole lines in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm

LINE_EVERY_S = 10.0
"""Seconds between two lines of a bar in a log file; what is done sooner leaves no line."""

Bar = tqdm
"""The type of a bar: `update`, `set_postfix`, `close`, and iteration where it has something to iterate over."""


class Lines:
    """A stream that takes what a bar writes and passes on lines: no carriage returns, no moves of a cursor."""

    def __init__(self, stream: Any):
        """Lines go to `stream`."""
        self._stream = stream

    def write(self, text: str) -> None:
        """Writes a line, if anything is left of `text`."""
        text = text.replace("\r", "").replace("\x1b[A", "").strip()
        if text:
            self._stream.write(f"{text}\n")

    def flush(self) -> None:
        """Flushes the stream."""
        self._stream.flush()


class _LogBar(tqdm):
    """A bar whose remarks wait for its next line."""

    def set_postfix(self, *args: Any, **kwargs: Any) -> None:
        super().set_postfix(*args, **{**kwargs, "refresh": False})

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        super().set_postfix_str(s, refresh=False)


def progress_bar(iterable: Any = None, desc: str | None = None, total: float | None = None, **options: Any) -> Bar:
    """A tqdm bar on stderr; where that is no terminal, a line every `LINE_EVERY_S` seconds.

    Args:
      iterable: what to iterate over, if anything.
      desc: words before the counts.
      total: how many steps there are, where `iterable` does not know.
      **options: as tqdm has them (`unit`, `initial`, `disable`, `bar_format`, `position`, `leave`).
    """
    if sys.stderr is None or sys.stderr.isatty():
        return tqdm(iterable, desc, total, **options)
    counts = "{desc}: {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go, {rate_fmt}{postfix}"
    options["bar_format"] = options.get("bar_format", counts).replace("{bar}", "")
    every = {"mininterval": LINE_EVERY_S, "maxinterval": LINE_EVERY_S, "delay": LINE_EVERY_S}
    return _LogBar(iterable, desc, total, file=Lines(sys.stderr), **every, **options)
