"""Child processes that compute on as many CPU devices as they are given, and a port for those that are several."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def child(devices: int, *words: object) -> subprocess.Popen[str]:
    """`python -m WORDS` in the repository's root, on the CPU, with exact products, as the tests themselves."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: subprocess.Popen[str]) -> str:
    """What a process says that ends well."""
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-2000:]
    return out


def outputs(processes: Iterable[subprocess.Popen[str]]) -> list[str]:
    """What processes say that all end well; none is left behind when one does not."""
    processes = list(processes)
    try:
        return [finished(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def address() -> str:
    """HOST:PORT for the first of several processes; the port was free a moment ago."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"
