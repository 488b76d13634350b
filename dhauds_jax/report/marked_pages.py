"""Tables inside pages: what stands between two marks is rendered from records, so a page cannot drift from them.

A mark is `<!-- table: summary | records: docs/records/NAME | protocol: offline -->`, and the table ends at
`<!-- end -->`. Kinds of table are the keys of `TABLES` and the mappings below it; every further word of a mark keeps
only the records with that value, or one of several (`a/b`, unless a record's value is just that). A figure is marked
likewise, `<!-- figure: front | records: docs/records/NAME | protocol: online -->`: it is drawn into images/ beside the
page, and what it says stands below it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.report import ablation, board, incremental, looks, picks, published, rankings, tuning
from dhauds_jax.report.provenance import provenance
from dhauds_jax.report.tables import Record, detail_table, latest, of_one_make, summary_table, with_variants
from dhauds_jax.wording import counted, of_markdown
from dhauds_jax.workdir import records

TABLES = {
    "summary": summary_table,
    "detail": detail_table,
    "provenance": provenance,
    "overview": published.overview,
    "published": published.beside_published,
    "leaderboard": rankings.leaderboard,
    "by_corruption": rankings.by_corruption,
    "versus": rankings.versus,
    "criteria": rankings.criteria,
    "measures": board.measures,
    "ranks": board.ranks_table,
    "paired": board.paired,
    "picks": picks.picks,
}

OF_COURSES = {
    "courses": incremental.lines_table,
    "courses_by_session": incremental.sessions_table,
    "courses_adapted": incremental.adaptation_table,
}
"""Tables of class-incremental courses, from incremental.jsonl."""

OF_VARIANTS = {"ablation": ablation.ablation}
"""Tables of the variants of a method, which tell them apart themselves."""

OF_TUNINGS = {"tuning": tuning.curves_table}
"""Tables of tunings, from tuning.jsonl."""

FIGURES = {"front": (board.front, board.front_said, "{metric} against milliseconds a clip, the front as a line")}
"""Kinds of figure: what draws one (records, path, looks), what it says, and its words for who cannot see it."""

_EVERY_TABLE = {**TABLES, **OF_VARIANTS, **OF_COURSES, **OF_TUNINGS}

_OTHERS = {**dict.fromkeys(OF_COURSES, "incremental"), **dict.fromkeys(OF_TUNINGS, "tuning")}
"""Kind of table -> kind of record, where it is not of results.jsonl."""

_BLOCK = re.compile(r"(<!-- ((?:table|figure): [^>]*?) -->\n).*?(<!-- end -->)", re.DOTALL)


class _Marked(NamedTuple):
    """What a mark asks for: of what kind, and the records."""

    kind: str
    found: Sequence[Record]
    image: str


def _marked(mark: str, root: Path) -> _Marked:
    """The records of a mark; raises as `render_mark`."""
    parts = [part.strip().partition(": ") for part in mark.split("|")]
    words = {key: value for key, _, value in parts}
    drawn = "figure" in words
    kind, folder = words.pop("figure" if drawn else "table", None), words.pop("records", None)
    every = FIGURES if drawn else _EVERY_TABLE
    if kind not in every or folder is None or not all(colon for _, colon, _ in parts):
        raise BadInput(
            f"mark {mark!r}: expected `{'figure' if drawn else 'table'}: KIND | records: FOLDER`, KIND one of "
            f"{', '.join(every)}, and conditions such as `protocol: offline` after a | each"
        )
    if kind in _OTHERS:
        found = records.read(root / folder, _OTHERS[kind], checked=True)
        found = latest(found) if kind in OF_COURSES else found
    else:
        found = of_one_make(latest(records.read_all([root / folder])))
    kept = found
    for key, value in words.items():
        whole = [r for r in kept if str(r.get(key)) == value]  # names such as audio_mnist/fold1 have a / of their own
        kept = whole or [r for r in kept if str(r.get(key)) in value.split("/")]
    if not kept:
        raise BadInput(f"mark {mark!r}: none of the {len(found)} records in {folder} fits")
    name = "-".join([kind, Path(folder).name, *words.values()]).replace("/", "+")
    return _Marked(kind, with_variants(kept) if kind in TABLES or drawn else kept, f"images/{name}.png")


def render_mark(mark: str, root: Path) -> str:
    """What a mark asks for, a table or the link to a figure with its sentence; folders are relative to `root`.

    Raises:
      BadInput: a mark that is not written so, an unknown kind of table, a folder without records, or nothing left after
        the mark's conditions.
    """
    asked = _marked(mark, root)
    if asked.kind in FIGURES:
        _, said, words = FIGURES[asked.kind]
        link = f"![{words.format(metric=asked.found[0]['metric'])}]({asked.image})"
        return f"{link}\n\n{of_markdown(said(asked.found))}\n"
    return of_markdown(_EVERY_TABLE[asked.kind](asked.found))


def draw_figures(text: str, root: Path, beside: Path) -> int:
    """Draws the figures that a page marks into the folder images/ in `beside`; says how many there are."""
    figures = [asked for asked in (_marked(m[2], root) for m in _BLOCK.finditer(text)) if asked.kind in FIGURES]
    for asked in figures:
        place = beside / asked.image
        place.parent.mkdir(exist_ok=True)
        FIGURES[asked.kind][0](asked.found, place, looks.of_methods(r["method"] for r in asked.found))
    return len(figures)


def render_page(text: str, root: Path) -> str:
    """The page with every marked table made anew."""
    return _BLOCK.sub(lambda m: f"{m[1]}{render_mark(m[2], root)}{m[3]}", text)


def fill_page(page: Path) -> str:
    """Renders a page in place; folders of records are relative to the current folder.

    Raises:
      BadInput: the page is missing or has no marks, or a mark is wrong.
    """
    if not page.is_file():
        raise BadInput(f"--fill={page}: no such page")
    text = page.read_text(encoding="utf-8")
    count = len(_BLOCK.findall(text))
    if not count:
        raise BadInput(f"--fill={page}: holds no mark like `<!-- table: summary | records: FOLDER -->`")
    write_atomically(page, render_page(text, Path(".")))
    drawn = draw_figures(text, Path("."), page.parent)
    figures = f" and {counted(drawn, 'figure')}" if drawn else ""
    return f"{counted(count - drawn, 'table')}{figures} rendered: {page}"
