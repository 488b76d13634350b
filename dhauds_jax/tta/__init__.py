"""Test-time adaptation: methods, protocols that run them, and the label-free choice of an epoch.

`methods`, `protocols` and `selection` are imported when they are first used, so that `import dhauds_jax.tta` is cheap.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["methods", "protocols", "selection"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
