"""Tables of docs/reliability.md, from the records: what stands between `<!-- faults: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dhauds_jax.files import write_atomically
from dhauds_jax.wording import of_markdown
from tests.faults import campaigns, outcomes
from tests.faults.outcomes import Outcome, Recorded

_BLOCK = re.compile(r"(<!-- faults: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SHOWN, _LONGEST = 20, 160


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table of Markdown; columns of numbers stand right."""
    numbers = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    lines = [" | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row) for row in (head, *rows)]
    rule = "|".join("---:" if right else "---" for right in numbers)
    return f"| {lines[0]} |\n|{rule}|\n" + "".join(f"| {line} |\n" for line in lines[1:])


def _cell(text: str) -> str:
    return of_markdown(" ".join(text.split()).replace("|", "\\|"))


def by_case(tries: Sequence[Outcome]) -> str:
    """Tries of each case, and how many had each outcome; right ones first."""
    words = sorted({one.outcome for one in tries}, key=lambda word: (word in outcomes.WRONG, word))
    cases = list(dict.fromkeys(one.case for one in tries))
    counts = Counter((one.case, one.outcome) for one in tries)
    totals = Counter(one.case for one in tries)
    rows = [[_cell(case), totals[case], *(counts[case, word] for word in words)] for case in sorted(cases)]
    every = Counter(one.outcome for one in tries)
    return table(["case", "tries", *words], [*rows, ["all", len(tries), *(every[word] for word in words)]])


def wrong_ones(tries: Sequence[Outcome]) -> str:
    """A line each of those that came out wrong; "" for none."""
    found = [one for one in tries if one.wrong]
    lines = [f"* `{one.key}`: {one.outcome}, {_cell(one.said[:_LONGEST])}\n" for one in found[:_SHOWN]]
    more = f"* and {len(found) - _SHOWN} more\n" if len(found) > _SHOWN else ""
    return "\n" + "".join(lines) + more if found else ""


def when(campaign: str, recorded: Recorded) -> str:
    """How many tries, with which seeds, by which command and code, when."""
    seeds = sorted({one.seed for one in recorded.tries.values()})
    dates = sorted({run["date"][:10] for run in recorded.runs})
    revisions = list(dict.fromkeys(run["git_revision"] for run in recorded.runs))
    count = sum(one.where.get("tries", 1) for one in recorded.tries.values())
    hours = sum(one.seconds for one in recorded.tries.values()) / 3600
    return (
        f"{count:,} tries, seeds {seeds[0]} to {seeds[-1]}, {hours:.1f} h; "
        f"`python -m tests.faults --campaign={campaign}`, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}, "
        f"at {', '.join(revisions)}.\n\n"
    )


def render(campaign: str, records: Path) -> str:
    """What stands on the page for a campaign."""
    recorded = outcomes.read(records, campaign)
    if not recorded.tries:
        return "Not run yet.\n"
    tries = list(recorded.tries.values())
    own = getattr(campaigns.module_of(campaign), "tables", by_case)
    return when(campaign, recorded) + own(tries) + wrong_ones(tries)


def filled(text: str, records: Path) -> str:
    """A page with every marked part made anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{render(found[2], records)}{found[3]}", text)


def fill(page: Path, records: Path) -> None:
    """Renders a page in place."""
    write_atomically(page, filled(page.read_text(encoding="utf-8"), records))
