"""Runs frozen commands on demand, each once, after those whose output it reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.frozen import inputs
from tests.frozen.commands import COMMANDS
from tests.frozen.summaries import summary

ROOT = Path(__file__).parents[2]

SETTINGS = {
    "JAX_PLATFORMS": "cpu",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # the time is that of compiling
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",  # half the time again; nothing else that conftest.py sets
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # the commands share hundreds of small programs
}
"""Environment of the commands; the numbers depend on it."""


class Runs:
    """The commands' outputs under one folder.

    Attributes:
      work: the folder, empty at first.
      seconds: processor time of each command.
    """

    def __init__(self, work: Path):
        self.work, self.seconds = work.resolve(), {}
        self._found: dict[str, Any] = {}
        inputs.make(self.work)
        environment = {**os.environ, **SETTINGS}
        environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(self.work / "compiled"))
        command = [sys.executable, str(Path(__file__).with_name("many.py"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._many = subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes)

    def found(self, name: str) -> dict[str, Any]:
        """The summary of a command's output.

        Raises:
          RuntimeError: the command fails; what it said is told.
        """
        if name not in self._found:
            command = COMMANDS[name]
            for other in command.needs:
                self.found(other)
            here = self.work / name
            arguments = [word.format(work=self.work, here=here) for word in command.arguments.split()]
            self._many.stdin.write(json.dumps({"module": command.module, "arguments": arguments}) + "\n")
            self._many.stdin.flush()
            line = self._many.stdout.readline()
            if not line:
                raise RuntimeError(f"{name}: the process that runs the commands ended with {self._many.wait()}")
            answer = json.loads(line)
            if answer["code"]:
                raise RuntimeError(f"{name}: {command.module} ended with {answer['code']}:\n{answer['output'][-4000:]}")
            self._found[name] = summary(here, command.keeps, self.work)
            self.seconds[name] = answer["seconds"]
        return self._found[name]

    def close(self) -> None:
        """Ends the process that runs the commands."""
        self._many.stdin.close()
        self._many.stdout.close()
        self._many.wait()
