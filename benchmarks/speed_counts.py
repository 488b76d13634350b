"""What can be counted of a compiled update, in docs/records/speed/counts.json: operations, temporaries, compilations.

Example: python -m benchmarks.speed_counts                 (counts anew and writes)
tests/benchmark/test_counts.py holds the counts of today's code to the written ones, so that an update that grew, or is
compiled twice, is seen without measuring a time. Write anew, and say why, where a change is meant.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from dhauds_jax.benchmark import programs
from dhauds_jax.command import compilation_cache
from dhauds_jax.files import write_atomically
from dhauds_jax.serve import compilations
from dhauds_jax.tta import flops as tta_flops
from dhauds_jax.tta.options import parse_options

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "docs/records/speed/counts.json"

WORKS = (("amaut_tiny", "tent"), ("hubert_tiny", "dhauds"))
"""(network, method); small ones, whose programs have every part that the large ones have."""

BATCH, CLASSES, UPDATES = 4, 3, 3

QUICKLY = {"xla_backend_optimization_level": 0}
"""Machine code is not optimised: that takes most of a compilation and changes nothing that is counted here."""


def counted(net: str, method: str) -> dict[str, Any]:
    """Operations of an update in MFLOP (blocks unrolled), MiB of temporaries, programs that several updates compile."""
    sizes = programs.Sizes(CLASSES, BATCH, 0.0, "float32", ())
    given = programs.prepare(net, sizes)
    program = programs.adapt_program(given, method, parse_options(method, "reference", [], [method]), sizes)
    state, batch, key = program.args
    step = jax.jit(program.function, compiler_options=QUICKLY)
    keys = [jax.random.fold_in(key, i) for i in range(UPDATES)]
    waves = [batch.wave + 0.01 * i for i in range(UPDATES)]
    lowered = step.lower(*program.args)
    flops = tta_flops.of_lowered(lowered)
    if program.looped:
        flops = tta_flops.counted(program.plain, *tta_flops.shapes_of(program.args))
    jax.block_until_ready((keys, waves, state))
    before = compilations.count()
    memory = lowered.compile().memory_analysis()
    for wave, each in zip(waves, keys, strict=True):
        state, _ = step(state, batch._replace(wave=wave), each)
    jax.block_until_ready(state)
    compiled = compilations.count() - before
    return {
        "mflop": None if flops is None else round(flops / 1e6, 3),
        "temporary_mb": round(memory.temp_size_in_bytes / 2**20, 3),
        "compilations": compiled,
    }


def name_of(net: str, method: str) -> str:
    """A work's name in the records."""
    return f"{net} {method}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    given = parser.parse_args(arguments)
    compilation_cache.use()
    found = {name_of(*work): counted(*work) for work in WORKS}
    given.records.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(given.records, json.dumps({"jax": jax.__version__, "counts": found}, indent=1) + "\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
