"""Ctrl-C at a moment that suits: between two steps, while what a step was given is still there."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

KEPT = "its state is kept, and the same command goes on where it was"
"""What a Ctrl-C ends with after which a state was written."""

SAID = "\nCtrl-C: stops after this step and keeps its state; once more stops at once"
UNKEPT = "\nCtrl-C: stops after this step; once more stops at once"
"""The same, of work that keeps no states."""


class BetweenSteps(KeyboardInterrupt):
    """Ctrl-C that a step was waited for: nothing is half done. Any other one may come while buffers are given away."""


class Stopped(BetweenSteps):
    """Ctrl-C between two updates of a pass, with all that goes on from there.

    Attributes:
      state: after the update.
      passes: whole passes done.
      losses: of each update of the unfinished pass; how many there were is `updates`.
      updates: done in the unfinished pass.
    """

    def __init__(self, state: Any, passes: int, updates: int, losses: Sequence[Any]):
        """Holds them."""
        super().__init__()
        self.state, self.passes, self.updates, self.losses = state, passes, updates, list(losses)


def never() -> bool:
    """No Ctrl-C, where nobody looks for one."""
    return False


@contextlib.contextmanager
def deferred(said: str = SAID) -> Iterator[Callable[[], bool]]:
    """A block that Ctrl-C does not break: it is given a function that says whether there was one, to ask between steps.

    A step may have given its state's buffers away when Ctrl-C comes, so that nothing is left to be written. The first
    Ctrl-C says on stderr what it does (`said`), the second one ends the block at once with `KeyboardInterrupt`. In a
    thread other than the main one nothing changes: Python tells no other of Ctrl-C. Nor does it for a process that
    ignores Ctrl-C, as a shell's background jobs do.
    """
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)
        with contextlib.suppress(OSError):  # whoever read it (`| tee`) has had the same Ctrl-C, and is gone
            print(said, file=sys.stderr, flush=True)

    main = threading.current_thread() is threading.main_thread()
    if not main or not callable(signal.getsignal(signal.SIGINT)):
        yield never
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
