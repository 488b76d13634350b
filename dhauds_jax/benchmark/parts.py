"""Hot spots for `experiments.benchmark --what=parts`: each part of a net alone, and its distance from the limits.

The parts are in `benchmark.part_lists`. They overlap: a block holds its attention, the stack its blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dhauds_jax.benchmark import device, programs, timing
from dhauds_jax.benchmark.part_lists import FAMILIES, Function, Part, whole
from dhauds_jax.benchmark.programs import Sizes
from dhauds_jax.errors import BadInput
from dhauds_jax.tta import flops as tta_flops


def rows(nets: Sequence[str], sizes: Sizes, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each part and direction of each net.

    Seconds are of one call; `share` is of the whole net's seconds in that direction (inputs and weights: of its
    gradient), all `times` together. `gflop`: XLA's count of the program as written; `moved_mb`: bytes read and written
    after fusion, in 10^6 (None where a loop hides them). `bound` says which would take longer, the operations at the
    rate of a large product or the bytes at that of a large copy, and `gap` how many times that long it took.

    Raises:
      BadInput: a net whose family has no list of parts.
    """
    for net in nets:
        family = programs.config_of(net, sizes).family
        if family not in FAMILIES:
            raise BadInput(f"--what=parts: net {net!r} is of family {family}, expected one of {', '.join(FAMILIES)}")
        given = programs.prepare(net, sizes._replace(from_features=True))
        wholes: dict[str, float] = {}
        for part in [whole(given, sizes), *FAMILIES[family](given, sizes)]:
            for direction in part.directions:
                row = _measured(part, direction, sizes, rounds)
                wholes.setdefault(direction, row["seconds"])
                base = wholes["forward" if direction == "forward" else "gradient"]
                row["share"] = part.times * row["seconds"] / base
                yield {"what": "parts", **given.row, **row}


def _directed(function: Function, direction: str) -> Callable[..., Any]:
    """`(params, inputs, cotangent, key) -> outputs or gradients` of a part."""
    if direction == "forward":
        return lambda params, inputs, cotangent, key: function(params, inputs, None)

    def gradient(params: Any, inputs: Array, cotangent: Array, key: Array) -> Any:
        if direction == "inputs":
            return jax.vjp(lambda x: function(params, x, key), inputs)[1](cotangent)
        if direction == "weights":
            return jax.vjp(lambda p: function(p, inputs, key), params)[1](cotangent)
        return jax.vjp(lambda p, x: function(p, x, key), params, inputs)[1](cotangent)

    return gradient


def _measured(part: Part, direction: str, sizes: Sizes, rounds: int) -> dict[str, Any]:
    out = jax.eval_shape(lambda p, x: part.function(p, x, None), part.params, part.inputs)
    # The key is an argument: of a constant one XLA would compute the masks while it compiles.
    args = (part.params, part.inputs, jnp.ones(out.shape, out.dtype), jax.random.key(1))
    lowered = jax.jit(_directed(part.function, direction)).lower(*args)
    compiled = lowered.compile()
    timed = device.timed(lambda: compiled(*args), rounds)
    flops = _operations(part, direction, lowered, args) if part.counted else None
    moved = timing.bytes_moved(compiled) if part.counted and part.plain is None else None
    row = {"part": part.name, "direction": direction, "times": part.times, **timed}
    row["gflop"] = None if flops is None else flops / 1e9
    row["moved_mb"] = None if moved is None else moved / 1e6
    row["gflops_per_s"] = None if flops is None else flops / timed["seconds"] / 1e9
    return {**row, **limits(flops, moved, timed["seconds"], sizes.dtype)}


def _operations(part: Part, direction: str, lowered: Any, args: tuple[Any, ...]) -> float | None:
    """Those of the part without loops; where it has none it is what was lowered to be timed."""
    flops = tta_flops.of_lowered(lowered) if part.plain is None else None
    if flops is not None:
        return flops
    return tta_flops.counted(_directed(part.plain or part.function, direction), *tta_flops.shapes_of(args))


def limits(flops: float | None, moved: float | None, seconds: float, dtype: str) -> dict[str, Any]:
    """Which of the device's limits binds, `arithmetic` or `memory`, and the time as a multiple of what it allows."""
    rates = {"peak_tflops": device.peak_flops(dtype) / 1e12, "copy_gb_s": device.copy_bytes() / 1e9}
    if flops is None or moved is None:
        return {"bound": None, "gap": None, **rates}
    least = {"arithmetic": flops / rates["peak_tflops"] / 1e12, "memory": moved / rates["copy_gb_s"] / 1e9}
    bound = max(least, key=least.__getitem__)
    return {"bound": bound, "gap": seconds / least[bound] if least[bound] else None, **rates}


def table(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The rows as the lines of a Markdown table, each as soon as it is measured."""
    names = ("net", "part", "direction", "times", "ms", "share", "GFLOP", "MB", "GFLOP/s", "bound", "gap")
    yield from ("| " + " | ".join(names) + " |", "|---|---|---|" + "---:|" * 6 + "---|---:|")

    def text(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    for row in rows:
        cells = [row["net"], row["part"], row["direction"], str(row["times"]), f"{1000 * row['seconds']:.3g}"]
        cells += [f"{100 * row['share']:.1f} %", text(row["gflop"], ".3g"), text(row["moved_mb"], ".3g")]
        cells += [text(row["gflops_per_s"], ".0f"), text(row["bound"], ""), text(row["gap"], ".1f")]
        yield "| " + " | ".join(cells) + " |"
