"""What happens to a command from within its process: signals, a full disk, files that go, limits, clocks."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fault = dict[str, Any]
"""JSON: its "kind", and what the function of that kind takes."""


def fault(asked: Fault) -> Callable[[], None]:
    """What to call at the chosen event; nothing for a fault that is there from the beginning."""
    return _AT_EVENT.get(asked.get("kind", ""), lambda **_: lambda: None)(**asked)


def before(asked: Fault) -> None:
    """What is so from the beginning: a limit, a clock."""
    _FROM_THE_BEGINNING.get(asked.get("kind", ""), lambda **_: None)(**asked)


def _signal(signal: str, delay: float = 0.0, **_: Any) -> Callable[[], None]:
    def now() -> None:
        os.kill(os.getpid(), getattr(_signals, signal))

    def later() -> None:
        timer = threading.Timer(delay, now)
        timer.daemon = True
        timer.start()

    return later if delay else now


_signals = signal


def _full(disk: str, left: int = 0, **_: Any) -> Callable[[], None]:
    """The file system is filled but for some bytes."""

    def fill() -> None:
        about = os.statvfs(disk)
        handle = os.open(Path(disk, FILLER), os.O_RDWR | os.O_CREAT, 0o600)
        free = about.f_bavail * about.f_frsize - left
        try:
            if free > 0:
                os.posix_fallocate(handle, 0, free)
        finally:
            os.close(handle)

    return fill


FILLER = "filler"


def _removed(path: str, instead: str = "nothing", **_: Any) -> Callable[[], None]:
    """A file or folder is not there any more, or an empty folder, or another file, or half of it."""

    def remove() -> None:
        place = Path(path)
        if instead == "half" and place.is_file():
            os.truncate(place, place.stat().st_size // 2)
            return
        if place.is_dir():
            os.rename(place, f"{place}.moved-{os.getpid()}-{time.monotonic_ns()}")
        else:
            place.unlink(missing_ok=True)
        if instead == "folder":
            place.mkdir()
        elif instead == "rubbish":
            place.write_bytes(random.Random(0).randbytes(3000))

    return remove


def _limit(what: str, value: int, **_: Any) -> None:
    """A limit of the system: NOFILE, AS (bytes), FSIZE."""
    if what == "FSIZE":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does: the write fails
    resource.setrlimit(getattr(resource, f"RLIMIT_{what}"), (value, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                       if what == "NOFILE" else value))  # fmt: skip


def _clock(seed: int, **_: Any) -> None:
    """The wall clock is set every now and then, forth or back by up to a day: at one in fifty looks."""
    drawn, real, off = random.Random(seed), time.time, [0.0]

    def told() -> float:
        if drawn.random() < 0.02:
            off[0] = drawn.uniform(-86_400, 86_400)
        return real() + off[0]

    time.time = told


def _slow(watched: str, seconds: float, **_: Any) -> None:
    """Every file that is opened, renamed or removed takes a while."""

    def wait(event: str, args: tuple[Any, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir"):
            place = args[0]
            if isinstance(place, str | bytes | os.PathLike) and os.fsdecode(place).startswith(watched):
                time.sleep(seconds)

    sys.addaudithook(wait)


_FROM_THE_BEGINNING: dict[str, Callable[..., None]] = {"limit": _limit, "clock": _clock, "slow": _slow}


def _power(disk: str, wait: float = 0.0, **_: Any) -> Callable[[], None]:
    """The power of a disk is cut: nothing more reaches it, and what was not synced never did; the process is killed."""

    def cut() -> None:
        time.sleep(wait)  # of this thread: meanwhile the system writes what it likes to
        handle = os.open(disk, os.O_RDONLY)
        fcntl.ioctl(handle, _SHUTDOWN, struct.pack("I", _NOT_EVEN_THE_LOG))
        os.kill(os.getpid(), signal.SIGKILL)

    return cut


_SHUTDOWN, _NOT_EVEN_THE_LOG = 0x8004587D, 2  # FS_IOC_SHUTDOWN of Linux, as xfstests' godown uses it
_AT_EVENT: dict[str, Callable[..., Callable[[], None]]] = {
    "signal": _signal,
    "full": _full,
    "removed": _removed,
    "power": _power,
}
