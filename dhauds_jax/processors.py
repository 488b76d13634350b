"""On what this process computes: processor cores and devices."""

from __future__ import annotations

import os


def available_cores() -> int:
    """Cores that this process may run on, at least 1; where the system does not say (macOS), all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device() -> str:
    """Kind and number of the devices that JAX computes on, with the processor cores beside a CPU."""
    import jax

    devices = jax.devices()
    cores = f", {available_cores()} cores" if devices[0].platform == "cpu" else ""
    return f"{len(devices)} x {devices[0].device_kind}{cores}"
