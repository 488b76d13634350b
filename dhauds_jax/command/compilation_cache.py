"""Compiled programs are kept in a folder of the user, so that the same command starts faster the next time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from pathlib import Path

MAX_BYTES = 4 * 2**30
"""Size beyond which the oldest programs are removed (where the package `filelock` is there to do it safely)."""

VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
"""Environment variables of JAX: who sets one of them has decided already."""


def folder() -> Path:
    """`$XDG_CACHE_HOME/dhauds_jax/programs-...` (by default under `~/.cache`), one folder a kind of processor.

    Programs for a CPU are machine code, and a home folder may be shared by machines of different kinds.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "dhauds_jax" / f"programs-{_processor()}"


def _processor() -> str:
    """Eight hexadecimal digits that name the kind of processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        kind = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    except OSError:
        kind = []
    return hashlib.sha256("\n".join([platform.machine(), platform.processor(), *kind]).encode()).hexdigest()[:8]


def use() -> Path | None:
    """Makes JAX keep every compiled program in `folder()`; call it before the first compilation.

    Returns:
      The folder; None where the environment has decided otherwise or the folder cannot be made.
    """
    if any(name in os.environ for name in VARIABLES):
        return None
    import jax

    path = folder()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(path))
    # Also the many small programs: together they take longer to compile than to read.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if importlib.util.find_spec("filelock") is not None:
        jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    return path
