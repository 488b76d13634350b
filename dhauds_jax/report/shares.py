"""Shares of independent clips, and how far they can be trusted; no package for statistics or figures is imported."""

from __future__ import annotations

import math
from typing import NamedTuple

Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


class Interval(NamedTuple):
    """A share with its 95 % interval."""

    share: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.share:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def share(hits: int, of: int) -> Interval:
    """A share of independent clips with Wilson's 95 % interval.

    The ends solve `|p - hits / of| = Z sqrt(p (1 - p) / of)`. Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209-212.
    """
    found, doubt = hits / of, Z * Z / of
    middle = (found + doubt / 2) / (1 + doubt)
    half = Z * math.sqrt(found * (1 - found) / of + doubt / (4 * of)) / (1 + doubt)
    # At none and at all an end is the share itself, which rounding would miss.
    return Interval(found, 0.0 if hits == 0 else middle - half, 1.0 if hits == of else middle + half)
