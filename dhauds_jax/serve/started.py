"""A service in a process of its own, for those that measure it: started on a free port, stopped as SageMaker would."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from dhauds_jax.errors import BadInput

PROGRAM = (sys.executable, "-m", "experiments.serve")
"""What is started, before its flags."""

STOP_S = 30.0
"""Seconds in which it must end after SIGTERM; then it is killed."""


class Started:
    """A process that serves.

    Attributes:
      url: its address.
      process: itself.
      start_s: seconds from its start until `/ping` said 200.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], start_s: float) -> None:
        """A process that answers already."""
        self.url, self.process, self.start_s = url, process, start_s

    def cpu_s(self) -> float | None:
        """Seconds of a core that it and its decoders have taken; None where the system does not say."""
        ticks = _ticks(self.process.pid)
        return None if ticks is None else ticks / os.sysconf("SC_CLK_TCK")


def _ticks(process: int) -> int | None:
    """Clock ticks of a process and of those that it has started, ended ones included; None where nobody knows."""
    children, ticks = collections.defaultdict(list), {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            children[int(fields[1])].append(int(stat.parent.name))
            ticks[int(stat.parent.name)] = sum(map(int, fields[11:15]))
    if process not in ticks:
        return None
    found = [process]
    for one in found:  # grows while it is gone through
        found += children[one]
    return sum(ticks[one] for one in found)


@contextlib.contextmanager
def started(flags: Sequence[str], within_s: float = 300.0, program: Sequence[str] | None = None) -> Iterator[Started]:
    """A service with these flags, `--port` beside them, while the block runs; `program` in place of `PROGRAM`.

    Raises:
      BadInput: it ended, or did not answer within so many seconds; with the last thing that it said.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as said:
        begun = time.monotonic()
        words = [*(program or PROGRAM), *flags, f"--port={port}"]
        process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)
        try:
            while not answers(url):
                if process.poll() is not None or time.monotonic() - begun > within_s:
                    said.seek(0)
                    last = (said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
                    raise BadInput(f"experiments.serve {' '.join(flags)}: does not serve ({last})")
                time.sleep(0.02)
            yield Started(url, process, time.monotonic() - begun)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """Whether `/ping` says 200."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/ping", timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
