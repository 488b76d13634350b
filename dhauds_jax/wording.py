"""Words of the commands' sentences."""

from __future__ import annotations


def plural(count: int, one: str, many: str = "") -> str:
    """The word that goes with a count: `one` for 1, else `many` (by default `one` and an s)."""
    return one if count == 1 else many or f"{one}s"


def counted(count: int, one: str, many: str = "") -> str:
    """The count with its word, such as "1 record" and "1,200 records"."""
    return f"{count:,} {plural(count, one, many)}"
