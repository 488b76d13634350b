"""Measures the rows of benchmarks/speed_table.py that its records lack, small networks first, a process a row.

Example: python -m benchmarks.speed_rows                (all that is lacking; killed, it goes on with the same command)
         python -m benchmarks.speed_rows --minutes=30 --only=forward
Meant for a machine on which nothing else runs. A row that cannot be measured is recorded with its reason; --again
measures rows anew that are there.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import speed_table
from benchmarks.speed_table import Row
from dhauds_jax.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 3600
"""Seconds after which a row is given up."""


def measured(row: Row, extra: Sequence[str]) -> dict[str, object]:
    """The record of a row, or one with the reason why there is none."""
    words = [*shlex.split(row.command)[1:], *speed_table.options_of(row), *extra]
    about = {"what": row.what, "net": row.net, "batch": row.batch, **({"method": row.method} if row.method else {})}
    try:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return {**about, "reason": f"it took more than {LIMIT_S} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        return {**about, "reason": said[:300]}
    return json.loads(lines[-1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=ROOT / speed_table.RECORDS)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no row is begun after so long")
    parser.add_argument("--only", default="", help="rows whose work, network or method has this name")
    parser.add_argument("--again", action="store_true", help="also rows that are there")
    parser.add_argument("extra", nargs="*", help="flags of experiments.benchmark for all rows, after --")
    given = parser.parse_args(arguments)
    begun, kept = time.monotonic(), speed_table.read(given.records)
    wanted = [row for row in speed_table.rows() if given.only in ("", row.what, row.net, row.method)]
    lacking = [row for row in wanted if given.again or row not in kept]
    print(f"{len(lacking)} of {len(wanted)} rows are lacking: {given.records}", flush=True)
    for row in lacking:
        if time.monotonic() - begun > 60 * given.minutes:
            print("no more rows are begun: --minutes is over", flush=True)
            return
        started = time.monotonic()
        record = measured(row, given.extra)
        before = given.records.read_text(encoding="utf-8") if given.records.is_file() else ""
        given.records.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(given.records, before + json.dumps(record) + "\n")
        told = record.get("reason") or f"{record['vs_torch']} {record['vs_torch_interval']}"
        print(f"{row.what} {row.net} {row.method}: {told} ({time.monotonic() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
