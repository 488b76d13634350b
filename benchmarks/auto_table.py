"""The table of what `--method=auto` costs against the best choice, from its records.

Example: python -m benchmarks.auto_table --work=work/auto (adds the runs of a work folder to the records, fills the
page); without --work it fills the page alone. docs/results.md says how the runs are made.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax.files import write_atomically
from dhauds_jax.tta.methods.auto import CANDIDATES

RECORDS, PAGE = Path("docs/records/auto/results.jsonl"), Path("docs/results.md")
BEGIN, END = "<!-- auto: docs/records/auto/results.jsonl -->\n", "<!-- end -->"
CHOICES = ("source", *CANDIDATES)
"""What auto chooses among."""

Row = Mapping[str, Any]


def read(path: Path) -> list[Row]:
    """The records."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def cells(found: Sequence[Row]) -> list[tuple[tuple[str, str, str], dict[str, float]]]:
    """(protocol, corruption, level) -> method -> accuracy in %, of cells that have auto and all it chooses among."""
    by_cell: dict[tuple[str, str, str], dict[str, float]] = {}
    for row in found:
        mine = by_cell.setdefault((row["protocol"], row["corruption"], row["level"]), {})
        mine[row["method"]] = 100 * row["adapted_last"]
    return [(cell, mine) for cell, mine in by_cell.items() if set(mine) >= {*CHOICES, "auto"}]


def regrets(mine: Mapping[str, float]) -> dict[str, float]:
    """What auto, and each of its choices taken always, lack to the best of the choices."""
    best = max(mine[name] for name in CHOICES)
    return {name: best - mine[name] for name in ("auto", *CHOICES)}


def table(found: Sequence[Row]) -> str:
    """Accuracy of each cell, auto's regret; below, for each protocol, the mean and the largest regret of all rules."""
    header = ["protocol", "corruption", "level", *CHOICES, "auto", "regret of auto"]
    lines = ["| " + " | ".join(header) + " |", "|---|---|---|" + "---:|" * (len(header) - 3)]
    of_protocol: dict[str, list[dict[str, float]]] = {}
    for (protocol, corruption, level), mine in cells(found):
        lost = regrets(mine)
        of_protocol.setdefault(protocol, []).append(lost)
        values = [f"{mine[name]:.1f}" for name in (*CHOICES, "auto")]
        lines.append("| " + " | ".join([protocol, corruption, level, *values, f"{lost['auto']:.1f}"]) + " |")
    lines += ["", "| regret, mean (largest) | auto | " + " | ".join(f"always {name}" for name in CHOICES) + " |"]
    lines.append("|---|" + "---:|" * (len(CHOICES) + 1))
    for protocol, every in of_protocol.items():
        told = []
        for name in ("auto", *CHOICES):
            lost = [one[name] for one in every]
            told.append(f"{sum(lost) / len(lost):.1f} ({max(lost):.1f})")
        lines.append("| " + " | ".join([f"{protocol}, {len(every)} shifts", *told]) + " |")
    return "\n".join(lines) + "\n"


def filled(text: str, found: Sequence[Row]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    return pattern.sub(lambda _: BEGIN + table(found) + END, text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.work:
        known = {row["cell"]: row for row in (read(RECORDS) if RECORDS.exists() else [])}
        known |= {row["cell"]: row for row in read(given.work / "results.jsonl")}
        RECORDS.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(RECORDS, "".join(json.dumps(row) + "\n" for row in known.values()))
    write_atomically(PAGE, filled(PAGE.read_text(encoding="utf-8"), read(RECORDS)))


if __name__ == "__main__":
    main()
