"""How good it is to be silent: the share that keeps a name, and the risk of what is named against its share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

Sureness = Float[Array | np.ndarray, " clips"]


def accepted(sure: Sureness, least: float | None) -> float:
    """Share of clips that keep a name at a threshold (None: all)."""
    return 1.0 if least is None else float(np.mean(np.asarray(sure) >= least))


class RiskCoverage(NamedTuple):
    """Share of clips that are named (rising), the share of those that is wrong, and the mean of the latter.

    Attributes:
      coverage: (points,) one for every distinct sureness.
      risk: (points,).
      area: mean of the risk over coverage, 0 best (AURC).
    """

    coverage: np.ndarray
    risk: np.ndarray
    area: float


def risk_coverage(sure: Sureness, right: Bool[np.ndarray, " clips"]) -> RiskCoverage:
    """The risk at every coverage: the surest clips are named first, equally sure ones together.

    Args:
      sure: (clips,) sureness.
      right: (clips,) whether the best class is the label; False for clips of no known class.

    Source: El-Yaniv and Wiener, JMLR 2010; Geifman et al. 2019, arXiv 1805.08206 (area).
    """
    order = np.argsort(-np.asarray(sure, np.float64), kind="stable")
    value, wrong = np.asarray(sure)[order], ~np.asarray(right, bool)[order]
    last = np.append(value[1:] != value[:-1], True)
    named = np.arange(1, len(value) + 1)[last]
    risk = np.cumsum(wrong)[last] / named
    area = float((risk * np.diff(named, prepend=0)).sum() / len(value))
    return RiskCoverage(named / len(value), risk, area)
