"""On what this process computes: processor cores and devices."""

from __future__ import annotations

import ctypes
import functools
import os


def available_cores() -> int:
    """Cores that this process may run on, at least 1; where the system does not say (macOS), all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def one_thread_of_linear_algebra() -> bool:
    """From now on JAX's eigenvalues, solutions and factors of matrices on a CPU are computed by one thread (LAPACK).

    That library is SciPy's OpenBLAS, whose threads wait for each other by spinning: the spectrum of a 250 x 250 matrix
    took 7 ms of a core by one thread, and 100 to 700 by two where something else ran. Products are XLA's own, and keep
    their threads.

    Returns:
      Whether the library took it (False where SciPy was built with another one: nothing is changed).
    """
    try:
        from scipy.linalg import cython_blas

        ctypes.CDLL(cython_blas.__file__).scipy_openblas_set_num_threads(ctypes.c_int(1))
    except (AttributeError, ImportError, OSError):
        return False
    return True


def device() -> str:
    """Kind and number of the devices that JAX computes on, with the processor cores beside a CPU."""
    import jax

    devices = jax.devices()
    cores = f", {available_cores()} cores" if devices[0].platform == "cpu" else ""
    return f"{len(devices)} x {devices[0].device_kind}{cores}"
