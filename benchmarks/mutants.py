#!/usr/bin/env python3
"""Changes the code that says the numbers, one operator at a time, and asks whether its own tests see it.

Example: python -m benchmarks.mutants --seed=0 --count=120 --output=docs/records/faults/mutants.jsonl
Needs `pip install cosmic-ray`; `--python` names the interpreter of the tests where that is another one. A copy of the
working tree is changed, never the tree itself. Each change is tried against the tests of its own file
(benchmarks/mutant_places.py): the quick ones and, with `--slow`, where they pass, the slow ones; one that hangs has
been seen too. At the end the tests that saw changes run once on what nobody changed, where they have to pass. A line a
change; a call that was ended goes on where it was, and `--again` tries those that survived against the tests as they
are now. Prints what survives.
Survivors that say the same as the original are in equivalent_mutants.csv beside the output, each with its reason.
`--report` puts the table on docs/reliability.md.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import mutant_places, pages
from benchmarks.mutant_places import Mutant
from dhauds_jax import files

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = "equivalent_mutants.csv"
QUICK, SLOW = "not slow and not as_shipped", "slow and not as_shipped"


def copy_tree(place: Path) -> None:
    """The tracked files, and new ones that git does not ignore, as they are now."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def run_tests(place: Path, python: str, tests: Iterable[str], marked: str, limit_s: float) -> tuple[str, str]:
    """Passed, failed, timeout or none (no test has the marker); the first test that failed."""
    env = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(place.parent / "programs"), "PYTHONDONTWRITEBYTECODE": "1"}
    env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
    words = [python, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", "-m", marked, *tests]
    child = subprocess.Popen(
        words, cwd=place, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        out, _ = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return "timeout", ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    named = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", out, re.MULTILINE)
    outcome = {0: "passed", 5: "none"}.get(child.returncode, "failed")
    return outcome, named[1] if named and outcome == "failed" else ""


class Trials:
    """Tries changes in a copy of the tree."""

    def __init__(self, place: Path, args: argparse.Namespace):
        self.tree, self.python, self.limit_s = place / "tree", args.python, args.limit_s
        self.marked = (QUICK, SLOW) if args.slow else (QUICK,)
        copy_tree(self.tree)

    def outcome(self, mutant: Mutant) -> dict[str, Any]:
        """Killed (by which test), timeout or survived."""
        tests, begun = mutant_places.own_tests(mutant.file), time.perf_counter()
        file, said = self.tree / mutant.file, {"outcome": "survived", "by": ""}
        source = file.read_text(encoding="utf-8")
        file.write_text(mutant_places.mutated(source, mutant.operator, mutant.occurrence), encoding="utf-8")
        try:
            for marked in self.marked:
                found, name = run_tests(self.tree, self.python, tests, marked, self.limit_s)
                if found in ("failed", "timeout"):
                    said = {"outcome": "timeout" if found == "timeout" else "killed", "by": name}
                    break
        finally:
            file.write_text(source, encoding="utf-8")
        return {**said, "tests": list(tests), "seconds": round(time.perf_counter() - begun, 1)}

    def check(self, names: Iterable[str]) -> None:
        """Runs tests that saw changes on what nobody changed.

        Raises:
          RuntimeError: one fails there too, so that it says nothing of a change.
        """
        found, name = run_tests(self.tree, self.python, sorted(names), "not as_shipped", 36_000.0)
        if found != "passed":
            raise RuntimeError(f"{name or 'The tests'}: {found} without a change too: mend that first.")


def read(output: Path) -> list[dict[str, Any]]:
    """The lines of earlier calls; the last one of a change counts."""
    lines = output.read_text(encoding="utf-8").splitlines() if output.is_file() else []
    found = {row["number"]: row for row in map(json.loads, lines)}
    return list(found.values())


def _mutant(row: dict[str, Any]) -> Mutant:
    return Mutant(**{name: row[name] for name in Mutant.__dataclass_fields__})


def equivalents(folder: Path) -> dict[tuple[str, str, str], str]:
    """File, line before and line after -> why both say the same."""
    place = folder / EQUIVALENT
    if not place.is_file():
        return {}
    with place.open(encoding="utf-8", newline="") as file:
        return {(row["file"], row["before"], row["after"]): row["why"] for row in csv.DictReader(file)}


def wanted(args: argparse.Namespace, rows: Iterable[dict[str, Any]]) -> list[tuple[int, Mutant]]:
    """Number in the sample and change of all that are to be tried.

    Raises:
      RuntimeError: the output is of other sources, of which the sample is another one.
    """
    if args.again:
        same = equivalents(args.output.parent)
        open_ones = [row for row in rows if _fate(row, same) == "survived"]
        return [(row["number"], mutant_places.now(ROOT, _mutant(row))) for row in open_ones]
    sources, done = mutant_places.digest(ROOT), {_mutant(row).key for row in rows}
    if any(row["sources"] != sources for row in rows):
        raise RuntimeError(f"{args.output} is of other sources: name another output, or take that one away.")
    drawn = enumerate(mutant_places.sample(ROOT, args.seed, args.count))
    return [(number, mutant) for number, mutant in drawn if mutant.key not in done]


def campaign(args: argparse.Namespace, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Tries what is not in the output yet (with `--again`: what survived), a line a change; all rows.

    Raises:
      RuntimeError: the output is of other sources, or tests fail without a change.
    """
    rows = {row["number"]: row for row in read(args.output)}
    tried = set()
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        trials = Trials(Path(place), args)
        for number, mutant in wanted(args, list(rows.values())):
            found = trials.outcome(mutant)
            kept = {"number": number, "seed": args.seed, **mutant.row(), **found}
            before = rows.get(number, {"first": found["outcome"], "sources": mutant_places.digest(ROOT)})
            rows[number] = {**kept, "sources": before["sources"], "first": before["first"]}
            files.write_atomically(args.output, "".join(json.dumps(row) + "\n" for row in rows.values()))
            if found["by"]:
                tried.add(found["by"])
            if found["outcome"] == "survived":
                tell(f"{number} {mutant.file}:{mutant.line}\n  - {mutant.before}\n  + {mutant.after}")
        if tried:
            trials.check(tried)
    return list(rows.values())


def table(rows: Iterable[dict[str, Any]], same: dict[tuple[str, str, str], str]) -> str:
    """A row a room: changes tried, what became of them; then the ones that say the same, each with its reason."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        room = str(Path(row["file"]).parent).removeprefix("dhauds_jax").strip("/") or "metrics"
        counts.setdefault(room, Counter())[_fate(row, same)] += 1
    fates = ("killed", "timeout", "caught by a new test", "equivalent", "survived")
    lines = ["| where | tried | " + " | ".join(fates) + " |", "|---|" + "---:|" * (len(fates) + 1)]
    total = sum(counts.values(), Counter())
    for room, found in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"| {room} | {found.total()} | " + " | ".join(str(found[fate]) for fate in fates) + " |")
    shown = [row for row in rows if _fate(row, same) == "equivalent"]
    if shown:
        lines += ["", "| says the same | before | after | why |", "|---|---|---|---|"]
    for row in shown:
        why = same[row["file"], row["before"], row["after"]]
        before, after = (row[side].replace("|", "\\|") for side in ("before", "after"))
        lines.append(f"| {row['file'].removeprefix('dhauds_jax/')} | `{before}` | `{after}` | {why} |")
    return "\n".join(lines)


def _fate(row: dict[str, Any], same: dict[tuple[str, str, str], str]) -> str:
    if row["outcome"] == "survived":
        return "equivalent" if (row["file"], row["before"], row["after"]) in same else "survived"
    return "caught by a new test" if row["first"] == "survived" else row["outcome"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--count", type=int, default=120, help="changes, in the order of the sample")
    parser.add_argument("--output", type=Path, default=Path("docs/records/faults/mutants.jsonl"))
    parser.add_argument("--limit_s", type=float, default=600.0, help="a run that takes longer hangs")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has what the tests need")
    parser.add_argument("--again", action="store_true", help="try survivors anew, against the tests as they are now")
    parser.add_argument("--slow", action="store_true", help="what the quick tests let pass is tried against slow ones")
    parser.add_argument(
        "--report", nargs="?", const=ROOT / "docs/reliability.md", type=Path, help="page; nothing is tried"
    )
    args = parser.parse_args()
    args.output = args.output.absolute()
    if args.report:
        pages.fill(args.report, "mutants", table(read(args.output), equivalents(args.output.parent)))
        return
    rows = campaign(args, lambda said: print(said, flush=True))
    fates = Counter(_fate(row, equivalents(args.output.parent)) for row in rows)
    print(json.dumps({"what": "mutants", "tried": len(rows), **fates}))
    sys.exit(fates["survived"] > 0)


if __name__ == "__main__":
    main()
