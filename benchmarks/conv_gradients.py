"""Convolutions and their gradients on a processor: as XLA derives them, and as nets/convolution.py writes them out.

Example: python -m benchmarks.conv_gradients                       (a few minutes; --only=hubert_base, --loops=false)
Each is called on its own and in a loop, ours and XLA's in turns; a line a shape and direction, medians in ms. A call in
a loop that takes more than 3 s is timed once.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.nets import convolution

SHAPES = {
    "hubert_base": [(8, (3199,), 512, 512, (3,), (2,), 0), (8, (199,), 512, 512, (2,), (2,), 0)],
    "hubert_small": [(8, (3199,), 96, 96, (3,), (2,), 0)],
    "amaut_small": [(70, (100,), 80, 64, (14,), (2,), 6), (70, (24,), 64, 64, (7,), (1,), 3)],
    "resnet": [(8, (64, 64), 16, 16, (3, 3), (1, 1), 1), (8, (64, 64), 16, 32, (3, 3), (2, 2), 1)],
}
"""Network -> some of its layers: clips, positions, channels, features, taps, strides, zeros around."""

ROUNDS, TURN_S, LONG_S = 7, 0.03, 3.0


def looped(function: Callable[..., Array]) -> Callable[..., Array]:
    """The same once, inside a loop that nothing can be taken out of."""

    def run(*arrays: Array) -> Array:
        def body(zero: Array, _: None) -> tuple[Array, Array]:
            found = function(*(array + zero for array in arrays))
            return 0 * found.ravel()[0], found

        return jax.lax.scan(body, jnp.zeros(()), None, length=1)[1][0]

    return run


def directions(conv: Callable[..., Array], *rest: Any) -> dict[str, Callable[..., Array]]:
    """`(x, kernel, dy) -> array`: the output, the gradient by the inputs, that by the kernel."""
    return {
        "forward": lambda x, k, dy: conv(x, k, *rest),
        "inputs": lambda x, k, dy: jax.vjp(lambda a: conv(a, k, *rest), x)[1](dy)[0],
        "kernel": lambda x, k, dy: jax.vjp(lambda b: conv(x, b, *rest), k)[1](dy)[0],
    }


def timed(call: Callable[[], Array]) -> float:
    """Milliseconds of a call, the mean of as many as fill a turn."""
    begun, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - begun < TURN_S:
        jax.block_until_ready(call())
        calls += 1
    return 1000 * (time.perf_counter() - begun) / calls


def medians(calls: dict[str, Callable[[], Array]]) -> dict[str, float]:
    """Milliseconds of each, in turns."""
    for call in calls.values():
        jax.block_until_ready(call())  # compiled
    first = {name: timed(call) for name, call in calls.items()}
    quick = [name for name, ms in first.items() if ms < 1000 * LONG_S]
    times: dict[str, list[float]] = {name: [first[name]] for name in calls}
    for _ in range(ROUNDS - 1):
        for name in quick:
            times[name].append(timed(calls[name]))
    return {name: statistics.median(ms) for name, ms in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"one of {', '.join(SHAPES)}")
    parser.add_argument("--loops", default="true", choices=("true", "false"), help="whether to time them in loops too")
    given = parser.parse_args()
    jax.config.update("jax_default_matmul_precision", "highest")
    random = np.random.default_rng(0)
    ways = {"XLA": convolution.by_xla, "ours": convolution.convolve}
    for net, layers in SHAPES.items():
        for clips, sizes, channels, features, taps, strides, around in layers if given.only in ("", net) else ():
            rest = (strides, ((around, around),) * len(sizes))
            x = jnp.asarray(random.normal(size=(clips, *sizes, channels)), jnp.float32)
            kernel = jnp.asarray(random.normal(size=(*taps, channels, features)), jnp.float32)
            dy = convolution.by_xla(x, kernel, *rest)
            print(f"{net}: {x.shape}, {kernel.shape}, strides {strides}")
            for direction in ("forward", "inputs", "kernel"):
                calls = {}
                for way, conv in ways.items():
                    function = directions(conv, *rest)[direction]
                    forms = {"": function, " in a loop": looped(function)}
                    for form in forms if given.loops == "true" else [""]:
                        jitted = jax.jit(forms[form])
                        calls[way + form] = lambda jitted=jitted, x=x, k=kernel, dy=dy: jitted(x, k, dy)
                found = medians(calls)
                print(f"  {direction:8} " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in found.items()), flush=True)


if __name__ == "__main__":
    main()
