"""Runs many command lines, each in a process of its own, and pays the imports of JAX once: a child is a fork.

Started as a script by `runs.py`, in the repository's root. It reads a JSON object a line, `{"module", "arguments"}`,
and answers with `{"code", "output", "seconds"}` (of processor time). Nothing of the repository is imported before the
fork, and no JAX backend exists then, so every child is as fresh as `python -m MODULE ARGUMENTS`.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import tempfile
import traceback
from typing import Any

THIRD_PARTY = ("jax", "flax.linen", "optax", "orbax.checkpoint", "soundfile", "tqdm", "absl.app")


def child(module: str, arguments: list[str]) -> int:
    """Runs a module as `__main__`; returns its exit code."""
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def fork(module: str, arguments: list[str]) -> dict[str, Any]:
    """Runs a command in a fork; returns its exit code, what it said and the processor time it took."""
    with tempfile.TemporaryFile() as said:
        pid = os.fork()
        if not pid:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            code = child(module, arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, used = os.wait4(pid, 0)
        said.seek(0)
        output = said.read().decode(errors="replace")
        return {"code": os.waitstatus_to_exitcode(status), "output": output, "seconds": used.ru_utime + used.ru_stime}


def main() -> None:
    """Serves until its input ends."""
    for name in THIRD_PARTY:
        __import__(name)
    sys.path[0] = os.getcwd()
    for line in sys.stdin:
        print(json.dumps(fork(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
