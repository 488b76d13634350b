"""The tables of benchmarks/zeroshot_speech.py, from its rows.csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from dhauds_jax.files import write_atomically

COLUMNS = (
    "weights", "background", "snr_db", "seed", "prototypes", "scorer", "made_of", "protocol", "weight",
    "plain", "given", "chosen", "oracle", "ece", "chosen_weight", "oracle_weight", "criterion", "own_head", "uses",
)  # fmt: skip
"""Of rows.csv; "made_of" says what the profile of the background is made of, shares are 0 to 1."""

RECORDS = Path("docs/records/zeroshot_speech/rows.csv")
BEGIN, END = "<!-- zeroshot_speech: docs/records/zeroshot_speech/rows.csv -->\n", "<!-- end -->"
SNRS = ("10", "5", "0")

Row = Mapping[str, str]


CHOSEN = "scorer chosen without labels, of all but `treff`"


def chosen_scorers(rows: Sequence[Row]) -> list[Row]:
    """Of every setting the row that `information` prefers among the scorers that see no label of it."""
    pool: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        free = row["prototypes"] == "supervised" and row["protocol"] == "set" and row["scorer"] != "treff"
        if free and row["weight"] in ("", "auto") and row["made_of"] in ("none", "audio"):
            pool.setdefault((row["weights"], *_setting(row)), []).append(row)
    return [max(some, key=lambda row: float(row["criterion"])) for some in pool.values()]


class Asked:
    """A line of the table: its words, which rows it is of, and which of their numbers."""

    def __init__(self, words: str, value: str, **where: str) -> None:
        self.words, self.value, self.where = words, value, where

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """Its rows."""
        if self.words == CHOSEN:
            return chosen_scorers(rows)
        where = {"prototypes": "supervised", "protocol": "set", **self.where}
        return [row for row in rows if all(row[key] == value for key, value in where.items())]


_SUBTRACT = {"scorer": "subtract", "made_of": "audio"}
LINES = (
    Asked("the network's own head", "own_head", prototypes="head", scorer="plain"),
    Asked("prototypes, `plain`", "given", scorer="plain"),
    *(Asked(f"`subtract` {weight}", "given", **_SUBTRACT, weight=weight) for weight in ("0.2", "0.5", "0.8", "1.0")),
    Asked("`subtract`, chosen without labels", "given", **_SUBTRACT, weight="auto"),
    Asked("`subtract`, best by test labels", "oracle", **_SUBTRACT, weight="auto"),
    Asked("`subtract`, profile of quiet clips, chosen", "given", scorer="subtract", made_of="quiet", weight="auto"),
    Asked("`centre`, the set at once", "given", scorer="centre"),
    Asked("`centre`, one clip after the other", "given", scorer="centre", protocol="online"),
    Asked("`whiten`", "given", scorer="whiten"),
    Asked("`em`", "given", scorer="em"),
    Asked("`chain:subtract+em`, chosen", "given", scorer="chain:subtract+em", made_of="audio", weight="auto"),
    Asked("`chain:centre+em`", "given", scorer="chain:centre+em"),
    Asked("`chain:whiten+em`", "given", scorer="chain:whiten+em"),
    Asked(CHOSEN, "given"),
    Asked("`treff`, 16 labelled clips a class", "given", scorer="treff"),
    Asked("head's columns, `plain`", "given", prototypes="head", scorer="plain"),
    Asked("head's columns, `subtract` chosen", "given", prototypes="head", **_SUBTRACT, weight="auto"),
    Asked("head's columns, `centre`", "given", prototypes="head", scorer="centre"),
    Asked("head's columns, `whiten`", "given", prototypes="head", scorer="whiten"),
)  # fmt: skip


def read(path: Path) -> list[Row]:
    """The rows of a csv."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def by_seed(rows: Sequence[Row], value: str) -> list[float]:
    """The mean over backgrounds in %, one a seed."""
    seeds = sorted({row["seed"] for row in rows})
    return [100 * float(np.mean([float(row[value]) for row in rows if row["seed"] == seed])) for seed in seeds]


def with_interval(values: Sequence[float]) -> str:
    """A mean, and half of Student's 95 % interval over seeds."""
    mean = f"{np.mean(values):.1f}"
    if len(values) < 2:
        return mean
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean} ± {half:.1f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    marks = "|---|" + "---:|" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", marks, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def main_table(rows: Sequence[Row]) -> str:
    """Accuracy at each SNR, the mean of the backgrounds."""
    source = [row for row in rows if row["weights"] == "source"]
    out = []
    for line in LINES:
        found = line.of(source)
        at = [by_seed([row for row in found if row["snr_db"] == snr], line.value) for snr in SNRS]
        uses = found[0]["uses"].replace("+", ", ") if line.value != "own_head" else "train_labels"
        uses = "background, set, train_labels" if line.words == CHOSEN else uses
        out.append([line.words, *map(with_interval, at), uses])
    return table(["scorer", *(f"{snr} dB" for snr in SNRS), "sees"], out)


def differences(rows: Sequence[Row]) -> str:
    """What label-free rows win over `centre`, in points, and in how many of the settings."""
    source = [row for row in rows if row["weights"] == "source"]
    centre = {_setting(row): float(row["given"]) for row in Asked("", "", scorer="centre").of(source)}
    out = []
    for line in LINES:
        if line.value != "given" or line.where.get("prototypes") == "head" or line.where == {"scorer": "centre"}:
            continue
        cells = [line.words]
        for snr in SNRS:
            found = [row for row in line.of(source) if row["snr_db"] == snr]
            gaps = np.array([100 * (float(row["given"]) - centre[_setting(row)]) for row in found])
            cells.append(f"{gaps.mean():+.1f} ({int((gaps > 0).sum())} of {len(gaps)})")
        out.append(cells)
    return table(["against `centre`", *(f"{snr} dB" for snr in SNRS)], out)


def _setting(row: Row) -> tuple[str, ...]:
    return row["background"], row["snr_db"], row["seed"]


def adapted_table(rows: Sequence[Row]) -> str:
    """The same under weights that were adapted: 5 dB, seed 0; "" where there are none."""
    methods = list(dict.fromkeys(row["weights"] for row in rows))
    if len(methods) < 2:
        return ""
    kept = [row for row in rows if row["snr_db"] == "5" and row["seed"] == "0"]
    out = []
    for line in LINES:
        found = [line.of([row for row in kept if row["weights"] == method]) for method in methods]
        out.append([line.words, *(with_interval(by_seed(some, line.value)) if some else "-" for some in found)])
    heads = ["as trained" if method == "source" else f"after `{method}`" for method in methods]
    counts = [len({row["background"] for row in kept if row["weights"] == method}) for method in methods]
    counted = [name if n == max(counts) else f"{name} ({n} of them)" for name, n in zip(heads, counts, strict=True)]
    return table(["scorer", *counted], out)


def tables(rows: Sequence[Row]) -> str:
    """All tables."""
    made: list[Callable[[Sequence[Row]], str]] = [main_table, differences, adapted_table]
    return "\n".join(filter(None, (one(rows) for one in made)))


def filled(text: str, rows: Sequence[Row]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    return between(text, BEGIN, END, tables(rows))


def between(text: str, begin: str, end: str, made: str) -> str:
    """A page with what stands between two marks made anew."""
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: begin + made + end, text)


def fill(page: Path) -> str:
    """Renders the tables of a page in place, from the committed rows."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), read(RECORDS)))
    return f"tables rendered: {page}"
