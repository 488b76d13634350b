"""The tables of benchmarks/zeroshot_differences.py, from its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.zeroshot_speech_table import SNRS, Row, between, by_seed, read, table, with_interval
from dhauds_jax.files import write_atomically

COLUMNS = (
    "background", "snr_db", "seed", "length", "train", "scorer", "made_of", "weight", "scale",
    "plain", "given", "chosen", "oracle", "ece", "nll", "aurc", "chosen_weight", "oracle_weight",
)  # fmt: skip
"""Of the rows: length "unit" or "mean" (a mean of unit vectors as it is); shares from 0 to 1, nll in nats."""

RECORDS = Path("docs/records/zeroshot_differences/rows.csv")
BEGIN, END = "<!-- zeroshot_differences: docs/records/zeroshot_differences/rows.csv -->\n", "<!-- end -->"
SCORERS = ("plain", "subtract", "centre", "whiten")

Where = Mapping[str, str]
_OURS = {"length": "unit", "train": "clean", "scale": "20"}
_SEEDS = {"length": "mean", "train": "same", "scale": "20"}


def of(rows: Sequence[Row], where: Where) -> list[Row]:
    """The rows that have all of these values."""
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def gaps(rows: Sequence[Row], ours: tuple[Where, str], theirs: tuple[Where, str], snr: str) -> np.ndarray:
    """Differences in points, a setting each."""
    first, second = (
        {(row["background"], row["seed"]): float(row[value]) for row in of(rows, {**where, "snr_db": snr})}
        for where, value in (ours, theirs)
    )
    return np.array([100 * (first[key] - second[key]) for key in first])


def differences(rows: Sequence[Row]) -> str:
    """What each difference is worth, in points, and in how many settings it is worth something."""
    auto = {"scorer": "subtract", "weight": "auto"}
    audio, oracle = {**auto, "made_of": "audio"}, {**auto, "made_of": "oracle"}
    plain = {"scorer": "plain"}
    noisy, unit = {**_OURS, "train": "same"}, {**_OURS, "length": "mean"}
    own, given, best = {**_SEEDS, **oracle}, "given", "oracle"
    asked: list[tuple[str, tuple[Where, str], tuple[Where, str]]] = [
        ("D19 unit length, `plain`, clean prototypes", ({**_OURS, **plain}, given), ({**unit, **plain}, given)),
        ("D19 unit length, `plain`, noisy prototypes", ({**noisy, **plain}, given), ({**_SEEDS, **plain}, given)),
        ("D19 unit length, `subtract` chosen, clean", ({**_OURS, **audio}, given), ({**unit, **audio}, given)),
        ("D23 best weight by test labels for the chosen one", ({**_OURS, **audio}, best), ({**_OURS, **audio}, given)),
        ("D23 the same, each clip's own stretch", ({**_OURS, **oracle}, best), ({**_OURS, **oracle}, given)),
        ("D23 the same, as published (own, noisy, not unit)", (own, best), (own, given)),
        ("D24 noisy prototypes for clean ones, `plain`", ({**noisy, **plain}, given), ({**_OURS, **plain}, given)),
        ("D24 the same, `subtract` chosen", ({**noisy, **audio}, given), ({**_OURS, **audio}, given)),
        ("D24 the same, `centre`", ({**noisy, "scorer": "centre"}, given), ({**_OURS, "scorer": "centre"}, given)),
        ("D24 the same, `whiten`", ({**noisy, "scorer": "whiten"}, given), ({**_OURS, "scorer": "whiten"}, given)),
        ("a clip's own stretch for the place, chosen", ({**_OURS, **oracle}, given), ({**_OURS, **audio}, given)),
    ]
    out = []
    for words, ours, theirs in asked:
        found = [gaps(rows, ours, theirs, snr) for snr in SNRS]
        out.append([words, *(f"{some.mean():+.1f} ({int((some > 0).sum())} of {len(some)})" for some in found)])
    return table(["worth, in points", *(f"{snr} dB" for snr in SNRS)], out)


def backgrounds(rows: Sequence[Row]) -> str:
    """Accuracy by what the profile is made of, at the published weight, at the chosen and at the best one."""
    lines: list[tuple[str, Where, str]] = []
    for words, where in (("clean, unit length", _OURS), ("noisy, as published", _SEEDS)):
        lines.append((f"`plain`, {words}", {**where, "scorer": "plain"}, "given"))
        for kind in ("quiet", "audio", "oracle"):
            own = {**where, "scorer": "subtract", "made_of": kind}
            lines.append((f"{kind} 0.5, {words}", {**own, "weight": "0.5"}, "given"))
            lines.append((f"{kind} chosen, {words}", {**own, "weight": "auto"}, "given"))
            lines.append((f"{kind} best by labels, {words}", {**own, "weight": "auto"}, "oracle"))
        lines += [(f"`{name}`, {words}", {**where, "scorer": name}, "given") for name in ("centre", "whiten")]
    out = []
    for words, where, value in lines:
        found = of(rows, where)
        at = [by_seed([row for row in found if row["snr_db"] == snr], value) for snr in SNRS]
        out.append([words, *map(with_interval, at)])
    return table(["background, prototypes", *(f"{snr} dB" for snr in SNRS)], out)


def calibration(rows: Sequence[Row]) -> str:
    """ECE and NLL with no scale, with 20, and with the likeliest of the training clips; the area of risk."""
    out = []
    for snr in SNRS:
        for scorer in SCORERS:
            where = {"length": "unit", "train": "clean", "scorer": scorer, "snr_db": snr}
            where |= {"made_of": "audio", "weight": "auto"} if scorer == "subtract" else {}
            cells = [of(rows, {**where, "scale": scale}) for scale in ("none", "20", "nll")]
            eces = [with_interval(by_seed(some, "ece")) for some in cells]
            nlls = [f"{np.mean([float(row['nll']) for row in some]):.2f}" for some in cells]
            areas = [with_interval(by_seed(some, "aurc")) for some in cells[1:2]]
            out.append([f"{snr} dB", f"`{scorer}`", *eces, *nlls, *areas])
    head = ["at", "scorer", "ECE, none", "20", "nll", "NLL, none", "20", "nll", "AURC"]
    return table(head, out)


def tables(rows: Sequence[Row]) -> str:
    """All tables."""
    return "\n".join(one(rows) for one in (differences, backgrounds, calibration))


def filled(text: str, rows: Sequence[Row]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    return between(text, BEGIN, END, tables(rows))


def fill(page: Path) -> str:
    """Renders the tables of a page in place, from the committed rows."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), read(RECORDS)))
    return f"tables rendered: {page}"
