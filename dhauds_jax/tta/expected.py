"""How many of a model's labels are right, expected of recordings without labels.

A logistic regression on signs of each clip, fitted to the clips that a model's bank is made of, clean and in noise,
whose labels are known. Its mean over recordings is the accuracy that is expected of them. That held-out clips and the
agreement of two predictions tell accuracy without labels: Garg et al. 2022, arXiv 2201.04234; Jiang et al. 2022, arXiv
2106.13799.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dhauds_jax.metrics import softmax

SIGNS = 8
"""Of a clip."""

PENALTY, STEPS = 1.0, 50
"""Of the squared weights, and of Newton's method at most."""


class Heard(NamedTuple):
    """What a model says of clips, with its own BatchNorm statistics and with those of batches of one kind of sounds."""

    embedding: Float[np.ndarray, "clips features"]
    logits: Float[np.ndarray, "clips classes"]
    batch_embedding: Float[np.ndarray, "clips features"]
    batch_logits: Float[np.ndarray, "clips classes"]


def clip_signs(
    far: tuple[Float[np.ndarray, " clips"], Float[np.ndarray, " clips"]], heard: Heard
) -> Float[np.ndarray, "clips signs"]:
    """The signs of each clip: distances, peaks of the logits, entropies, and how far both predictions agree.

    Args:
      far: `bank.far` with both statistics.
      heard: what the model says.
    """
    logits = [np.asarray(z, np.float64) for z in (heard.logits, heard.batch_logits)]
    p, q = map(softmax, logits)
    peaks = [np.log(z.max(-1) - z.mean(-1) + 1e-3) for z in logits]
    entropies = [-(x * np.log(x + 1e-12)).sum(-1) for x in (p, q)]
    return np.stack([*far, *peaks, *entropies, (p * q).sum(-1), p.argmax(-1) == q.argmax(-1)], -1)


def fit(told: Float[np.ndarray, "clips signs"], right: Bool[np.ndarray, " clips"]) -> Float[np.ndarray, " weights"]:
    """Weights of the signs, and the constant behind them, by Newton's method on the penalised likelihood."""
    middle, scale = told.mean(0), np.maximum(told.std(0), 1e-6)
    x = np.concatenate([(told - middle) / scale, np.ones((len(told), 1))], 1)
    penalty = PENALTY * np.append(np.ones(told.shape[1]), 1e-6)  # the constant's keeps all clips right from infinity
    weights = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = _sigmoid(x @ weights)
        slope = x.T @ (p - right) + penalty * weights
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.diag(penalty), slope)
        weights = weights - step * min(1.0, 2.0 / np.abs(step).max(initial=1e-12))  # a longer one may leap over the top
        if np.abs(step).max() < 1e-8:
            break
    own = weights[:-1] / scale
    return np.append(own, weights[-1] - own @ middle)


def share(weights: Float[np.ndarray, " weights"], told: Float[np.ndarray, "clips signs"]) -> float:
    """The expected share of right labels."""
    return float(_sigmoid(told @ weights[:-1] + weights[-1]).mean())


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))
