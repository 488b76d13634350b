"""Compiled programs are kept in a folder of the user, so that the same command starts faster the next time.

A cache only saves time: where there can be none the command works without, and says nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import platform
import time
import warnings
from pathlib import Path

from dhauds_jax.errors import BadInput
from dhauds_jax.files import check_folder

MAX_BYTES = 4 * 2**30
"""Size beyond which the oldest programs are removed (where the package `filelock` is there to do it safely)."""

VARIABLES = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
"""Environment variables of JAX: who sets one of them has decided already."""

TORN_AFTER_S = 60.0
"""Seconds after which a program without the time of its last use is one whose writer was killed."""


def bounded() -> bool:
    """Whether JAX can hold the folder to `MAX_BYTES`."""
    return importlib.util.find_spec("filelock") is not None


def folder() -> Path | None:
    """`$XDG_CACHE_HOME/dhauds_jax/programs-...` (by default under `~/.cache`), one folder a kind of processor.

    Programs for a CPU are machine code, and a home folder may be shared by machines of different kinds. A process that
    bounds the folder reads beside every program when it was last used, which one that cannot does not write: these
    have a folder of their own, with "-unbounded" in its name. None where nobody knows of a home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):  # no HOME and no entry among the users; as the XDG specification has it, too
        return None
    return Path(base) / "dhauds_jax" / f"programs-{_processor()}{'' if bounded() else '-unbounded'}"


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
      The folder; None where the environment has decided otherwise or nothing can be written there.
    """
    # A full disk, a lock that another process holds for long, a program that was cut short: it is compiled once more.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache", UserWarning)
    path = None if any(name in os.environ for name in VARIABLES) else folder()
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
        check_folder(path, "compilation_cache")
    except (OSError, BadInput):
        return None
    import jax

    jax.config.update("jax_compilation_cache_dir", str(path))
    # Also the many small programs: together they take longer to compile than to read.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    if bounded():
        _remove_torn(path)
        jax.config.update("jax_compilation_cache_max_size", MAX_BYTES)
    return path


def _remove_torn(path: Path) -> None:
    """Removes programs without the time of their last use: JAX looks for all of them before it adds one, and would add
    none any more."""
    latest = time.time() - TORN_AFTER_S
    for program in path.glob("*-cache"):
        used = program.with_name(f"{program.name.removesuffix('-cache')}-atime")
        with contextlib.suppress(OSError):  # another process has removed it
            if not used.exists() and program.stat().st_mtime < latest:
                program.unlink()
