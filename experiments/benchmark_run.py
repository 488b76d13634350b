"""The timed work of `experiments.benchmark`."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, Classifier, RunInfo
from experiments import costs, records, targets

WHATS = ("forward", "adapt", "corrupt", "pipeline")


class Benchmark(NamedTuple):
    """The flags of `experiments.benchmark` (see its `--help`)."""

    what: Sequence[str]
    net: str
    classes: int
    batch: int
    seconds: float
    dtype: str
    compute: Sequence[str]
    method: str
    options: Sequence[str]
    corruption: Sequence[str]
    rounds: int
    json: bool


def _timed(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Seconds of the first call (compilation included) and median, least and most of `rounds` later ones."""
    begun = time.perf_counter()
    jax.block_until_ready(call())
    first = time.perf_counter() - begun
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - begun)
    return {
        "seconds": statistics.median(times),
        "fastest": min(times),
        "slowest": max(times),
        "first_call": first,
    }


def compute_options(run: Benchmark) -> dict[str, Any]:
    """How the network is computed, from `--dtype` and `--compute`.

    Raises:
      ValueError: not written as key=value.
    """
    options: dict[str, Any] = {"dtype": jnp.bfloat16} if run.dtype == "bfloat16" else {}
    for text in run.compute:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--compute: {text!r}, expected key=value such as attention=cudnn or scan=false")
        options[key] = {"true": True, "false": False}.get(value.lower(), value)
    return options


def build(run: Benchmark, **more: Any) -> Classifier:
    """The network of a benchmark, at the asked clip length and type; `more` goes before `--compute`.

    Raises:
      ValueError: an unknown net, or an option that the net's family does not have.
    """
    config = zoo.preset(run.net, [f"class{i}" for i in range(run.classes)])
    if run.seconds:
        config = config.replace(length=round(run.seconds * config.sample_rate))
    return zoo.build(config, **{**compute_options(run), **more})


def _unrolled(run: Benchmark, classifier: Classifier) -> Classifier:
    """The same network without a loop over its blocks, whose body XLA would count once."""
    return build(run, scan=False) if "scan" in zoo.COMPUTE.get(classifier.config.family, ()) else classifier


def _counts(run: Benchmark, seconds: float, function: Callable[..., Any], *args: Any) -> dict[str, float | None]:
    """Operations by XLA's count, before it optimises the program: of a clip, and of the whole batch a second."""
    flops = costs.counted(function, *costs.shapes_of(args))
    if flops is None:
        return {"gflops_per_clip": None, "gflops_per_s": None}
    return {"gflops_per_clip": flops / run.batch / 1e9, "gflops_per_s": flops / seconds / 1e9}


def _model_rows(run: Benchmark) -> Iterator[dict[str, Any]]:
    classifier = build(run)
    length = classifier.config.length
    wave = jnp.asarray(0.1 * np.random.default_rng(0).normal(size=(run.batch, length)), jnp.float32)
    variables = classifier.init(jax.random.key(0), wave)
    shared = {"net": run.net, "batch": run.batch, "clip_seconds": length / classifier.config.sample_rate}
    if "forward" in run.what:
        forward = jax.jit(lambda v, w: classifier.apply(v, w, mode=EVAL)[0].logits)
        timed = _timed(lambda: forward(variables, wave), run.rounds)
        plain = _unrolled(run, classifier)
        counts = _counts(run, timed["seconds"], lambda v, w: plain.apply(v, w, mode=EVAL)[0].logits, variables, wave)
        yield {"what": "forward", **shared, **timed, **counts}
    if "adapt" in run.what:
        given = dict(text.partition("=")[::2] for text in run.options)
        options = methods.resolve_options(run.method, "reference", given)
        method = methods.make(run.method, classifier, options)
        info = RunInfo(1, run.batch, run.classes)
        methods.check_needs(run.method, method, variables, info)
        step = jax.jit(method.step, donate_argnums=0)
        batch = Batch(wave, jnp.ones(run.batch), jnp.arange(run.batch, dtype=jnp.int32))
        held = [jax.tree.map(jnp.copy, method.init(variables, info))]

        def update() -> Any:
            held[0], prediction = step(held[0], batch, jax.random.key(1))
            return held[0], prediction

        timed = _timed(update, run.rounds)
        plain = methods.make(run.method, _unrolled(run, classifier), options)
        counts = _counts(run, timed["seconds"], plain.step, held[0], batch, jax.random.key(1))
        yield {"what": "adapt", "method": run.method, **shared, **timed, **counts}


def _corruption_rows(run: Benchmark) -> Iterator[dict[str, Any]]:
    """Times whole sets of `batch` clips, draws included, at level 2 with synthetic noises."""
    from dhauds_jax.data.corruptions import corrupt
    from dhauds_jax.data.noise import synthetic_bank
    from dhauds_jax.data.shifts import needs_noise

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

        timed = _timed(whole, run.rounds)
        shared = {"batch": run.batch, "clip_seconds": length / 16_000}
        per_clip = {"ms_per_clip": 1000 * timed["seconds"] / run.batch}
        yield {"what": "corrupt", "corruption": name, "level": level, **shared, **timed, **per_clip}


def benchmark(run: Benchmark) -> str:
    """Prints one line a measurement; with `json` nothing else.

    Raises:
      ValueError: unknown names.
    """
    unknown = [what for what in run.what if what not in WHATS]
    if unknown:
        raise ValueError(f"--what: unknown {unknown[0]!r}, expected some of {', '.join(WHATS)}")
    if run.batch < 2 or run.rounds < 1:
        raise ValueError("--batch must be at least 2 (BatchNorm needs two clips) and --rounds at least 1")
    precision = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": "default"}[run.dtype]
    shared = {"device": records.device(), "dtype": run.dtype, "jax": jax.__version__}
    with jax.default_matmul_precision(precision):
        if {"forward", "adapt"} & set(run.what):
            _print_rows(_model_rows(run), shared, run.json)
        if "corrupt" in run.what:
            _print_rows(_corruption_rows(run), shared, run.json)
        if "pipeline" in run.what:
            from experiments import benchmark_pipeline

            _print_rows(benchmark_pipeline.rows(run.seconds, run.batch, run.rounds), shared, run.json)
    return "" if run.json else f"peak memory {records.peak_memory_mb():.0f} MiB; --json prints one object a line"


def _print_rows(rows: Iterator[dict[str, Any]], shared: dict[str, Any], as_json: bool) -> None:
    for row in rows:
        row = {
            **row,
            "clips_per_s": row["batch"] / row["seconds"],
            "peak_memory_mb": records.peak_memory_mb(),
            **shared,
        }
        if as_json:
            print(json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()}), flush=True)
        else:
            name = " ".join(str(row[k]) for k in ("what", "net", "method", "corruption", "stage") if k in row)
            print(
                f"{name}: {1000 * row['seconds']:.1f} ms a batch of {row['batch']} x {row['clip_seconds']:g} s "
                f"({1000 * row['fastest']:.1f} to {1000 * row['slowest']:.1f}), {row['clips_per_s']:.1f} clips/s, "
                f"first call {row['first_call']:.1f} s"
                + (f", {row['gflops_per_clip']:.2f} GFLOP a clip" if row.get("gflops_per_clip") else ""),
                flush=True,
            )
