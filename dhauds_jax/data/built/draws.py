"""Draws by a hash of names: which clips a table takes depends on nothing but what they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def in_drawn_order(names: Iterable[str]) -> list[str]:
    """The names in the order of their SHA-256, the same on every machine and whatever else is there."""
    return sorted(names, key=lambda name: (hashlib.sha256(name.encode()).digest(), name))
