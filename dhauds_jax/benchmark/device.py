"""What this machine's device can do, measured in the run that is compared with it: large products and copies."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets.precision import MATMUL

PRODUCT = {"cpu": 2048}
"""Platform -> rows of the large product (elsewhere 16384, 8.8 TFLOP)."""
COPIED_MEBIBYTES = {"cpu": 256}
"""Platform -> size of the copied array in MiB (elsewhere 2048), beyond the last cache."""
ATTEMPTS = 6


def compute_type(dtype: str) -> Any:
    """The element type of a `--dtype`."""
    return jnp.bfloat16 if dtype == "bfloat16" else jnp.float32


@functools.cache
def peak_flops(dtype: str) -> float:
    """Floating-point operations a second of a large square product, the best of several; measured once a process.

    Args:
      dtype: a key of `precision.MATMUL`.
    """
    rows = PRODUCT.get(jax.default_backend(), 16384)
    with jax.default_matmul_precision(MATMUL[dtype]):
        a, b = jax.random.normal(jax.random.key(0), (2, rows, rows), compute_type(dtype))
        product = jax.jit(jnp.matmul)
        jax.block_until_ready(product(a, b))
        return 2 * rows**3 / _least(lambda: product(a, b))


@functools.cache
def copy_bytes() -> float:
    """Bytes a second, read and written, of adding 1 to a large float32 array in place; measured once a process."""
    values = COPIED_MEBIBYTES.get(jax.default_backend(), 2048) * 2**20 // 4
    held = [jnp.zeros(values, jnp.float32)]
    plus_one = jax.jit(lambda x: x + 1, donate_argnums=0)

    def copied() -> Any:
        held[0] = plus_one(held[0])
        return held[0]

    jax.block_until_ready(copied())
    return 2 * 4 * values / _least(copied)


def _least(call: Callable[[], Any]) -> float:
    """Seconds of the quickest of several calls, over half a second at least: a busy machine has quiet moments."""
    times = [_seconds(call)]
    while len(times) < ATTEMPTS or sum(times) < 0.5:
        times.append(_seconds(call))
    return min(times)


def _seconds(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begun


def timed(call: Callable[[], Any], rounds: int) -> dict[str, Any]:
    """Seconds of the first call and, of `rounds` later ones, median, least, most and quartiles."""
    first = _seconds(call)
    return {**summarised([_seconds(call) for _ in range(rounds)]), "first_call": first}


def summarised(times: list[float]) -> dict[str, Any]:
    """Median, least and most of some seconds, and their quartiles (25 %, 75 %)."""
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "quartiles": [float(q) for q in np.percentile(times, [25, 75])],
    }


def shares(flops: float | None, seconds: float, dtype: str) -> dict[str, float | None]:
    """Counted operations a second in TFLOP/s, those of the large product, and their ratio; None where none counted."""
    peak = peak_flops(dtype)
    rate = None if flops is None else flops / seconds
    return {
        "tflops": None if rate is None else rate / 1e12,
        "peak_tflops": peak / 1e12,
        "peak_share": None if rate is None else rate / peak,
    }
