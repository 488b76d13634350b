"""The work of `experiments.benchmark`: checks what was asked for, has it timed, prints a line each."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from dhauds_jax.benchmark import device, pairs, programs, pytorch, timing
from dhauds_jax.cells import targets
from dhauds_jax.command import app
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.nets import precision, zoo
from dhauds_jax.runs.requests.benchmark import Benchmark
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import parse_options
from dhauds_jax.wording import counted
from dhauds_jax.workdir import provenance

WHATS = ("forward", "adapt", "corrupt", "pipeline", "compile", "parts", "clap", "soundscapes", "incremental")


def sizes_of(run: Benchmark) -> programs.Sizes:
    """The part of the flags that makes a program."""
    return programs.Sizes(**{name: getattr(run, name) for name in programs.Sizes._fields})


def _corruption_rows(run: Benchmark) -> Iterator[dict[str, Any]]:
    """Times whole sets of `batch` clips, draws included, at level 2 with synthetic noises."""
    from dhauds_jax.data.corruptions import corrupt, needs_noise
    from dhauds_jax.data.corruptions.noise import synthetic_bank

    length = round((run.seconds or 1.0) * 16_000)
    waves = (0.1 * np.random.default_rng(0).normal(size=(run.batch, length))).astype(np.float32)
    ids = [f"clip{i}" for i in range(run.batch)]
    for name, level in targets.expand(run.corruption, ["L2"]):
        bank = synthetic_bank(name, level) if needs_noise(name) else None

        def whole(name: str = name, level: str = level, bank: Any = bank) -> np.ndarray:
            return corrupt(
                waves,
                ids,
                dataset="synthetic",
                corruption=name,
                level=level,
                seed=0,
                bank=bank,
                sample_rate=16_000,
                length=length,
            )[0]

        timed = device.timed(whole, run.rounds)
        shared = {"batch": run.batch, "clip_seconds": length / 16_000}
        per_clip = {"ms_per_clip": 1000 * timed["seconds"] / run.batch, "cells_per_s": 1 / timed["seconds"]}
        started = time.process_time()  # of all threads: other processes slow it down less than the clock on the wall
        whole()
        per_clip["processor_ms_per_clip"] = 1000 * (time.process_time() - started) / run.batch
        yield {"what": "corrupt", "corruption": name, "level": level, **shared, **timed, **per_clip}


MOST_CLASSES = 100_000
"""Classes of a network that is timed, at most: each has a name."""


def checked(run: Benchmark) -> Benchmark:
    """The run with `--method=all` written out.

    Raises:
      BadInput: a number out of range or an unknown name, in one sentence.
    """
    unknown = [what for what in run.what if what not in WHATS]
    if unknown:
        raise BadInput(f"--what: unknown {unknown[0]!r}, expected some of {', '.join(WHATS)}")
    check_number("--batch", run.batch, 2, because="BatchNorm needs two clips")
    check_number("--classes", run.classes, 1, MOST_CLASSES)
    for name in ("rounds", "updates_per_dispatch"):
        check_number(f"--{name}", getattr(run, name), 1)
    if not 0 <= run.seconds < math.inf:
        raise BadInput(f"--seconds={run.seconds:g}: expected 0 (the network's own length) or more")
    if not run.net or not run.method:
        raise BadInput("--net and --method need at least one name each")
    beside = run.vs_torch and not {"clap", "incremental"} & set(run.what)
    if list(run.net) == ["all"] and beside:
        run = run.replace(net=list(pytorch.NETS))
    for net in run.net:
        zoo.preset(net, ("class0",))
    if list(run.method) == ["all"]:
        run = run.replace(method=list(pytorch.METHODS if beside else methods.METHODS))
    for name in run.method:
        methods.factory(name)
    if run.parallel != "jit" and (list(run.what) != ["adapt"] or run.vs_torch or run.from_features):
        raise BadInput(f"--parallel={run.parallel}: times updates from waves, expected --what=adapt alone")
    if "clap" in run.what:
        from dhauds_jax.benchmark import clap

        clap.check(run.net, run.vs_torch)
        if list(run.what) != ["clap"]:
            raise BadInput("--what=clap: its nets are pairs of towers, expected it alone")
    elif "incremental" in run.what:
        _check_incremental(run)
    elif run.vs_torch:
        run = run.replace(torch_modes=["compiled"] if run.torch_compile else run.torch_modes)
        pytorch.check(run.what, run.net, run.method, run.torch_modes, sizes_of(run))
    return run


def _check_incremental(run: Benchmark) -> None:
    from dhauds_jax.benchmark import incremental

    if list(run.what) != ["incremental"]:
        raise BadInput("--what=incremental: its networks are read, not timed, expected it alone")
    for name in ("seeds", "tests"):
        check_number(f"--{name}", getattr(run, name), 1)
    nets = [programs.build(net, sizes_of(run)) for net in run.net]
    incremental.check(_shape_of(run), nets, run.learner, run.options, run.vs_torch)


def _shape_of(run: Benchmark) -> Any:
    from dhauds_jax.benchmark.incremental import Shape

    return Shape(run.classes, run.tests, run.seeds)


def benchmark(run: Benchmark) -> str:
    """Prints one line a measurement; with `json` nothing else.

    Raises:
      BadInput: unknown names, or the only thing asked for cannot run.
    """
    run = checked(run)
    say(_work(run))
    if run.vs_torch:
        # PyTorch works in a process of its own on the same device: do not take its memory for ours.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if "compile" in run.what:  # first, while this process holds nothing of the device
        from dhauds_jax.benchmark import compilation

        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        _print_rows(compilation.rows(run.net, run.method, run.options, sizes_of(run)), run)
    with jax.default_matmul_precision(precision.MATMUL[run.dtype]):
        if {"forward", "adapt"} & set(run.what):
            _print_rows(_model_rows(run), run)
        if "parts" in run.what:
            from dhauds_jax.benchmark import parts as benchmark_parts

            found = benchmark_parts.rows(run.net, sizes_of(run), run.rounds)
            if run.json:
                _print_rows(found, run)
            else:
                for line in benchmark_parts.table(found):
                    print(line, flush=True)
        if "clap" in run.what:
            from dhauds_jax.benchmark import clap

            _print_rows(clap.rows(run.net, sizes_of(run), run.rounds, run.vs_torch), run)
        if "corrupt" in run.what:
            _print_rows(_corruption_rows(run), run)
        if "pipeline" in run.what:
            from dhauds_jax.benchmark import pipeline

            _print_rows(pipeline.rows(run.seconds, run.batch, run.rounds), run)
        if "incremental" in run.what:
            from dhauds_jax.benchmark import incremental

            asked = (run.net, run.learner, run.options, sizes_of(run), _shape_of(run), run.rounds, run.vs_torch)
            _print_rows(incremental.rows(*asked), run)
        if "soundscapes" in run.what:
            from dhauds_jax.benchmark import soundscapes

            _print_rows(soundscapes.rows(run.seconds, run.batch, run.rounds), run)
    if run.json:
        return ""
    where = f"profiles in {run.profile}; " if run.profile else ""
    memory = f"peak memory {provenance.peak_memory_mb():.0f} MiB"
    return f"{where}device: {provenance.device()}; {memory}; --json prints one object a line"


def _work(run: Benchmark) -> str:
    """How much is measured, in numbers."""
    asked = set(run.what)
    counts = [counted(len(run.net), "network")] if asked - {"corrupt", "pipeline"} else []
    counts += [counted(len(run.method), "method")] if asked & {"adapt", "compile"} else []
    counts += [counted(len(targets.expand(run.corruption, ["L2"])), "corruption")] if "corrupt" in asked else []
    rounds = f"{counted(run.rounds, 'round')} of each after one that compiles"
    return f"work: {', '.join([*run.what, *counts, f'batches of {run.batch:,}', rounds])}"


def _model_rows(run: Benchmark) -> Iterator[dict[str, Any]]:
    if run.parallel != "jit":
        from dhauds_jax.benchmark import devices

        yield from devices.rows(run.net, run.method, run.options, sizes_of(run), run.parallel, run.rounds)
        return
    sizes = sizes_of(run)
    asked = (run.what, run.method, run.options)
    if not run.vs_torch:

        def alone(program: timing.Program, given: programs.Given) -> dict[str, Any]:
            return timing.row_of(program, run.dtype, run.rounds, run.profile)

        yield from programs.rows(run.net, *asked, sizes, alone)
        return
    yield from _rows_in_turns(run, sizes)


def _rows_in_turns(run: Benchmark, sizes: programs.Sizes) -> Iterator[dict[str, Any]]:
    """Rows with PyTorch beside them, both alive and one of them asleep."""

    def options(name: str) -> dict[str, Any]:
        return parse_options(name, "reference", run.options, run.method)

    with pytorch.Side() as side:
        for net in run.net:
            mine = sizes._replace(from_features=True)
            if programs.config_of(net, mine).family == "hubert" and mine.layer_drop is None:
                # A skipped block is a Python branch, which breaks a compiled graph.
                mine = mine._replace(layer_drop=0.0)
            how = {"rounds": max(run.rounds, pairs.FEWEST), "modes": run.torch_modes}
            beside = pytorch.Beside(side, options, mine, **how)
            try:
                yield from programs.rows([net], run.what, run.method, run.options, mine, beside)
            except BadInput as error:
                if len(run.net) == 1:
                    raise
                yield {"what": run.what[-1], "net": net, "reason": str(error)}


def as_json(row: dict[str, Any]) -> str:
    """A row as one line; numbers to six digits."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.6g}")
        return [short(v) for v in value] if isinstance(value, list) else value

    return json.dumps({key: short(value) for key, value in row.items()})


def _with_shared(rows: Iterator[dict[str, Any]], run: Benchmark) -> Iterator[dict[str, Any]]:
    shared: dict[str, Any] = {}
    for row in rows:
        if not shared:  # asked late: it starts the device
            shared = {**provenance.block(app.command()), "dtype": run.dtype, "jax": jax.__version__}
        memory = {"peak_memory_mb": provenance.peak_memory_mb()}
        rate = {"clips_per_s": row["batch"] / row["seconds"]} if "seconds" in row else {}
        yield {"what": row["what"], **rate, **row, **shared, **memory}


def _print_rows(rows: Iterator[dict[str, Any]], run: Benchmark) -> None:
    for row in _with_shared(rows, run):
        print(as_json(row) if run.json else _sentence(row), flush=True)


def _sentence(row: dict[str, Any]) -> str:
    name = " ".join(
        str(row[k]) for k in ("what", "part", "of", "learner", "net", "method", "corruption", "stage") if k in row
    )
    if "reason" in row:
        return f"{name}: not measured, {row['reason']}"
    if row["what"] == "compile":
        parts = "; ".join(
            f"{which} {row[f'{which}_s']:.1f} s (trace and lower {row[which]['lower_s']:.1f}, compile "
            f"{row[which]['compile_s']:.1f}, first call {row[which]['execute_s']:.1f})"
            for which in ("cold", "cached")
        )
        return f"{name}: {parts}"
    sentence = (
        f"{name}: {1000 * row['seconds']:.1f} ms a batch of {row['batch']} x {row['clip_seconds']:g} s "
        f"({1000 * row['fastest']:.1f} to {1000 * row['slowest']:.1f}), {row['clips_per_s']:.1f} clips/s, "
        f"first call {row['first_call']:.1f} s"
    )
    if row["what"] == "soundscapes":
        sentence += f", {row['ms_per_clip']:.1f} ms of processor time each"
    if row["what"] == "incremental":
        sentence += f", {row['forwards']:,} forwards of the network (published {row['published_forwards']:,})"
        ways = {key.removeprefix("vs_torch_"): row[key] for key in row if key.startswith("vs_torch_")}
        sentence += "".join(f"; PyTorch {way} takes {ratio:.2f} times as long" for way, ratio in ways.items())
        if "seeds" in row:
            sentence += f"; {row['seeds']} seeds at once in {row['together_s']:.2f} s, alone {row['alone_s']:.2f} s"
    if row.get("peak_share") is not None:
        sentence += f", {row['tflops']:.3g} TFLOP/s, {100 * row['peak_share']:.0f} % of a large product"
    if "cells_per_s" in row:
        sentence += f", {row['cells_per_s']:.2f} such sets/s"
    if "vs_torch" in row:
        sentence += f"; PyTorch {1000 * row['torch']['seconds']:.1f} ms, ratio of clips/s {row['vs_torch']:.2f}"
    if "vs_torch_interval" in row:
        low, high = row["vs_torch_interval"]
        sure = "" if row["settled"] else ", not settled"
        sentence += f" ({low:.2f} to {high:.2f}, {row['vs_torch_rounds']} rounds, {row['torch']['mode']}{sure})"
    return sentence
