"""How long a program of the benchmark takes to lower, to compile and to run, what it counts and moves; profiles."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dhauds_jax.benchmark import device
from dhauds_jax.tta import flops as tta_flops

TRACED_CALLS = 3
"""Calls of a program in a profile."""


class Program(NamedTuple):
    """A function to time with its arguments.

    Attributes:
      row: what it is, for the output.
      function: pure; where `carried`, its first argument is a state (donated) and its result's first entry the next.
      args: its arguments.
      plain: the same without loops, whose bodies XLA would count once; one update.
      updates: updates that a call does.
      looped: whether it holds a loop over blocks or updates.
    """

    row: dict[str, Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    carried: bool
    plain: Callable[..., Any]
    updates: int
    looped: bool


class Timed(NamedTuple):
    """A program's times, with the lowered and the compiled program and the call that was timed."""

    times: dict[str, Any]
    lowered: Any
    compiled: Any
    call: Callable[[], Any]


def time_program(program: Program, rounds: int) -> Timed:
    """Lowers, compiles and calls a program; seconds of an update (of a pass), but `first_call` is of all before.

    The state among the program's arguments is donated, so a program is timed once.
    """
    begun = time.perf_counter()
    jitted = jax.jit(program.function, donate_argnums=(0,) if program.carried else ())
    lowered = jitted.lower(*program.args)
    lower = time.perf_counter() - begun
    compiled = lowered.compile()
    compilation = time.perf_counter() - begun - lower
    first, *rest = program.args
    held = [first]
    del first

    def call() -> Any:
        result = compiled(held[0], *rest)
        if program.carried:
            held[0] = result[0]
        return result

    found = device.timed(call, rounds)
    whole = {"first_call": found["first_call"] + lower + compilation, "lower_s": lower, "compile_s": compilation}
    each = {key: found[key] / program.updates for key in ("seconds", "fastest", "slowest")}
    each["quartiles"] = [q / program.updates for q in found["quartiles"]]
    return Timed({**each, **whole, "execute_s": found["first_call"]}, lowered, compiled, call)


def row_of(program: Program, dtype: str, rounds: int, profile: str) -> dict[str, Any]:
    """The output row of a program: times, counted operations, share of the device's peak, memory moved and held."""
    shapes = tta_flops.shapes_of(program.args)
    timed = time_program(program, rounds)
    row = {**program.row, **timed.times}
    if profile:
        name = "-".join(str(row[key]) for key in ("what", "net", "method") if key in row)
        row["trace"] = traced(timed.call, Path(profile) / name)
    return {**row, **counts_of(program, shapes, timed, row["seconds"], dtype)}


def counts_of(program: Program, shapes: Any, timed: Timed, seconds: float, dtype: str) -> dict[str, Any]:
    """What is counted of a program that took so many seconds: operations, memory, shares of the device's peaks.

    Args:
      program: the program.
      shapes: of its arguments, taken before it ran (`tta.flops.shapes_of`): a state is donated.
      timed: its compiled form.
      seconds: of a call.
      dtype: a key of `precision.MATMUL`.
    """
    # Without a loop the program is the plain one, which need not be traced again.
    flops = None if program.looped else tta_flops.of_lowered(timed.lowered)
    flops = tta_flops.counted(program.plain, *shapes) if flops is None else flops
    batch = program.row["batch"]
    moved = None if program.looped else bytes_moved(timed.compiled)
    memory = timed.compiled.memory_analysis()
    return {
        "gflops_per_clip": None if flops is None else flops / batch / 1e9,
        "gflops_per_s": None if flops is None else flops / seconds / 1e9,
        "bytes_per_clip": None if moved is None else moved / batch,
        "temporary_mb": None if memory is None else memory.temp_size_in_bytes / 2**20,
        **device.shares(flops, seconds, dtype),
        "copy_gb_s": device.copy_bytes() / 1e9,
    }


def bytes_moved(compiled: Any) -> float | None:
    """Bytes that a compiled program reads and writes by XLA's count, after fusion; bodies of loops count once."""
    found = compiled.cost_analysis() or {}
    found = found[0] if isinstance(found, list | tuple) else found
    return float(found["bytes accessed"]) if found.get("bytes accessed", 0) > 0 else None


def traced(call: Callable[[], Any], folder: Path) -> str:
    """Writes a profile of a few calls under `folder`, for TensorBoard or Perfetto; returns the folder."""
    with jax.profiler.trace(str(folder)):
        for _ in range(TRACED_CALLS):
            jax.block_until_ready(call())
    return str(folder)
