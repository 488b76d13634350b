"""A command that meets a fault at a chosen moment of its own: the moment is counted in what it does, not in seconds.

`python -m tests.faults.victim` imports once what commands share, and forks a process a command: a line of JSON on
stdin (`Asked`) each, a line with exit code, seconds and counted events (`tests.faults.victims.Ended`) on stdout. What
the fork then does is what `python -m MODULE WORDS` does, but for the imports.

Events are counted where they touch `watched`: "read" and "open" (a file for reading, for writing), "rename", "remove",
"mkdir", "link", "write" and "fsync" (of `os`, so not those of TensorStore), and everywhere "compile" (a program is
asked for). A fault (tests/faults/happening.py) happens before the event of its number, or a while after it.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.faults import happening

EVENTS = ("compile", "read", "open", "write", "fsync", "rename", "remove", "mkdir", "link")
_AUDITED = {
    "os.rename": "rename",
    "os.remove": "remove",
    "os.rmdir": "remove",
    "shutil.rmtree": "remove",
    "os.mkdir": "mkdir",
    "os.link": "link",
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_COMPILE = "/jax/compilation_cache/compile_requests_use_cache"


class Counting:
    """Counts events and calls `fault` at one of them.

    Attributes:
      counts: of each event so far.
    """

    def __init__(self, watched: str, event: str, number: int, fault: Callable[[], None]):
        """Fault at the `number`-th `event` (from 0); event "" for none."""
        self.watched, self.event, self.number, self.fault = watched, event, number, fault
        self.counts: Counter[str] = Counter()
        self._lock, self._in_fault = threading.Lock(), False

    def begin(self) -> None:
        """From now on events are counted; there is no end, as an audit hook stays."""
        sys.addaudithook(self._audited)
        for name in ("write", "fsync"):
            setattr(os, name, self._counted(name, getattr(os, name)))
        import jax

        jax.monitoring.register_event_listener(lambda event, **_: self.count("compile") if event == _COMPILE else None)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(handle: int, *args: Any) -> Any:
            if self._is_watched(f"/proc/self/fd/{handle}"):
                self.count(name)
            return function(handle, *args)

        return counted

    def _is_watched(self, path: Any) -> bool:
        try:
            path = os.fsdecode(path)
            if path.startswith("/proc/self/fd/"):
                path = os.readlink(path)
            return os.path.abspath(path).startswith(self.watched)
        except (TypeError, OSError, ValueError):
            return False

    def _audited(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(flags, int) and self._is_watched(path):
                self.count("open" if flags & _WRITING else "read")
        elif event in _AUDITED and self._is_watched(args[0]):
            self.count(_AUDITED[event])

    def count(self, name: str) -> None:
        """One more; the fault happens if it is the one."""
        with self._lock:
            mine = not self._in_fault and name == self.event and self.counts[name] == self.number
            self.counts[name] += 1
            self._in_fault = self._in_fault or mine
        if mine:
            self.fault()


def serve_one(asked: dict[str, Any], counts_to: int) -> None:
    """In the fork: becomes the command. Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(asked["cwd"])
        os.environ.update(asked["environment"])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        counting = Counting(asked["watched"], asked["event"], asked["number"], happening.fault(asked["fault"]))
        counting.begin()
        happening.before(asked["fault"])
        sys.argv = [asked["module"], *asked["words"]]
        try:
            runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
            code = 0
        finally:
            os.write(counts_to, json.dumps(dict(counting.counts)).encode())
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    _leave(code)


def _leave(code: int) -> None:
    """As Python ends: what waits for the end of the process is called, and buffers are written."""
    import atexit

    try:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        code = code or 1
    os._exit(code)


def serve(line: str) -> dict[str, Any]:
    """Forks the command of a line and waits for its end."""
    asked = json.loads(line)
    read_from, counts_to = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if not pid:
        os.close(read_from)
        serve_one(asked, counts_to)
    os.close(counts_to)
    died, peak, hung = _waited(pid, asked["limit_s"], asked["after_s"], asked["fault"])
    seconds = time.perf_counter() - began
    with os.fdopen(read_from, "rb") as pipe:
        text = pipe.read()
    return {
        "code": os.waitstatus_to_exitcode(died),
        "seconds": round(seconds, 3),
        "hung": hung,
        "peak_kb": peak,
        "counts": json.loads(text or b"{}"),
    }


def _waited(pid: int, limit_s: float, after_s: float, fault: dict[str, Any]) -> tuple[int, int, bool]:
    """Status and peak of virtual memory (kB) of a process that is sent the fault's signal after a while, if asked."""
    began, peak, sent = time.monotonic(), 0, False
    while True:
        try:
            with open(f"/proc/{pid}/status") as file:
                peak = max([peak, *(int(one.split()[1]) for one in file if one.startswith("VmPeak"))])
        except OSError:
            pass
        ended, status = os.waitpid(pid, os.WNOHANG)
        passed = time.monotonic() - began
        if ended:
            return status, peak, False
        if after_s and passed > after_s and not sent:
            os.kill(pid, getattr(signal, fault["signal"]))
            sent = True
        if passed > limit_s:
            os.killpg(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1], peak, True
        time.sleep(0.005)


def main() -> None:
    import warnings

    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    answers = os.dup(1)  # what libraries print goes elsewhere
    os.dup2(2, 1)
    imported()
    os.write(answers, json.dumps({"threads": len(os.listdir("/proc/self/task"))}).encode() + b"\n")
    for line in sys.stdin:
        os.write(answers, json.dumps(serve(line)).encode() + b"\n")


def imported() -> None:
    """What most commands import, and no more: nothing is computed, no thread is begun."""
    import importlib

    for name in ("jax", "numpy", "flax.linen", "optax", "soundfile", "scipy.signal", "orbax.checkpoint"):
        importlib.import_module(name)
    from orbax.checkpoint import v1  # noqa: F401

    for name in ("adapt", "train", "sweep", "corrupt", "classify", "embed"):
        importlib.import_module(f"dhauds_jax.runs.{name}")


if __name__ == "__main__":
    main()
