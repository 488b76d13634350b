"""The tables of benchmarks/zeroshot_unknown.py, from its rows.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.zeroshot_speech_table import Row, between, by_seed, read, table, with_interval
from dhauds_jax.files import write_atomically

_KINDS, _ENDS = ("known", "words", "noise"), ("held", "clean")
COLUMNS = (
    "background", "snr_db", "seed", "scorer", "weight", "accuracy",
    *(f"auroc_{kind}_{by}" for kind in ("words", "noise") for by in (*_ENDS, "score")),
    *(f"{rate}_{kind}_{ends}" for rate in ("reject", "background") for kind in _KINDS for ends in _ENDS),
    *(f"ece_{ends}" for ends in _ENDS),
)  # fmt: skip
"""Of rows.csv: shares from 0 to 1; `_held` by held-out clips over the place's other half, `_clean` without noise."""

RECORDS = Path("docs/records/zeroshot_unknown/rows.csv")
BEGIN, END = "<!-- zeroshot_unknown: docs/records/zeroshot_unknown/rows.csv -->\n", "<!-- end -->"
SNRS = ("clean", "10", "5", "0")
SCORERS = ("plain", "subtract", "centre", "whiten")


def _lines(rows: Sequence[Row], columns: Sequence[str]) -> list[list[str]]:
    out = []
    for snr in SNRS:
        for scorer in SCORERS:
            here = [row for row in rows if row["snr_db"] == snr and row["scorer"] == scorer]
            shown = [with_interval(by_seed(here, name)) for name in columns]
            out.append([snr if snr == "clean" else f"{snr} dB", f"`{scorer}`", *shown])
    return out


def tables(rows: Sequence[Row]) -> str:
    """Telling apart, then what keeps a name at both rates, by either kind of held-out clips."""
    apart = ("accuracy", "auroc_words_held", "auroc_noise_held", "auroc_words_score", "auroc_noise_score")
    head = ["at", "scorer", "accuracy", "AUROC words", "AUROC noise", "words, by score", "noise, by score"]
    parts = [table(head, _lines(rows, apart))]
    rates = [f"{rate}_{kind}_held" for rate in ("reject", "background") for kind in _KINDS]
    names = [f"{kind}, {flag}" for flag in ("reject", "reject_background") for kind in _KINDS]
    parts.append(table(["at", "scorer", *names], _lines(rows, rates)))
    clean = [f"reject_{kind}_clean" for kind in _KINDS]
    both = [*clean, "ece_held", "ece_clean"]
    head = ["at", "scorer", *(f"{kind}, reject" for kind in _KINDS), "ECE, held out over noise", "ECE, held out clean"]
    parts.append(table(head, _lines(rows, both)))
    return "\n".join(parts)


def filled(text: str, rows: Sequence[Row]) -> str:
    """A page with its part between `BEGIN` and `END` rendered anew."""
    return between(text, BEGIN, END, tables(rows))


def fill(page: Path) -> str:
    """Renders the tables of a page in place, from the committed rows."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), read(RECORDS)))
    return f"tables rendered: {page}"
