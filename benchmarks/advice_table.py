"""Rows and tables of the runs of `advice`: the verdict of each beside what is true.

Example: python -m benchmarks.advice_table --output=work/advice --records=docs/records/advice/runs.csv \\
  --fill=docs/results.md
Rows of --records whose runs are not in OUTPUT stay; all are judged anew. --fill renders a page's part between `BEGIN`
and `END`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dhauds_jax import metrics
from dhauds_jax.data.recordings import per_file
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.tta.advice import FEW, FEWEST, FOREIGN, KEEP, USE, Signs, advise, signs
from dhauds_jax.tta.bank import Distance

LOSS = -2.0
"""Points of accuracy: "use" is right where the lower bound of the difference is not below."""

GAIN = 2.0
"""Points of accuracy: "keep" is right up to this difference."""

CHANCE = 2.0
"""Accuracy counts as near chance where it is at most this many times 1 / classes, before and after."""

WHOLE = {"files": int, "classes": int, "adapted": lambda text: text == "1"}
"""Signs that are no fractions, and how they are read."""

HALVES, SHOWN = ("fit", "report", "new", "fresh"), ("tent", "norm", "dhauds")
OTHERS = ("half", "folder", "method", "before", "after")
"""Methods of the table of folders, and columns of the table of the other methods."""

BEGIN, END = "<!-- advice: docs/records/advice/runs.csv -->\n", "<!-- end -->"

Row = Mapping[str, str]


def difference(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Accuracy after minus before in points, with its 95 % interval, from whether each file was right.

    Half a file is added to each of the four counts, so that there is an interval where no file differs. Source: Agresti
    and Min, Statistics in Medicine 24, 2005, the adjusted Wald interval of paired proportions.
    """
    lost, won = int(np.sum(before & ~after)), int(np.sum(after & ~before))
    n = len(before) + 2
    middle, width = (won - lost) / n, 1.96 * np.sqrt(won + lost + 1 - (won - lost) ** 2 / n) / n
    return 100 * (won - lost) / len(before), 100 * (middle - width), 100 * (middle + width)


def row(path: Path) -> dict[str, str]:
    """The row of a run that `advice` kept."""
    half, model, *rest = path.stem.split("-")
    folder, method = "-".join(rest[:-1]), rest[-1]
    kept = np.load(path)
    truth = kept["truth"]
    logits = kept["before"], kept["after"]
    before, after = (per_file(metrics.softmax(z), kept["owner"], len(truth)) for z in logits)
    silent = float(kept["silent"].mean())
    told = signs((before, after), logits, silent=silent, adapted=method != "source")
    was, now = (p.argmax(-1) == truth for p in (before, after))
    d, low, high = difference(was, now)
    known = bool((truth >= 0).any())
    found = {
        "half": half,
        "model": model,
        "folder": folder,
        "method": method,
        "own": "yes" if known else "no",
        "before": f"{100 * was.mean():.1f}" if known else "",
        "after": f"{100 * now.mean():.1f}" if known else "",
        "d": f"{d:.1f}" if known else "",
        "low": f"{low:.2f}" if known else "",
        "high": f"{high:.2f}" if known else "",
        **flat(told),
    }
    return {**found, **judged(found)}


def flat(told: Signs) -> dict[str, str]:
    """The signs as columns."""
    found = {}
    for name in Signs._fields[:-1]:  # no row is of a model that had been adapted before
        value = getattr(told, name)
        if name == "far":
            found |= distance(value)
        elif isinstance(value, tuple):
            found |= {f"{name}_before": f"{value[0]:.6f}", f"{name}_after": f"{value[1]:.6f}"}
        else:
            found[name] = f"{value:.6f}" if isinstance(value, float) else str(int(value))
    return found


def distance(far: Distance | None) -> dict[str, str]:
    """The distance from the model's own sounds as columns."""
    values = {name: None if far is None else getattr(far, name) for name in Distance._fields}
    return {f"far_{name}": "" if value is None else f"{value:.6f}" for name, value in values.items()}


def with_distance(found: Row, output: Path) -> dict[str, str]:
    """The row with what `advice` says of its folder, judged anew."""
    path = output / "far" / f"{found['half']}-{found['model']}-{found['folder']}.json"
    far = Distance(*json.loads(path.read_text())) if path.is_file() else signs_of(found).far
    values = {name: value for name, value in found.items() if name not in ("verdict", "right")} | distance(far)
    return {**values, **judged(values)}


def signs_of(found: Row) -> Signs:
    """The signs in a row."""
    values = []
    for name in Signs._fields[:-1]:
        if name == "far":
            each = [found.get(f"far_{field}") for field in Distance._fields]
            known = [float(value) for value in each if value]  # older banks tell the first ones alone
            values.append(Distance(*known) if known else None)
        elif name in found:
            values.append(WHOLE.get(name, float)(found[name]))
        else:
            values.append((float(found[f"{name}_before"]), float(found[f"{name}_after"])))
    return Signs(*values)


def judged(found: Row) -> dict[str, str]:
    """What the shipped function says of a row, and whether it is right."""
    verdict = advise(signs_of(found)).verdict
    return {"verdict": verdict, "right": "yes" if verdict in right_verdicts(found) else "no"}


def right_verdicts(found: Row) -> set[str]:
    """The verdicts that are true of a row; see `LOSS`, `GAIN` and `CHANCE`."""
    if int(found["files"]) < FEWEST:
        return {FEW}
    if found["own"] == "no":
        return {FOREIGN}
    use = float(found["low"]) >= LOSS and float(found["changed"]) > 0
    right = {USE} if use else {KEEP}
    if float(found["d"]) <= GAIN:
        right.add(KEEP)
    if max(float(found["before"]), float(found["after"])) <= 100 * CHANCE / int(found["classes"]):
        right.add(FOREIGN)
    return right


def name_of(found: Row) -> str:
    """Model, folder and method."""
    return f"{found['model']} {found['folder']} {found['method']}"


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a csv file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def agreement(rows: Sequence[Row]) -> tuple[int, int]:
    """How many rows are right, and how many there are."""
    return sum(r["right"] == "yes" for r in rows), len(rows)


def share(rows: Sequence[Row]) -> str:
    """The agreement in words."""
    hits, count = agreement(rows)
    return f"{hits} of {count} ({100 * hits / count:.1f} %)" if count else "-"


def adapting(rows: Sequence[Row]) -> list[Row]:
    """The rows of methods that adapt."""
    return [r for r in rows if r["method"] != "source"]


def mistakes(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows that are wrong, by kind."""
    wrong = [r for r in rows if r["right"] == "no"]
    kept = [r for r in wrong if r["verdict"] == KEEP]
    return {
        'false "use": more than 2 points may be lost, no label changed, or other sounds': [
            r for r in wrong if r["verdict"] == USE
        ],
        '"keep" of other sounds': [r for r in kept if r["own"] == "no"],
        "the model's own sounds called another's": [r for r in wrong if r["verdict"] == FOREIGN],
        '"keep" where more than 2 points were won': [r for r in kept if r["own"] == "yes"],
    }


def markdown(rows: Sequence[Row]) -> str:
    """The page's part: agreement, what is wrong by kind and by name, and every folder."""
    halves = [[r for r in rows if r["half"] == half] for half in HALVES]
    adapted = [adapting(half) for half in halves]
    lines = [
        "| runs whose verdict agrees with the truth | fit half | report half | new folders | fresh folders |",
        "|---|---:|---:|---:|---:|",
    ]
    lines.append(f"| **methods that adapt** | {' | '.join(map(share, adapted))} |")
    for verdict in (USE, KEEP, FOREIGN, FEW):
        counts = [share([r for r in half if r["verdict"] == verdict]) for half in adapted]
        lines.append(f'| of these, called "{verdict}" | {" | ".join(counts)} |')
    lines.append(f"| `source` | {' | '.join(share(_source(half)) for half in halves)} |")
    lines += [
        "",
        "| what is wrong, of methods that adapt | fit half | report half | new folders | fresh folders |",
        "|---|---|---|---|---|",
    ]
    for kind in mistakes([]):
        lines.append(f"| {kind} | {' | '.join(_named(mistakes(half)[kind]) for half in adapted)} |")
    lines += ["", "Accuracy before and after, and the verdicts; *(wrong)* where they disagree with the truth:", ""]
    lines += ["| half | model | folder | files | before | tent | norm | dhauds | tent | norm | dhauds |"]
    lines += ["|---|---|---|---:|---:|---:|---:|---:|---|---|---|", *_folders(rows)]
    others = [r for r in rows if r["method"] not in (*SHOWN, "source")]
    if others:
        lines += ["", "All other methods, on `words15`:", "", "| half | folder | method | before | after | verdict |"]
        lines += ["|---|---|---|---:|---:|---|"]
        lines += [f"| {' | '.join([r[c] or '-' for c in OTHERS])} | {_said(r)} |" for r in others]
    return "\n".join([*lines, ""])


def _named(rows: Sequence[Row]) -> str:
    """How many there are, and which."""
    names = [f"{name_of(r)} ({r['before']} to {r['after']})" if r["own"] == "yes" else name_of(r) for r in rows]
    return f"{len(rows)}: {', '.join(names)}" if rows else "0"


def _source(rows: Sequence[Row]) -> list[Row]:
    return [r for r in rows if r["method"] == "source"]


def _said(found: Row | None) -> str:
    if found is None:
        return "-"
    return found["verdict"] + ("" if found["right"] == "yes" else " (wrong)")


def _folders(rows: Sequence[Row]) -> list[str]:
    """A line a folder."""
    groups: dict[tuple[str, str, str], dict[str, Row]] = {}
    for r in rows:
        groups.setdefault((r["half"], r["model"], r["folder"]), {})[r["method"]] = r
    lines = []
    for (half, model, folder), found in groups.items():
        shown = [found.get(method) for method in SHOWN]
        one = next(iter(found.values()))
        after = [(r and r["after"]) or "-" for r in shown]
        cells = [half, model, folder, one["files"], one["before"] or "-", *after, *map(_said, shown)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def filled(page: str, rows: Sequence[Row]) -> str:
    """The page with its part made anew."""
    return re.sub(
        f"({re.escape(BEGIN)}).*?({re.escape(END)})", lambda m: m[1] + markdown(rows) + m[2], page, flags=re.S
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="of advice")
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--fill", type=Path)
    given = parser.parse_args()
    rows = {name_of(r) + r["half"]: {**r, **judged(r)} for r in read(given.records)} if given.records.is_file() else {}
    if given.output:
        paths = sorted((given.output / "runs").glob("*.npz"))
        made = [row(path) for path in paths if ".tmp" not in path.name and path.stat().st_size]
        rows |= {name_of(r) + r["half"]: r for r in made}
        rows = {name: with_distance(r, given.output) for name, r in rows.items()}
    rows = sorted(rows.values(), key=lambda r: (HALVES.index(r["half"]), r["model"], r["folder"], r["method"]))
    write_csv(given.records, [tuple(rows[0]), *(tuple(r[name] for name in rows[0]) for r in rows)])
    if given.fill:
        write_atomically(given.fill, filled(given.fill.read_text(encoding="utf-8"), rows))
    for half in HALVES:
        print(half, share(adapting([r for r in rows if r["half"] == half])))


if __name__ == "__main__":
    main()
