"""Corruptions: `draw` makes all random choices, `apply` carries them out, `corrupt` does a whole set.

A corruption is a `Corruption` record in a file of its own here, found through its line in `dhauds_jax.names`, or a
user's own, "module:attribute". What is exported is imported when it is asked for, so that the files here can be
imported in any order.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "applying": ("CHUNK", "apply", "corrupt", "draw_clips"),
    "base": (
        "CORRECTED", "REFERENCE", "Corruption", "Draw", "NoiseSource", "Quirks", "StandIns", "below", "crop_choice",
        "pad_choice", "pick", "quirks_of", "share",
    ),
    "draws": ("checksum", "clip_key", "clip_keys", "draw", "draw_set", "records"),
    "lookup": (
        "CORRUPTIONS", "LEVELS", "SHIFTS", "TRANSMISSIONS", "check_cell", "check_places", "example", "get",
        "is_mixture", "is_own", "joined", "made_with", "needs_noise", "parse_cell", "public",
    ),
    "recorded": ("NOISE_CORRUPTIONS",),
    "replay": ("replayed",),
}  # fmt: skip
_PLACES = {name: module for module, exported in _EXPORTS.items() for name in exported}
__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
