"""The cost of a sweep's rows as counted, beside the time that they took: is the count a fair prediction?

Example: python -m experiments.sweep --recipes=synthetic --checkpoint_root=CKPT --workdir=out/synthetic
         python -m benchmarks.sweep_costs --recipes=synthetic --workdir=out/synthetic
A row's prediction is its operations (experiments.sweep --cost) over the median rate of the other rows, so no row
predicts itself. Rows of one machine with nothing else on it; a row's seconds hold its reading and compilation.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.recipes import cost
from dhauds_jax.recipes.table import read
from dhauds_jax.workdir import records

FEWEST = 3
"""Rows without which there is nothing to predict from."""


class Checked(NamedTuple):
    """A row's operations in GFLOP, the seconds that it took, and those that the other rows' rate predicts."""

    name: str
    gflop: float
    measured: float
    predicted: float

    @property
    def ratio(self) -> float:
        """Measured over predicted."""
        return self.measured / self.predicted


def checked(found: Sequence[tuple[str, float, float]]) -> list[Checked]:
    """Rows (name, GFLOP, seconds) with their predictions.

    Raises:
      ValueError: fewer than three rows.
    """
    if len(found) < FEWEST:
        raise ValueError(f"{len(found)} rows with a record and a count, expected at least {FEWEST}")
    rates = [gflop / seconds for _, gflop, seconds in found]
    others = [statistics.median(rates[:i] + rates[i + 1 :]) for i in range(len(rates))]
    return [Checked(*row, row[1] / rate) for row, rate in zip(found, others, strict=True)]


def measured(recipes: str, workdir: Path) -> list[tuple[str, float, float]]:
    """Rows of a table that have a record in a work folder and a count: name, GFLOP, seconds."""
    took = {one["recipe"]["row"]: one["seconds"] for one in records.read(workdir) if "recipe" in one}
    found = []
    for row in read(recipes).rows:
        if row.number in took:
            first = next(iter(cost.costs_of([row])))
            if first.total:
                found.append((f"{row.number} {row.name}", 1e6 * first.total, float(took[row.number])))
    return found


def lines(rows: Sequence[Checked]) -> list[str]:
    """The table, and what it says."""
    said = ["| row | GFLOP | measured, s | predicted, s | measured / predicted |", "|---|---:|---:|---:|---:|"]
    said += [f"| {r.name} | {r.gflop:.4g} | {r.measured:.1f} | {r.predicted:.1f} | {r.ratio:.2f} |" for r in rows]
    ratios = sorted(row.ratio for row in rows)
    middle = statistics.median(ratios)
    return [*said, f"{len(rows)} rows: median {middle:.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", required=True)
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--json", type=Path, help="also written there, a row a line")
    given = parser.parse_args(arguments)
    rows = checked(measured(given.recipes, given.workdir))
    for line in lines(rows):
        print(line)
    if given.json:
        given.json.write_text("".join(json.dumps({**row._asdict(), "ratio": row.ratio}) + "\n" for row in rows))


if __name__ == "__main__":
    main()
