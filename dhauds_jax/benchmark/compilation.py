"""Compile times for `experiments.benchmark --what=compile`: the same work in two fresh processes with one new cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax.command.app import BAD_INPUT
from dhauds_jax.errors import BadInput

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ("JAX_COMPILATION_CACHE", "JAX_PERSISTENT_CACHE", "JAX_ENABLE_COMPILATION_CACHE")
"""Variables of the environment that would give the measured process another cache."""


def environment(cache: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a measured process: `inherited` with nothing but `cache` for compiled programs, all kept."""
    own = {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])]),
    }
    return {**{name: value for name, value in inherited.items() if not name.startswith(FOREIGN)}, **own}


def rows(nets: Sequence[str], names: Sequence[str], options: Sequence[str], sizes: Any) -> Iterator[dict[str, Any]]:
    """Two rows for each net (forward) and pair of net and method (adapt).

    `cold_s` and `cached_s`: seconds of tracing, lowering, compilation and the first call; the parts are in `cold` and
    `cached`, with the programs that the process took from the cache (`hits`) and did not find there (`misses`), and
    the files in the cache behind it. What cannot run gives a row with `reason`.

    Args:
      nets: names of the zoo.
      names: methods.
      options: of the methods, key=value or method.key=value.
      sizes: a `programs.Sizes`.

    Raises:
      RuntimeError: a bug in the process that measures; its traceback is quoted.
    """
    from dhauds_jax.tta.options import parse_options

    for net in nets:
        for of, name in [("forward", ""), *(("adapt", name) for name in names)]:
            work = {"of": of, "net": net, "method": name, "sizes": sizes._asdict()}
            about = {key: work[key] for key in ("of", "net", "method") if work[key]}
            with tempfile.TemporaryDirectory(prefix="compile-times-") as cache:
                try:
                    work["options"] = parse_options(name, "reference", options, names) if name else {}
                    cold, cached = _child(work, cache), _child(work, cache)
                except BadInput as error:
                    yield {"what": "compile", **about, "reason": str(error)}
                    continue
            sums = {f"{which}_s": found["total_s"] for which, found in (("cold", cold), ("cached", cached))}
            shared = {key: cold.pop(key) for key in ("batch", "clip_seconds")}
            cached = {key: value for key, value in cached.items() if key not in shared}
            yield {"what": "compile", **about, **shared, **sums, "cold": cold, "cached": cached}


def _child(work: dict[str, Any], cache: str) -> dict[str, Any]:
    """What a fresh process measures of the work.

    Raises:
      BadInput: the work cannot run, in a sentence; or the system ended the process (out of memory).
      RuntimeError: a bug.
    """
    words = [sys.executable, "-m", "dhauds_jax.benchmark.compilation", json.dumps(work)]
    done = subprocess.run(words, env=environment(cache, os.environ), capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode == BAD_INPUT:
        raise BadInput(done.stderr.strip().splitlines()[-1])
    if done.returncode < 0:
        raise BadInput(f"the process that measures was ended by signal {-done.returncode}, as for want of memory")
    if done.returncode or not lines:
        raise RuntimeError(f"the process that measures ended with code {done.returncode}:\n{done.stderr.strip()}")
    return {**json.loads(lines[-1]), "files": sum(1 for path in Path(cache).rglob("*") if path.is_file())}


def measure(work: Mapping[str, Any]) -> dict[str, Any]:
    """Seconds of tracing and lowering, compilation and the first call of a work, in this process."""
    import jax

    from dhauds_jax.benchmark import programs, timing
    from dhauds_jax.nets import precision

    counts = {"hits": 0, "misses": 0}

    def listen(event: str, **_: Any) -> None:
        for name in counts:
            counts[name] += event == f"/jax/compilation_cache/cache_{name}"

    jax.monitoring.register_event_listener(listen)
    sizes = programs.Sizes(**work["sizes"])
    with jax.default_matmul_precision(precision.MATMUL[sizes.dtype]):
        given = programs.prepare(work["net"], sizes)
        if work["of"] == "forward":
            program = programs.forward_program(given, sizes)
        else:
            program = programs.adapt_program(given, work["method"], work["options"], sizes)
        times = timing.time_program(program, rounds=1).times
    parts = {key: times[key] for key in ("lower_s", "compile_s", "execute_s")}
    shared = {key: program.row[key] for key in ("batch", "clip_seconds")}
    return {**shared, **parts, "total_s": sum(parts.values()), **counts}


def _main(text: str) -> None:
    from dhauds_jax.command import allocator

    allocator.use("dhauds_jax.benchmark.compilation")
    import jax

    try:
        print(json.dumps(measure(json.loads(text))))
    except (BadInput, jax.errors.JaxRuntimeError) as error:  # the second: too little memory on the device
        print(" ".join(str(error).split())[:300], file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    _main(sys.argv[1])
