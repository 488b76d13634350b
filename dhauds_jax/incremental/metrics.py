"""Measures of class-incremental learning (NumPy, on the host): accuracies are shares, 0 to 1.

A matrix `a` of sessions has in `a[s][j]` the accuracy after session s on the classes that came with session j, NaN
above the diagonal. The last session is T = len(a) - 1, and all sessions are counted from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from dhauds_jax import metrics

PARTS = ("all", "former", "current", "base", "novel")
"""Classes seen so far, those of earlier sessions, of this one, of session 0, and of the sessions after it."""

Matrix = Float[np.ndarray, "sessions sessions"]


def of_classes(predicted: Int[np.ndarray, " tests"], labels: Int[np.ndarray, " tests"]) -> dict[int, float]:
    """Class -> the share of its clips that is named so, of the classes that have clips."""
    return {int(c): float(np.mean(predicted[labels == c] == c)) for c in np.unique(labels)}


def parts(per_class: Mapping[int, float], sessions: Sequence[Sequence[int]], now: int) -> dict[str, float | None]:
    """The mean over classes of their accuracies, by `PARTS`: every class counts alike, however many clips it has.

    Args:
      per_class: class -> accuracy, of all classes of sessions 0 to `now`.
      sessions: the classes of each.
      now: the session that was learnt last.

    Returns:
      a number for each part, None for one that has no classes (former and novel in session 0).
    """
    before = [c for classes in sessions[:now] for c in classes]
    current = list(sessions[now])
    everything = [*before, *current]
    wanted = {
        "all": everything,
        "former": before,
        "current": current,
        "base": list(sessions[0]),
        "novel": everything[len(sessions[0]) :],
    }
    return {name: _mean([per_class[c] for c in classes]) for name, classes in wanted.items()}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def matrix(per_class: Sequence[Mapping[int, float] | None], sessions: Sequence[Sequence[int]]) -> Matrix:
    """The matrix `a` from the accuracies of classes after each session.

    Args:
      per_class: of each session learnt so far, class -> accuracy; None for one that was not measured, a row of NaN.
      sessions: the classes of each.
    """
    count = len(per_class)
    found = np.full((count, count), np.nan)
    for s in [s for s in range(count) if per_class[s] is not None]:
        for j in range(s + 1):
            found[s, j] = np.mean([per_class[s][c] for c in sessions[j]])
    return found


def average(over: Sequence[float]) -> float:
    """AA: the mean over sessions of the accuracy on all classes seen by then."""
    return float(np.mean(over))


def dropped(over: Sequence[float]) -> float:
    """PD: that accuracy after session 0 minus that after the last."""
    return float(over[0] - over[-1])


def forgetting(a: Matrix) -> float | None:
    """Mean over j < T of `max_{j <= s < T} a[s][j] - a[T][j]`; None for one session alone.

    Source: Chaudhry et al. 2018, arXiv 1801.10112. The best is looked for *before* the last session and from session j
    on (continuum#281 has the last one among them, and divides by the sessions, not by those that can be forgotten).
    """
    last = len(a) - 1
    return _mean([float(np.max(a[j:last, j]) - a[last, j]) for j in range(last)])


def backward_transfer(a: Matrix) -> float | None:
    """BWT: mean over j < T of `a[T][j] - a[j][j]`; None for one session alone.

    Source: Lopez-Paz and Ranzato 2017, arXiv 1706.08840.
    """
    last = len(a) - 1
    return _mean([float(a[last, j] - a[j, j]) for j in range(last)])


def curve_of(
    known: Float[np.ndarray, " known"], unknown: Float[np.ndarray, " unknown"], points: int = 25
) -> list[list[float]]:
    """Points (share of unknown clips kept, share of known clips kept) of the ROC curve, from (0, 0) to (1, 1)."""
    edges = np.unique(np.concatenate([known, unknown]))[::-1]
    chosen = np.unique(np.round(np.linspace(0, len(edges) - 1, min(points, len(edges)))).astype(int))
    shares = [[float(np.mean(some >= edge)) for some in (unknown, known)] for edge in edges[chosen]]
    return [[0.0, 0.0], *shares]


def calibration(
    logits: Float[np.ndarray, "tests classes"], labels: Int[np.ndarray, " tests"], seen: Bool[np.ndarray, " classes"]
) -> dict[str, float]:
    """ECE and NLL (nats) of the classes seen, by the softmax of logits over these alone."""
    own = np.asarray(logits, np.float64)[:, seen]
    place = (np.cumsum(seen) - 1)[labels]
    return {"ece": metrics.ece(own, place), "nll": metrics.nll(own, place)}
