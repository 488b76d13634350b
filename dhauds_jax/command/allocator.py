"""How the C library hands out memory: XLA takes and frees all temporary memory of a program at every call.

Fresh memory comes in pages that the system clears one by one when they are first touched; a two-view update of HuBERT
base touches a million of 4 KB. In huge pages (2 MB) it takes two thirds to four fifths of the time and half the memory
of a process that keeps what it has freed in small ones, which is the second best (docs/performance.md).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path

MODES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
"""Linux's three ways with huge pages, the one in force in brackets."""

VARIABLE, SETTING = "GLIBC_TUNABLES", "glibc.malloc.hugetlb"
"""What glibc 2.35 and later read at the start of a process, and of it what asks for huge pages (1) or not (0)."""

SINCE = (2, 35)

# Constants of glibc's <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def glibc() -> tuple[int, int] | None:
    """The version of the C library, None where it is another one."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        major, minor = version.split(".")[:2]
        return (int(major), int(minor)) if name == "glibc" else None
    except (AttributeError, OSError, ValueError):
        return None


def mode() -> str:
    """Linux's way with huge pages: "always", "madvise" (where a program asks), "never"; "" where there are none."""
    try:
        return MODES.read_text(encoding="ascii").partition("[")[2].partition("]")[0]
    except (OSError, UnicodeDecodeError):
        return ""


def use(module: str) -> None:
    """Makes large blocks of this process cheap; call it before anything large is loaded.

    Where huge pages are to be asked for, which only the start of a process can do, the process starts again in its
    place (same number, files and arguments) with glibc's setting in its environment. Where they are not to be had, or
    the process is not this command's alone, all threads share one arena of kept memory (`keep_freed_memory`). Who has
    the setting in the environment has decided.

    Args:
      module: the name of the module that is being run, "experiments.adapt" ("": none).
    """
    huge, others = mode(), os.environ.get(VARIABLE, "")
    able = huge == "madvise" and (glibc() or (0, 0)) >= SINCE
    if huge == "always" or (able and f"{SETTING}=1" in others):
        keep_freed_memory(one_arena=False)
        return
    if able and SETTING not in others and started_for(module):
        settings = ":".join(([others] if others else []) + [f"{SETTING}=1"])
        with contextlib.suppress(OSError):  # of a system that forbids it: the command runs all the same
            os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: settings})
    keep_freed_memory()


def started_for(module: str) -> bool:
    """Whether this process was started to run that command and nothing else: `python -m MODULE` or `dhauds NAME`."""
    words = sys.orig_argv[1:]
    if not sys.executable or not words:
        return False
    if "-m" in words:
        return words[words.index("-m") + 1 :][:1] in ([module], ["experiments"])
    return os.path.basename(words[0]) == "dhauds"


def keep_freed_memory(one_arena: bool = True) -> bool:
    """Makes this process keep freed memory for reuse; the price is that it stays as large as it ever was.

    glibc gives blocks above 32 MB back to the system at every free, so a step with 182 MB of temporaries (the small
    AMAuT, two views of 70 clips) pays for 45,000 page faults at every call.

    Args:
      one_arena: whether all threads share one arena, since the others cannot hold large blocks and map them anew each
        time. In a process that has compiled a program, many small blocks then take long: an update of a small AMAuT
        twice as long. In huge pages mapping is cheap, and more arenas are better.

    Returns:
      Whether the C library took it (False elsewhere than glibc: nothing is changed).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        wishes = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20), *[(_ARENA_MAX, 1)] * one_arena)
        return all([mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in wishes])
    except (AttributeError, OSError, TypeError):
        return False
