"""Networks by name and their checkpoints: `nets.zoo`, `nets.checkpoint`, and the records that a network of one's own
fills in. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "ClassifierConfig": "config",
    "Family": "family",
    "FrontEnd": "front_ends",
    "checkpoint": None,
    "zoo": None,
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PLACES[name] or name}")
    return getattr(module, name) if _PLACES[name] else module
