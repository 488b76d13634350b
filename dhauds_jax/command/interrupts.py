"""Ctrl-C at a moment that suits: between two steps, while what a step was given is still there."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """A block that Ctrl-C does not break: it is given a function that says whether there was one, to ask between steps.

    A step may have given its state's buffers away when Ctrl-C comes, so that nothing is left to be written. The second
    Ctrl-C ends the block at once with `KeyboardInterrupt`. In a thread other than the main one nothing changes: Python
    tells no other of Ctrl-C.
    """
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGINT, before)
