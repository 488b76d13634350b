"""How right the scores of clips are: of one label each, or of any number of labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Integer, Shaped

from dhauds_jax import metrics
from dhauds_jax.zeroshot.reference import top_k_shares

Scores = Float[np.ndarray, "clips classes"]
Labels = Integer[np.ndarray, " clips"] | Integer[np.ndarray, "clips classes"]
"""Class indices, or rows of 0 and 1 with at least one 1 each."""


def metric_of(labels: Labels) -> str:
    """What `right` is a mean of: "accuracy", or "top_k_share" where clips may have several labels."""
    return "accuracy" if labels.ndim == 1 else "top_k_share"


def right(scores: Scores, labels: Labels) -> Shaped[np.ndarray, " clips"]:
    """Whether each clip's best class is its label; with rows the share of its k labels among its k best classes."""
    return scores.argmax(-1) == labels if labels.ndim == 1 else top_k_shares(scores, labels)


def named(scores: Scores, labels: Labels) -> Shaped[np.ndarray, " clips"]:
    """Whether each clip's best class is its label, or one of its labels."""
    best = scores.argmax(-1)
    return best == labels if labels.ndim == 1 else labels[np.arange(len(labels)), best] > 0


def per_class(scores: Scores, labels: Labels) -> list[float | None]:
    """The share of each class's clips that is right, with rows its average precision; None for one without clips."""
    if labels.ndim == 2:
        each = [(scores[:, k : k + 1], labels[:, k : k + 1]) for k in range(labels.shape[1])]
        return [metrics.mean_average_precision(*one) if one[1].any() else None for one in each]
    said = scores.argmax(-1)
    masks = [labels == k for k in range(scores.shape[1])]
    return [float(np.mean(said[m] == k)) if m.any() else None for k, m in enumerate(masks)]
