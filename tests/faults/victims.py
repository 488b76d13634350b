"""The other end of tests/faults/victim.py: asks for commands, and says how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
QUICKLY = {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Programs are compiled in the least time; all runs that are compared, alike."""


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
      code: its exit code; minus the signal that killed it.
      seconds: it took, without imports.
      hung: whether it was killed for having taken too long.
      peak_kb: its largest virtual memory.
      counts: its events; none of a killed one.
      out: what it printed.
      err: what it said on stderr.
    """

    code: int
    seconds: float
    hung: bool
    peak_kb: int
    counts: dict[str, int]
    out: str
    err: str


class Victims:
    """A process that forks commands; a context manager."""

    def __init__(self, place: Path, environment: dict[str, str] | None = None):
        """What commands print goes to files in `place`; programs are kept in `place/cache`."""
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        given = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
        self.environment = {**given, **QUICKLY, "XDG_CACHE_HOME": str(place / "cache"), **(environment or {})}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Victims:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.victim"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert json.loads(self._process.stdout.readline())["threads"] == 1, "a fork of several threads may hang"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.stdin.close()
        self._process.wait()

    def begin(
        self,
        module: str,
        words: Sequence[str],
        watched: Path,
        *,
        event: str = "",
        number: int = 0,
        fault: dict[str, Any] | None = None,
        after_s: float = 0.0,
        limit_s: float = 300.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Starts a command.

        Args:
          module: what `python -m` runs.
          words: its command line.
          watched: the folder whose events count.
          event: at the `number`-th of these (from 0) the fault happens; "" for none.
          number: see `event`.
          fault: what happens (tests/faults/happening.py).
          after_s: a signal comes then, in place of at an event; 0 for never.
          limit_s: after which it counts as hung.
          environment: variables of this command alone.
        """
        for name in ("stdout", "stderr"):
            (self.place / name).write_bytes(b"")
        asked = {
            "module": module,
            "words": list(words),
            "cwd": str(ROOT),
            "watched": str(watched),
            "event": event,
            "number": number,
            "fault": fault or {},
            "after_s": after_s,
            "limit_s": limit_s,
            "environment": environment or {},
            **{name: str(self.place / name) for name in ("stdout", "stderr")},
        }
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()

    def has_ended(self) -> bool:
        """Whether the command that was begun is over."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def end_it(self) -> None:
        """Kills the command that runs, if one does."""
        with contextlib.suppress(OSError):
            for pid in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split():
                os.kill(int(pid), signal.SIGKILL)

    def end(self) -> Ended:
        """Waits for the command that was begun."""
        answer = json.loads(self._process.stdout.readline())
        out, err = ((self.place / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Ended(**answer, out=out, err=err)

    def run(self, module: str, words: Sequence[str], watched: Path, **how: Any) -> Ended:
        """Starts a command and waits for it."""
        self.begin(module, words, watched, **how)
        return self.end()
