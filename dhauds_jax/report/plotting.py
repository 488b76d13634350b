"""Matplotlib without a screen, without pyplot, and whatever backend the environment names.

A notebook's kernel leaves `MPLBACKEND=module://matplotlib_inline.backend_inline` to the commands that it starts. Where
that module is not installed `import matplotlib` itself fails, although a figure that is only saved needs no backend.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from pathlib import Path
from typing import Any

_NAME = "MPLBACKEND"


def _imported() -> Any:
    """The class of figures; matplotlib's notes on a cache folder that it cannot write are no news to a report."""
    if "matplotlib" in sys.modules:
        return importlib.import_module("matplotlib.figure").Figure
    log = logging.getLogger("matplotlib")
    level, named = log.level, os.environ.pop(_NAME, None)
    log.setLevel(logging.ERROR)
    try:
        import matplotlib
        from matplotlib import figure, font_manager  # noqa: F401  (reads the cache of fonts)
    finally:
        log.setLevel(level)
        if named is not None:
            os.environ[_NAME] = named
    if named:
        with contextlib.suppress(ValueError):  # what matplotlib would have done, for who uses pyplot in this process
            matplotlib.rcParams["backend"] = named
    return figure.Figure


Figure = _imported()


def subplots(rows: int = 1, columns: int = 1, *, figsize: tuple[float, float], **grid: Any) -> tuple[Any, Any]:
    """A figure of its own, that no list of open figures holds, and its axes (see `matplotlib.figure.Figure.subplots`).

    Args:
      rows: of axes.
      columns: of axes.
      figsize: width and height in inches.
      **grid: `sharex`, `sharey`, `squeeze`, `height_ratios`.
    """
    figure = Figure(figsize=figsize, layout="constrained")
    return figure, figure.subplots(rows, columns, **grid)


def save(figure: Any, path: Path) -> None:
    """Writes a figure as PNG; the format's own canvas draws it (Agg)."""
    figure.savefig(path, dpi=110, format="png", backend="agg")
