"""Adapts a classifier to corrupted sets and writes one record a cell to WORKDIR/results.jsonl.

Example: python -m experiments.adapt --dataset=synthetic --checkpoint=out/train/checkpoint --method=source,dhauds \
--corruption=WHN,TST --level=L2 --workdir=out
Lists of methods, corruptions, levels and protocols are run cell by cell; finished cells are skipped, and a killed run
goes on with the same command.
"""

from __future__ import annotations

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command import app, flags
from dhauds_jax.requests import Processes

flags.flags_of(AdaptRun, Processes)


def main() -> str:
    flags.start()
    from dhauds_jax.runs.adapt import adapt

    return adapt(flags.from_flags(AdaptRun), app.command())


if __name__ == "__main__":
    app.run(main, stopped=app.GOES_ON)
