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

import numpy as np

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


MOST = 1e30
"""No number that is drawn is larger: sums of squares of some still are numbers."""


def is_shown(values: Any) -> bool:
    """Whether an array holds numbers that can be drawn, all of them finite."""
    values = np.asarray(values)
    return values.dtype.kind in "iufb" and bool((np.abs(values.astype(np.float64)) <= MOST).all())


def save(figure: Any, path: Path) -> None:
    """Writes a figure as PNG; the format's own canvas draws it (Agg).

    A `$` in a name is a `$`, and begins no formula. The ticks of a logarithmic axis are formulas of matplotlib's own.
    """
    from matplotlib.text import Text

    own = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if axis.get_scale() == "log"
        for label in axis.get_ticklabels(which="both")
    }
    for text in figure.findobj(Text):
        text.set_parse_math(text in own)
    figure.savefig(path, dpi=110, format="png", backend="agg")
