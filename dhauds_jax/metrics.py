"""Metrics of predictions against labels, and signs of collapse that need none (NumPy, on the host).

`logits` are (clips, classes); `labels` are (clips,) class indices or, for clips with several labels, (clips, classes)
rows of 0 and 1. With rows, probabilities are sigmoids and every class is a yes-or-no question of its own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dhauds_jax.errors import BadInput

COLLAPSE_SHARE = 0.8
"""A run counts as collapsed when one class takes more than this share of the predictions. Labels play no part: a
set of which more is one class looks collapsed when it is predicted well."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax in float64."""
    shifted = np.asarray(logits, np.float64) - np.max(logits, -1, keepdims=True)
    exponent = np.exp(shifted)
    return exponent / exponent.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Element-wise logistic function in float64."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(logits, np.float64)))


def label_rows(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels as rows of 0 and 1, bool (clips, classes)."""
    return np.asarray(labels, bool) if np.ndim(labels) == 2 else np.arange(classes) == np.asarray(labels)[:, None]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of clips whose largest logit is their label's (or, with rows, is one of their labels)."""
    top = np.argmax(logits, -1)
    if np.ndim(labels) == 2:
        return float(np.mean(np.asarray(labels)[np.arange(len(top)), top] > 0))
    return float(np.mean(top == labels))


def macro_f1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean F1 score over the classes that occur in labels or predictions (scikit-learn's rule).

    With rows a class is predicted where its logit is above 0, and all classes count.
    """
    if np.ndim(labels) == 2:
        said, true = np.asarray(logits) > 0, np.asarray(labels) > 0
        hits, both = (said & true).sum(0), said.sum(0) + true.sum(0)
        return float(np.mean(np.where(both > 0, 2 * hits / np.maximum(both, 1), 0.0)))
    predicted = np.argmax(logits, -1)
    scores = []
    for c in np.union1d(labels, predicted):
        hits = np.sum((predicted == c) & (labels == c))
        scores.append(2 * hits / (np.sum(predicted == c) + np.sum(labels == c)))
    return float(np.mean(scores))


def macro_roc_auc(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of the area under the one-vs-rest ROC curve of the raw logits (ties count half).

    Classes of which all or no clips are positive have no curve and are left out.

    Raises:
      BadInput: no class has both.
    """
    areas, _ = _roc_areas(np.asarray(logits), label_rows(labels, logits.shape[-1]), "macro_roc_auc")
    return float(np.mean(areas))


def weighted_roc_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the one-vs-rest ROC areas of scores (clips, classes), each weighted by how many clips its class has.

    Ties count half. Scores are taken as they are: probabilities, or logits (another area, as a class is compared over
    clips). Equal to scikit-learn's `roc_auc_score(multi_class="ovr", average="weighted")`, which refuses sets in which
    a class does not occur; here such a class has weight 0 (`data.notices.absent_classes` says which).

    Raises:
      BadInput: no class has clips with and without it.

    Source: Provost and Domingos 2001; the Tomofun dog-sound challenge's metric.
    """
    areas, positive = _roc_areas(np.asarray(scores), label_rows(labels, scores.shape[-1]), "weighted_roc_auc")
    return float(np.average(areas, weights=positive))


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Area under the ROC curve of telling known from unknown clips by how sure a model is, ties half.

    Args:
      known: (clips,) sureness of clips of the known classes.
      unknown: (others,) that of other sounds and of background alone.

    Raises:
      BadInput: clips of one kind alone.
    """
    if not len(known) or not len(unknown):
        raise BadInput(f"AUROC: {len(known)} known and {len(unknown)} unknown clips, expected some of both")
    sure = np.concatenate([np.asarray(known, np.float64), np.asarray(unknown, np.float64)])
    return macro_roc_auc(sure[:, None], (np.arange(len(sure)) < len(known))[:, None])


def _roc_areas(scores: np.ndarray, rows: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Area under the curve of every class that has one, and how many clips these have."""
    positive = rows.sum(0)
    judged = np.flatnonzero((positive > 0) & (positive < len(rows)))
    if not len(judged):
        raise BadInput(f"{name}: no class has clips with and without it, expected labels of at least two classes")
    areas = []
    for c in judged:
        _, place, count = np.unique(np.asarray(scores[:, c], np.float64), return_inverse=True, return_counts=True)
        ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # ties share the mean of their ranks
        p = int(positive[c])
        areas.append((ranks[rows[:, c]].sum() - p * (p + 1) / 2) / (p * (len(rows) - p)))
    return np.array(areas), positive[judged]


def mean_average_precision(logits: np.ndarray, labels: np.ndarray) -> float:
    """mAP: mean over the classes that have positives of the average precision `sum_k (R_k - R_{k-1}) P_k`.

    Thresholds are the distinct logits, as in scikit-learn.
    """
    rows = label_rows(labels, logits.shape[-1])
    scores = []
    for c in np.flatnonzero(rows.any(0)):
        order = np.argsort(-np.asarray(logits[:, c], np.float64), kind="stable")
        hit, value = rows[order, c], logits[order, c]
        last = np.append(value[1:] != value[:-1], True)
        found = np.cumsum(hit)[last]
        precision, recall = found / (np.flatnonzero(last) + 1), found / found[-1]
        scores.append(np.sum(np.diff(recall, prepend=0.0) * precision))
    return float(np.mean(scores))


def brier(logits: np.ndarray, labels: np.ndarray) -> float:
    """Brier score: mean over clips of the squared distance of the probabilities from the label's row, 0 to 2.

    With rows: mean over clips and classes of the squared error of each probability. Source: Brier 1950.
    """
    rows = label_rows(labels, logits.shape[-1])
    if np.ndim(labels) == 2:
        return float(np.mean((sigmoid(logits) - rows) ** 2))
    return float(np.mean(((softmax(logits) - rows) ** 2).sum(-1)))


def silhouette(embedding: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette coefficient (Euclidean) of embeddings (clips, features) grouped by class, -1 to 1.

    `(b - a) / max(a, b)`, a the mean distance to the clips of the own class and b that to the nearest other class; 0
    for a clip that is alone in its class.

    Raises:
      BadInput: fewer than two classes, or as many classes as clips.

    Source: Rousseeuw 1987; DHAuDS computes it over the encoder's flattened tokens.
    """
    x, (names, own) = np.asarray(embedding, np.float64), np.unique(labels, return_inverse=True)
    if not 2 <= len(names) < len(x):
        raise BadInput(f"silhouette: {len(names)} classes among {len(x)} clips, expected from 2 to clips - 1")
    member = np.eye(len(names))[own]
    counts, sums = member.sum(0), np.zeros((len(x), len(names)))
    squares = (x**2).sum(-1)
    for first in range(0, len(x), 512):
        rows = slice(first, first + 512)
        distance = np.sqrt(np.maximum(squares[rows, None] + squares - 2 * x[rows] @ x.T, 0.0))
        distance[np.arange(len(distance)), np.arange(first, first + len(distance))] = 0.0
        sums[rows] = distance @ member
    here = np.arange(len(x)), own
    a = sums[here] / np.maximum(counts[own] - 1, 1)
    means = sums / counts
    means[here] = np.inf
    b = means.min(-1)
    scores = np.where(counts[own] > 1, (b - a) / np.maximum(np.maximum(a, b), 1e-300), 0.0)
    return float(scores.mean())


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the labels, in nats; with rows the mean over clips and classes."""
    logits = np.asarray(logits, np.float64)
    if np.ndim(labels) == 2:
        return float(np.mean(np.logaddexp(0.0, logits) - logits * (np.asarray(labels) > 0)))
    top = logits.max(-1)
    log_z = top + np.log(np.exp(logits - top[:, None]).sum(-1))
    return float(np.mean(log_z - logits[np.arange(len(labels)), labels]))


def ece(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over `bins` equal bins of confidence, 0 to 1 (Guo et al. 2017, arXiv 1706.04599).

    With rows every class of every clip is a two-way question, its confidence that of the likelier answer.
    """
    return float(sum(share * abs(right - said) for share, right, said in reliability(logits, labels, bins)))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[tuple[float, float, float]]:
    """The filled bins of a reliability diagram: (share of clips, share that is right, mean confidence)."""
    if np.ndim(labels) == 2:
        p = sigmoid(logits).ravel()
        confidence, hit = np.maximum(p, 1 - p), (p > 0.5) == (np.asarray(labels).ravel() > 0)
    else:
        p = softmax(logits)
        confidence, hit = p.max(-1), p.argmax(-1) == labels
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    inside = [which == b for b in range(bins)]
    return [(float(i.mean()), float(hit[i].mean()), float(confidence[i].mean())) for i in inside if i.any()]


def top_share(logits: np.ndarray) -> float:
    """Share of clips that are given the most frequent predicted class."""
    return float(np.bincount(np.argmax(logits, -1)).max() / len(logits))


def collapsed(logits: np.ndarray) -> bool:
    """Whether one class takes nearly all predictions (`COLLAPSE_SHARE`); needs no labels."""
    return top_share(logits) > COLLAPSE_SHARE


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "macro_roc_auc": macro_roc_auc,
}
"""A data set's main metric by name."""

ALL: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    **METRICS,
    "mean_average_precision": mean_average_precision,
    "ece": ece,
    "nll": nll,
    "brier": brier,
}
"""Everything that is measured of logits against labels."""


def everything(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All of `ALL`; the ROC curve's area is left out where no class has one."""
    values = {}
    for name, function in ALL.items():
        try:
            values[name] = function(logits, labels)
        except BadInput:
            continue
    return values
