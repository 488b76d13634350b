"""Home sounds in homes that were never heard: published recipe and corrected one, noise, extra clips, ensembles.

    python -m benchmarks.home_sounds --output=work/home_sounds --seeds=0,1,2
    python -m benchmarks.home_sounds --fill=docs/results.md

Every row is a run of experiments.crossval on the 480 clips of 16 homes, five folds that share no home (reference: a
permutation, as published), 10 epochs; the 120 clips of four other homes are seen by none. The baseline is profile
corrected with 50 clips of pink noise; each other row changes one thing. The extra clips are those of eight more homes
(30 each), which are only trained on. Runs go seed by seed, the rows in their order; what is finished is not run again,
and a killed run goes on, within a fold too. Writes OUTPUT/ROW-SEED (a work folder each) and OUTPUT/crossval.jsonl, a
record a run with its `row`. `--fill` renders the table of a page from docs/records/home_sounds/crossval.jsonl.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.home_sounds_table import RECORDS, fill
from dhauds_jax.command import compilation_cache
from dhauds_jax.data import synthetic_home
from dhauds_jax.data.sets import DataSet, home_sounds
from dhauds_jax.data.sets.base import Generated
from dhauds_jax.files import write_atomically
from dhauds_jax.runs.crossval import crossval
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.workdir import records

HOMES = range(20, 28)
"""Homes of the extra clips, which are in no split of home_sounds."""


def _generate(split: str, seed: int) -> Generated:
    made = synthetic_home.make_homes(HOMES, seed=seed)
    return Generated(made.ids, made.waves, made.labels)


_SET = next(one for one in home_sounds.DATA_SETS if one.name == "home_sounds")
EXTRA: DataSet = _SET._replace(name="more_homes", splits=("train",), generate=_generate, counts={}, class_counts={})
"""Clips of eight more homes."""

_MORE = {"extra_dataset": "benchmarks.home_sounds:EXTRA"}
ROWS: dict[str, dict[str, Any]] = {
    "corrected": {},
    "no_noise": {"noise_clips": 0},
    "extra_all": {**_MORE, "extra": ("all",)},
    "extra_dog": {**_MORE, "extra": ("dog",)},
    "extra_nondog": {**_MORE, "extra": ("non_dog",)},
    "reference": {"profile": "reference"},
    "reference_2_epochs": {"profile": "reference", "epochs": 2},
}
"""What each row changes; reference is run with the first seed alone. It trains on five copies of each clip and on a
fifth of all clips more, so that two of its epochs are about as many updates (271) as ten of the others (200 to 230)."""


def run_of(row: str, seed: int, given: argparse.Namespace) -> CrossvalRun:
    """The request of a row."""
    base = {"dataset": "home_sounds", "net": given.net, "epochs": 10, "noise_clips": 250, "lr": given.lr}
    workdir = str(given.output / f"{row}-{seed}")
    return CrossvalRun(**{**base, "batch_size": given.batch_size, "seed": seed, "workdir": workdir, **ROWS[row]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--net", default="cnn_small")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of the rows")
    parser.add_argument("--fill", type=Path)
    given = parser.parse_args()
    if given.fill:
        print(fill(given.fill))
        return
    compilation_cache.use()
    command = " ".join(["python -m benchmarks.home_sounds", *map(shlex.quote, sys.argv[1:])])
    seeds = list(map(int, given.seeds.split(",")))
    for seed in seeds:
        for row in given.rows.split(","):
            if row == "reference" and seed != seeds[0]:
                continue
            print(f"{row}, seed {seed}: {crossval(run_of(row, seed, given), command)}", flush=True)
            collect(given.output)


def collect(output: Path) -> None:
    """Writes the records of all finished runs into one file."""
    lines = []
    for folder in sorted(output.glob("*-*")):
        for record in records.read(folder, "crossval"):
            lines.append(json.dumps({"row": folder.name.rpartition("-")[0], **record}))
    write_atomically(output / RECORDS.name, "".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
