"""What a cell's predictions are measured by: points of the curve, domains, bins, mean losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dhauds_jax import metrics
from dhauds_jax.cells.targets import Target
from dhauds_jax.registry import is_foreign
from dhauds_jax.tta import selection, streams


def scored(
    index: int,
    logits: np.ndarray,
    labels: np.ndarray,
    metric: str,
    losses: Mapping[str, float],
    criterion: str = selection.DEFAULT,
) -> dict:
    """One point of the curve: the metric, every label-free criterion, calibration, signs of collapse, mean losses.

    The criteria are ours and the run's own, where `criterion` is a "module:function"; one that is not finite is None,
    as JSON has no such number.
    """
    names = [*selection.CRITERIA, *([criterion] if is_foreign(criterion) else [])]
    values = {name: float(selection.CRITERIA[name](logits)) for name in names}
    return {
        "epoch": index,
        **measured(logits, labels, metric),
        "criteria": {name: value if np.isfinite(value) else None for name, value in values.items()},
        "losses": dict(losses),
    }


def measured(logits: np.ndarray, labels: np.ndarray, metric: str) -> dict[str, Any]:
    """The metric, calibration and signs of collapse of some predictions."""
    return {
        "metric": metrics.METRICS[metric](logits, labels),
        "ece": metrics.ece(logits, labels),
        "nll": metrics.nll(logits, labels),
        "top_share": metrics.top_share(logits),
        "collapsed": metrics.collapsed(logits),
    }


def bins(logits: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """The filled bins of a reliability diagram as a record holds them: [share, share that is right, confidence]."""
    return [list(row) for row in metrics.reliability(logits, labels)]


def rows_of(stream: Sequence[streams.StreamBatch]) -> np.ndarray:
    """The rows that a stream showed, sorted."""
    return np.sort(np.concatenate([batch.rows[batch.weights > 0] for batch in stream]))


def mean_losses(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over the updates by name; steps without an update have none."""
    updates = [item for item in losses if item]
    return {name: float(np.mean([item[name] for item in updates])) for name in (updates[0] if updates else {})}


def by_domain(
    stream: Sequence[streams.StreamBatch],
    target: Target,
    unadapted: np.ndarray,
    logits: np.ndarray,
    clean: Sequence[float],
) -> list[dict[str, Any]]:
    """For each of several domains: what was measured on its clips, and on the clean set when it had gone by."""
    if len(target.domains) < 2:
        return []
    score, rows, out = metrics.METRICS[target.metric], rows_of(stream), []
    for d, (corruption, level) in enumerate(target.domains):
        mine = rows[rows // target.clips == d]
        if not len(mine):
            continue
        out.append(
            {
                "corruption": corruption,
                "level": level,
                "n": len(mine),
                "non_adapted": score(unadapted[mine], target.labels[mine]),
                "metric": score(logits[mine], target.labels[mine]),
                **({"clean": clean[d]} if d < len(clean) else {}),
            }
        )
    return out


def chosen_as_it_goes(
    stream: Sequence[streams.StreamBatch],
    target: Target,
    unadapted: np.ndarray,
    logits: np.ndarray,
    criterion: str,
    alone: bool,
) -> dict[str, Any]:
    """A stream under the label-free choice between unadapted and adapted predictions, made batch by batch as they come.

    The metric of the chosen predictions, the criterion, and the share of clips that took the adapted ones. A criterion
    of second views, which no stream has, gives way to the usual one.
    """
    name = selection.DEFAULT if criterion in selection.WITH_VIEWS else criterion
    batches = [batch.rows[batch.weights > 0] for batch in stream]
    taken, rows = selection.as_it_goes(unadapted, logits, batches, name, alone=alone), rows_of(stream)
    chosen = np.where(taken[:, None], logits, unadapted)[rows]
    score = metrics.METRICS[target.metric](chosen, target.labels[rows])
    return {"criterion": name, "metric": score, "adapted": float(taken[rows].mean())}
