"""Where a number comes from: code, versions, device, memory."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

from dhauds_jax import __version__
from dhauds_jax.processors import device

try:
    import resource
except ImportError:  # Windows
    resource = None


def git_revision() -> str:
    """The commit of the code that runs, with "+changes" when the tree differs; "unknown" where git does not have it."""
    here = Path(__file__).resolve()

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here.parent), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # Installed inside somebody's own repository (in its .venv), the commit of that one says nothing of this code.
        git("ls-files", "--error-unmatch", here.name)
        return git("rev-parse", "--short=12", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    names = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    # Ours also where it is not installed, but run from its folder: a newer record is refused by this version.
    found = {"python": platform.python_version(), "dhauds_jax": __version__}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def peak_memory_mb() -> float:
    """Peak memory so far in MiB: of the device where it tells, else of this process; 0 where neither is known."""

    stats = jax.local_devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**20
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def code() -> dict[str, Any]:
    """What the code and the device are: the same each time that a command is given again."""
    return {"git_revision": git_revision(), "versions": versions(), "device": device()}


def block(command: str) -> dict[str, Any]:
    """What every record and every checkpoint says of how it came about."""
    return {
        "peak_memory_mb": peak_memory_mb(),
        **code(),
        "command": command,
    }


def provenance(command: str, seconds: float) -> dict[str, Any]:
    """What a checkpoint says of how it came about; `seconds` are those of the last sitting."""
    return {"seconds": seconds, **block(command)}
