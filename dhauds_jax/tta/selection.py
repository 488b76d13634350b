"""Choosing an epoch: the last, by a criterion that needs no labels, or by an oracle (test labels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dhauds_jax.tta.metrics import softmax


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


CRITERIA: dict[str, Callable[[np.ndarray], float]] = {
    "information": information,
    "negative_entropy": negative_entropy,
}
"""Label-free criteria by name; the epoch with the highest value is chosen."""


def choose(scores: Sequence[float]) -> int:
    """Index of the highest score; of equal ones the first, so that adaptation has to earn its place."""
    return int(np.argmax(np.asarray(scores)))


def oracle(metric_per_epoch: Sequence[float]) -> int:
    """Index of the best epoch by a metric on test labels, later ones winning ties: the published numbers' rule."""
    values = np.asarray(metric_per_epoch)
    return int(len(values) - 1 - np.argmax(values[::-1]))
