"""Choosing an epoch: the last, by a criterion that needs no labels, or by an oracle (test labels)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dhauds_jax.metrics import softmax


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


def nuclear_norm(logits: np.ndarray) -> float:
    """Nuclear norm of the softmax matrix over its largest possible value, 0 to 1: high is confident and diverse.

    `||P||_* / sqrt(min(n, C) n)` for P of n rows and C classes. Source: Cui et al., CVPR 2020, arXiv 2003.12237.
    """
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


CRITERIA: dict[str, Callable[[np.ndarray], float]] = {
    "information": information,
    "negative_entropy": negative_entropy,
    "nuclear_norm": nuclear_norm,
    "neighbourhood_density": neighbourhood_density,
}
"""Label-free criteria of logits by name; the epoch with the highest value is chosen."""

DEFAULT = "information"

WITH_VIEWS = ("agreement",)
"""Criteria that need the predictions of a second view; recorded when asked for, since they cost an evaluation."""


def choose(scores: Sequence[float]) -> int:
    """Index of the highest score; of equal ones the first, so that adaptation has to earn its place."""
    return int(np.argmax(np.asarray(scores)))


def oracle(metric_per_epoch: Sequence[float]) -> int:
    """Index of the best epoch by a metric on test labels, later ones winning ties: the published numbers' rule."""
    values = np.asarray(metric_per_epoch)
    return int(len(values) - 1 - np.argmax(values[::-1]))
