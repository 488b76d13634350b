"""Words of the commands' sentences."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_IMAGE = re.compile(r"!\[[^\]]*\]\([\w.-]+(/[\w.-]+)*\.png\)")
_ENTITY = re.compile(r"&(?=#?\w+;)")


def plural(count: int, one: str, many: str = "") -> str:
    """The word that goes with a count: `one` for 1, else `many` (by default `one` and an s, or es after tch)."""
    return one if count == 1 else many or f"{one}{'es' if one.endswith('tch') else 's'}"


def counted(count: int, one: str, many: str = "") -> str:
    """The count with its word, such as "1 record" and "1,200 records"."""
    return f"{count:,} {plural(count, one, many)}"


def kind_of(value: Any) -> str:
    """What a value is, with its article: "an int", "a str", "an AdaptState"."""
    word = type(value).__name__
    return f"{'an' if word[:1].lower() in tuple('aeiou') else 'a'} {word}"


def differing(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The names, with commas, under which two records differ; of records in them, the names in those."""
    found = []
    for name in {**wanted, **stored}:
        one, other = stored.get(name), wanted.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += [differing(one, other)] * (one != other)
        elif one != other:
            found.append(name)
    return ", ".join(found)


def of_markdown(text: str) -> str:
    """A report whose names are words and nothing else: no element of HTML, no link, no picture but those beside it.

    What stands between backticks is left as it is: Markdown shows it letter by letter.
    """
    return "\n".join(line if _IMAGE.fullmatch(line) else _words(line) for line in text.split("\n"))


def _words(line: str) -> str:
    parts = re.split(r"(`[^`]*`)", line)
    for place in range(0, len(parts), 2):
        words = _ENTITY.sub("&amp;", parts[place]).replace("<", "&lt;")
        parts[place] = words.replace("](", "]\\(")
    return "".join(parts)
