"""How good it is to be silent: known against unknown clips, and the risk of what is named against its share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float

from dhauds_jax import metrics
from dhauds_jax.errors import BadInput

Sureness = Float[Array | np.ndarray, " clips"]


def auroc(known: Sureness, unknown: Float[Array | np.ndarray, " others"]) -> float:
    """Area under the ROC curve of telling known from unknown clips by how sure the model is, ties half.

    Args:
      known: (clips,) sureness of clips of the known classes.
      unknown: (clips,) that of other sounds and of background alone.

    Raises:
      BadInput: clips of one kind alone.
    """
    if not len(known) or not len(unknown):
        raise BadInput(f"AUROC: {len(known)} known and {len(unknown)} unknown clips, expected some of both")
    sure = np.concatenate([np.asarray(known, np.float64), np.asarray(unknown, np.float64)])
    return metrics.macro_roc_auc(sure[:, None], (np.arange(len(sure)) < len(known))[:, None])


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
