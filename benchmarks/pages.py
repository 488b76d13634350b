"""Tables of pages that are made from records: what stands between `<!-- NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from pathlib import Path

from dhauds_jax import files


def fill(page: Path, name: str, text: str) -> None:
    """Puts a table in its place on a page.

    Raises:
      ValueError: the page has no place of this name.
    """
    said, count = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}{text.rstrip()}\n{found[2]}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueError(f"{page}: {count} places called {name}, expected one")
    files.write_atomically(page, said)
