"""How the C library treats freed memory: XLA takes and frees all temporary memory of a program at every call."""

from __future__ import annotations

import ctypes

# Constants of glibc's <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> bool:
    """Makes this process keep freed memory for reuse; call it first thing in a program that runs on CPU.

    glibc gives blocks above 32 MB back to the system at every free, so a step with 182 MB of temporaries (the small
    AMAuT, two views of 70 clips) pays for 45,000 page faults, a quarter of its CPU time, at every call. The price is
    that the process stays as large as it ever was.

    Returns:
      Whether the C library took it (False elsewhere than glibc: nothing is changed).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
        # One arena: the others cannot hold large blocks and would map them anew each time.
        wishes = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
        return all([mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in wishes])
    except (AttributeError, OSError, TypeError):
        return False
