"""Choosing an epoch: the last, by a criterion that needs no labels, or by an oracle (test labels)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dhauds_jax import names, registry
from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax
from dhauds_jax.wording import kind_of


def _entropy(p: np.ndarray) -> np.ndarray | np.floating:
    return -(p * np.log(np.maximum(p, 1e-300))).sum(-1)


def information(logits: np.ndarray) -> float:
    """Mutual information of clip and predicted class in nats, `H(mean p) - mean H(p)`: high is good.

    Confident predictions that spread over the classes score high; a collapse to one class, which has the best (lowest)
    mean entropy of all, scores 0. Source: Bridle et al., NIPS 1991; Hu et al., ICML 2017, arXiv 1702.08720.
    """
    p = softmax(logits)
    return float(_entropy(p.mean(0)) - _entropy(p).mean())


def negative_entropy(logits: np.ndarray) -> float:
    """Minus the mean entropy in nats: high is confident. It cannot tell a collapse from success."""
    return float(-_entropy(softmax(logits)).mean())


def nuclear_norm_share(logits: np.ndarray) -> float:
    """Nuclear norm of the softmax matrix over its largest possible value, 0 to 1: high is confident and diverse.

    `||P||_* / sqrt(min(n, C) n)` for P of n rows and C classes; NaN where a logit is not finite, of which there is no
    decomposition. Source: Cui et al., CVPR 2020, arXiv 2003.12237.
    """
    if not np.isfinite(logits).all():
        return float("nan")
    p = softmax(logits)
    return float(np.linalg.norm(p, "nuc") / np.sqrt(min(p.shape) * len(p)))


def neighbourhood_density(logits: np.ndarray, temperature: float = 0.05, rows: int = 2000) -> float:
    """Soft neighbourhood density in nats: high when clips have many close neighbours, as in tight clusters.

    Mean over clips of the entropy of `softmax_j(<p_i, p_j> / temperature)` over the other clips, p being softmax rows
    of unit length. Sets of more than `rows` clips are thinned evenly.

    Source: Saito et al., ICCV 2021, arXiv 2108.10860, equations 1 to 3.
    """
    p = softmax(logits)
    p = p[np.unique(np.linspace(0, len(p) - 1, min(len(p), rows)).astype(int))]
    p /= np.linalg.norm(p, axis=-1, keepdims=True)
    similarity = p @ p.T / temperature
    np.fill_diagonal(similarity, -np.inf)
    return float(_entropy(softmax(similarity)).mean())


def agreement(logits: np.ndarray, other: np.ndarray) -> float:
    """Share of clips to which two views give the same class, 0 to 1. It cannot tell a collapse from success."""
    return float(np.mean(np.argmax(logits, -1) == np.argmax(other, -1)))


CRITERIA: Mapping[str, Callable[[np.ndarray], float]] = registry.Registry("criterion", names.CRITERIA)
"""Label-free criteria of logits by name; the epoch with the highest value is chosen. A criterion of the user's own is
looked up as "my_package.my_module:function"."""

DEFAULT = "information"

WITH_VIEWS = tuple(names.CRITERIA_WITH_VIEWS)
"""Criteria that need the predictions of a second view; recorded when asked for, since they cost an evaluation."""


def check(name: str) -> None:
    """Raises `BadInput` unless `name` is a criterion, one with views included, or a function of the user's own."""
    if name in CRITERIA:
        found = CRITERIA[name]
        if not callable(found):
            raise BadInput(f"criterion {name!r} is {kind_of(found)}, expected a function of logits (clips, classes)")
    else:
        registry.check("criterion", name, (*CRITERIA, *WITH_VIEWS))


def choose(scores: Sequence[float | None]) -> int:
    """Index of the highest score; of equal ones the first, so that adaptation has to earn its place.

    A score that is NaN or None is never chosen; where all are, the first epoch is.
    """
    values = np.asarray(scores, np.float64)
    numbers = np.flatnonzero(~np.isnan(values))
    return int(numbers[np.argmax(values[numbers])]) if len(numbers) else 0


LOOKED_AT = 1000
"""Clips of a stream, the last ones, by which `as_it_goes` chooses."""


def as_it_goes(
    before: np.ndarray, after: np.ndarray, batches: Sequence[np.ndarray], criterion: str, *, alone: bool = False
) -> np.ndarray:
    """Which clips of a stream a label-free choice leaves to the adapted predictions, batch by batch as they come.

    A batch takes the adapted predictions where the criterion of these, over the last `LOOKED_AT` clips up to and with
    the batch, is higher than that of the unadapted ones; at equal ones, or where the adapted one is no number, the
    unadapted. Nothing that comes later is looked at.

    Args:
      before: (clips, classes) logits of the unadapted network.
      after: (clips, classes) logits as the stream went by.
      batches: rows of each batch in order.
      criterion: a name of `CRITERIA`, or a function of the user's own.
      alone: clips came one by one: a batch is judged by the clips before it alone.

    Returns:
      (clips,) whether a clip took the adapted prediction; False for those that the stream did not show.
    """
    score, taken = CRITERIA[criterion], np.zeros(len(after), bool)
    seen = np.zeros(0, np.int64)
    for rows in batches:
        looked_at = seen if alone else np.concatenate([seen, rows])[-LOOKED_AT:]
        if len(looked_at):
            values = [float(score(logits[looked_at])) for logits in (before, after)]
            taken[rows] = choose([value if np.isfinite(value) else None for value in values]) == 1
        seen = np.concatenate([seen, rows])[-LOOKED_AT:]
    return taken


def oracle(metric_per_epoch: Sequence[float]) -> int:
    """Index of the best epoch by a metric on test labels, later ones winning ties: the published numbers' rule.

    A metric that is NaN is never chosen; where all are, the first epoch is.
    """
    values = np.asarray(metric_per_epoch, np.float64)
    numbers = np.flatnonzero(~np.isnan(values))
    return int(numbers[::-1][np.argmax(values[numbers][::-1])]) if len(numbers) else 0
