"""What a command prints, without what moves a cursor: names come from files, and a terminal obeys what it is sent."""

from __future__ import annotations

import re
import sys
from typing import Any

from dhauds_jax.files import one_line

_OF_BARS = re.compile(r"(\r|\x1b\[A)")  # how tqdm goes back to the line of its bar


class Shown:
    """A stream that passes text on with its controls escaped; lines end, tabs stay, and bars move if they may."""

    def __init__(self, stream: Any, bars: bool) -> None:
        """Text goes to `stream`; `bars` says whether progress bars are drawn there."""
        self._stream, self._bars = stream, bars

    def write(self, text: str) -> int:
        """Writes `text`, and says how long it was."""
        parts = _OF_BARS.split(text) if self._bars else [text]
        kept = [part if self._bars and place % 2 else one_line(part, "\n\t") for place, part in enumerate(parts)]
        self._stream.write("".join(kept))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def use() -> None:
    """From now on what is printed goes through `Shown`; the bars are drawn on stderr."""
    if not isinstance(sys.stdout, Shown) and sys.stdout is not None:
        sys.stdout = Shown(sys.stdout, bars=False)
    if not isinstance(sys.stderr, Shown) and sys.stderr is not None:
        sys.stderr = Shown(sys.stderr, bars=sys.stderr.isatty())
