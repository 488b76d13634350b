"""dhauds_jax: test-time adaptation of audio classifiers in functional JAX.

The public names are imported when they are first used, so `import dhauds_jax` is quick and needs no JAX.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PLACES = {
    "BadInput": "dhauds_jax.errors:BadInput",
    "Classifier": "dhauds_jax.types:Classifier",
    "Method": "dhauds_jax.types:Method",
    "Model": "dhauds_jax.model:Model",
    "RunInfo": "dhauds_jax.types:RunInfo",
    "load": "dhauds_jax.model:load",
    "methods": "dhauds_jax.tta.methods",
    "protocols": "dhauds_jax.tta.protocols",
    "zoo": "dhauds_jax.nets.zoo",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
