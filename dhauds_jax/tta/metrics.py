"""Metrics of predictions against labels, and signs of collapse that need none (NumPy, on the host).

`logits` are (clips, classes); `labels` (clips,) class indices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

COLLAPSE_SHARE = 0.8
"""A run counts as collapsed when one class takes more than this share of the predictions (and more than in truth)."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax in float64."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, -1, keepdims=True)
    exponent = np.exp(shifted)
    return exponent / exponent.sum(-1, keepdims=True)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips whose largest logit is their label's."""
    return float(np.mean(np.argmax(logits, -1) == labels))


def macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur in labels or predictions of the F1 score (scikit-learn's rule)."""
    predicted = np.argmax(logits, -1)
    scores = []
    for c in np.union1d(labels, predicted):
        hits = np.sum((predicted == c) & (labels == c))
        scores.append(2 * hits / (np.sum(predicted == c) + np.sum(labels == c)))
    return float(np.mean(scores))


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the labels, in nats."""
    logits = np.asarray(logits, np.float64)
    top = logits.max(-1)
    log_z = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return float(np.mean(log_z - logits[np.arange(len(labels)), labels]))


def ece(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over `bins` equal bins of confidence, 0 to 1 (Guo et al. 2017, arXiv 1706.04599)."""
    p = softmax(logits)
    confidence = p.max(-1)
    hit = p.argmax(-1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    error = 0.0
    for b in range(bins):
        inside = which == b
        if inside.any():
            error += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return float(error)


def top_share(logits: np.ndarray) -> float:
    """Share of clips that are given the most frequent predicted class."""
    return float(np.bincount(np.argmax(logits, -1)).max() / len(logits))


def collapsed(logits: np.ndarray) -> bool:
    """Whether one class takes nearly all predictions (`COLLAPSE_SHARE`); needs no labels."""
    return top_share(logits) > COLLAPSE_SHARE


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"accuracy": accuracy, "macro_f1": macro_f1}
"""A data set's main metric by name."""
