"""A fixed five minutes of measurements, appended with the revision to docs/records/speed.jsonl, and their picture.

Example: python -m benchmarks.speed_history                (measures, appends, draws docs/images/speed.png)
         python -m benchmarks.speed_history --draw         (draws alone)
Times are of the machine that they were taken on: a line of the picture joins one machine's alone, each row divided by
its first. What can be counted is held to bounds by tests/benchmark/test_counts.py; times are held to nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
RECORDS, PICTURE = ROOT / "docs/records/speed.jsonl", ROOT / "docs/images/speed.png"

FIXED = (
    "--what=forward,adapt --net=amaut_small --classes=15 --batch=70 --from_features --rounds=15",
    "--what=adapt --net=amaut_small --classes=15 --batch=70 --from_features --rounds=15 --method=tent",
    "--what=forward,adapt --net=hubert_small --classes=15 --batch=8 --rounds=15",
    "--what=forward,adapt --net=ssast_tiny --classes=15 --batch=8 --rounds=9",
    "--what=forward,adapt --net=conmix_small --classes=15 --batch=8 --rounds=9",
    "--what=forward --net=hubert_base --batch=8 --rounds=9",
    "--what=adapt --net=hubert_base --batch=8 --rounds=5",
    "--what=corrupt --corruption=WHN,PSH --batch=64 --rounds=3",
)
"""Flags of `experiments.benchmark`, a process each; changed ones begin lines of their own."""

KEPT = ("what", "net", "method", "corruption", "batch", "seconds", "quartiles", "compile_s", "gflops_per_clip")
MORE = ("temporary_mb", "peak_share", "peak_tflops")


def measured(flags: str) -> list[dict[str, Any]]:
    """What a process says, shortened.

    Raises:
      RuntimeError: it failed; its last line is quoted.
    """
    words = ["-m", "experiments.benchmark", "--json", *flags.split()]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{flags}: {done.stderr.strip().splitlines()[-1:]}")
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [
        {key: row[key] for key in (*KEPT, *MORE, "git_revision", "device", "versions") if key in row} for row in found
    ]


def label_of(row: Mapping[str, Any]) -> str:
    """A row's name in the picture."""
    return " ".join(str(row[key]) for key in ("what", "net", "method", "corruption", "batch") if key in row)


def entry(rows: Sequence[Mapping[str, Any]], note: str) -> dict[str, Any]:
    """One line of the history: what all rows share, and the rows."""
    shared = {key: rows[0][key] for key in ("git_revision", "device", "versions")}
    own = [{key: value for key, value in row.items() if key not in shared} for row in rows]
    return {"date": time.strftime("%Y-%m-%d", time.gmtime()), "note": note, **shared, "rows": own}


def read(path: Path) -> list[dict[str, Any]]:
    """All lines of the history."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def series(found: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """(note of the machine, row) -> (line of the history, seconds over the first line's) of every row."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for place, each in enumerate(found):
        for row in each["rows"]:
            lines.setdefault((f"{each['note']} {each['device']}".strip(), label_of(row)), []).append(
                (place, row["seconds"])
            )
    return {key: [(place, value / points[0][1]) for place, value in points] for key, points in lines.items()}


def draw(found: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A line for each row and machine, over the lines of the history."""
    from dhauds_jax.report.plotting import save, subplots

    figure, axes = subplots(figsize=(9, 5))
    for (machine, label), points in series(found).items():
        axes.plot(*zip(*points, strict=True), marker="o", label=f"{label} ({machine})" if machine else label)
    axes.set_xticks(range(len(found)), [f"{each['date']}\n{each['git_revision'][:7]}" for each in found], fontsize=7)
    axes.set_ylabel("time over that of the first line")
    axes.axhline(1.0, color="0.7", linewidth=0.8)
    figure.legend(loc="outside right upper", fontsize=6, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--note", default="", help="what machine this is, in a few words")
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    parser.add_argument("--flags", action="append", help="in place of the fixed ones, to try the script")
    given = parser.parse_args(arguments)
    if not given.draw:
        rows = [row for flags in given.flags or FIXED for row in measured(flags)]
        before = given.records.read_text(encoding="utf-8") if given.records.is_file() else ""
        given.records.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(given.records, before + json.dumps(entry(rows, given.note)) + "\n")
        print(f"{len(rows)} rows appended: {given.records}")
    found = read(given.records)
    if found:
        draw(found, given.picture)
        print(f"drawn: {given.picture}")


if __name__ == "__main__":
    main()
