"""What fits no class that was learnt: how sure a learner is, and a temperature and a threshold from the shots alone.

All of it is of shots that were left out (`Learner.held_out`, `left_out`): no clip beside them is looked at, and nothing
is tuned on what is unknown.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax import calibration, metrics
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Calibration

SCORES = {"max_logit": "max_score", "energy": "energy", "max_probability": "max_probability"}
"""Scores that logits give, each with its name in a `types.Calibration`."""

WORDS = {"max_logit": "largest logit", "energy": "energy", "max_probability": "largest probability"}
"""The same scores in words."""

DISTANCE = "distance"
"""The score that takes what was read: minus the distance to the nearest class's mean (`distance`)."""

ALL = ("max_logit", "energy", DISTANCE)
"""The scores that are measured beside each other."""

ACCEPTED = 0.95
"""Share of known clips at which the false positive rate is read, as is usual."""

Logits = Float[Array | np.ndarray, "clips max_classes"]
Sureness = Float[Array | np.ndarray, " clips"]


def calibrated(
    logits: Logits,
    labels: Int[np.ndarray, " clips"],
    seen: Float[Array | np.ndarray, " max_classes"],
    score: str,
    owner: Int[np.ndarray, " clips"] | None = None,
) -> Calibration:
    """Temperature and held-out scores from the logits of left-out shots.

    The temperature has the least negative log-likelihood of the labels, each of them doubted by 1 / (n + 2): of a few
    shots that are all right the likelihood alone would make the learner infinitely sure.

    Args:
      logits: (clips, max_classes), each clip's as if it had been left out; -inf for classes not seen.
      labels: (clips,) indices into the room of classes.
      seen: (max_classes,) 1 for a class that has been learnt.
      score: of `SCORES`.
      owner: of clips in windows (a row each), the clip of each window; the scores are then the clips'.

    Raises:
      BadInput: an unknown score, no clip, or a logit of a seen class that is not finite.

    Source: Platt 1999 (the doubt, (n + 1) / (n + 2) for a label); Guo et al. 2017, arXiv 1706.04599.
    """
    kept, own = of_seen(logits, labels, seen)
    clips = len(own) if owner is None else len(np.unique(owner))
    heat = calibration.temperature("nll", kept, labels=own, doubt=1 / (clips + 2))
    made = Calibration(heat, "nll of left-out shots", _named(score))
    found = calibration.compared(made, kept)
    sure = (found if owner is None else by_clip(found, owner)).max(-1)
    return made._replace(known=calibration.held_out(sure))


def by_clip(rows: Float[np.ndarray, "rows some"], owner: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "clips some"]:
    """The mean over each clip's windows, in the order of the clips' numbers."""
    _, own = np.unique(owner, return_inverse=True)
    sums = np.zeros((own.max() + 1, rows.shape[1]))
    np.add.at(sums, own, rows)
    return sums / np.bincount(own)[:, None]


def of_seen(
    logits: Logits, labels: Int[np.ndarray, " clips"], seen: Float[Array | np.ndarray, " max_classes"]
) -> tuple[Float[np.ndarray, "clips classes"], Int[np.ndarray, " clips"]]:
    """Logits of the seen classes alone, in their order in the room, and the labels among them.

    Raises:
      BadInput: no clip, a label of a class not seen, or a logit that is not finite.
    """
    there = np.asarray(seen) > 0
    kept, own = np.asarray(logits, np.float64)[:, there], (np.cumsum(there) - 1)[np.asarray(labels)]
    if not len(kept) or not there[np.asarray(labels)].all() or not np.isfinite(kept).all():
        raise BadInput(
            f"calibration: {len(kept)} left-out clips, expected at least one, of classes that have been learnt, and "
            "logits that are finite for these"
        )
    return kept, own


def _named(score: str) -> str:
    if score not in SCORES:
        raise BadInput(f"score {score!r}: expected one of {', '.join(SCORES)}")
    return SCORES[score]


def flag_of(made: Calibration) -> str:
    """The score that a calibration compares, by its name in `SCORES`, which is that of `--score`.

    Raises:
      BadInput: a calibration of another score.
    """
    for name, own in SCORES.items():
        if own == made.score:
            return name
    raise BadInput(f"calibration: compares {made.score!r}, expected one of {', '.join(SCORES.values())}")


def sureness(
    score: str, logits: Logits, seen: Float[Array | np.ndarray, " max_classes"], temperature: float = 1.0
) -> Float[np.ndarray, " clips"]:
    """How sure logits are that a clip is of a seen class, (clips,): larger is surer.

    Args:
      score: of `SCORES`.
      logits: (clips, max_classes).
      seen: (max_classes,) 1 for a class that has been learnt.
      temperature: of the energy and the probability; those of `calibrated` take its own.

    Raises:
      BadInput: an unknown score.
    """
    how = Calibration(temperature, "none", _named(score))
    return calibration.sureness(how, np.asarray(logits)[:, np.asarray(seen) > 0])


class Centres(NamedTuple):
    """Sums of the unit vectors of each class's shots, by which `distance` measures.

    Attributes:
      total: (max_classes, width).
      count: (max_classes,).
    """

    total: Float[np.ndarray, "max_classes width"]
    count: Float[np.ndarray, " max_classes"]


def vectors(inputs: Array | np.ndarray, reads: str) -> Float[np.ndarray, "clips width"]:
    """What a learner reads, as one vector of length 1 a clip: levels behind each other, tokens as their mean.

    Raises:
      BadInput: waves, of which no distance means anything.
    """
    if reads == "wave":
        raise BadInput(
            f"score {DISTANCE}: the learner reads waves, expected one that reads what a network makes of them"
        )
    read = np.asarray(inputs, np.float64)
    if reads == "tokens":
        read = read.mean(1)
    return _unit(_unit(read).reshape(len(read), -1))


def centres(
    unit: Float[np.ndarray, "clips width"],
    labels: Int[np.ndarray, " clips"],
    weights: Float[np.ndarray, " clips"],
    max_classes: int,
) -> Centres:
    """The sums of shots that were learnt; those of two sessions may be added."""
    belongs = (np.asarray(labels)[:, None] == np.arange(max_classes)) * np.asarray(weights, np.float64)[:, None]
    return Centres(belongs.T @ unit, belongs.sum(0))


def distance(unit: Float[np.ndarray, "clips width"], to: Centres) -> Float[np.ndarray, " clips"]:
    """Minus the cosine distance to the nearest class's mean, `max_k cos(x, mean_k) - 1`, (clips,)."""
    return _nearest(unit @ _unit(to.total).T, to.count)


def held_out_distance(
    unit: Float[np.ndarray, "clips width"], labels: Int[np.ndarray, " clips"], to: Centres
) -> Float[np.ndarray, " clips"]:
    """`distance` of clips that the sums hold, each from its own class's mean without itself."""
    labels, count = np.asarray(labels), np.tile(to.count, (len(unit), 1))
    cosines, mine = unit @ _unit(to.total).T, (np.arange(len(unit)), labels)
    cosines[mine] = (unit * _unit(to.total[labels] - unit)).sum(-1)
    count[mine] -= 1
    return _nearest(cosines, count)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1 in float64; a row of zeros stays one."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _nearest(cosines: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.where(count > 0.5, cosines, -1.0).max(-1) - 1.0


class Measured(NamedTuple):
    """How well unknown sounds are told from known ones.

    Attributes:
      auroc: area under the ROC curve, ties half.
      fpr: share of unknown clips that is accepted where `ACCEPTED` of the known test clips are.
      known: share of known clips that the threshold of the shots truly accepts; NaN without one.
      unknown: likewise of unknown clips.
    """

    auroc: float
    fpr: float
    known: float
    unknown: float


def measured(known: Sureness, unknown: Float[Array | np.ndarray, " others"], least: float | None = None) -> Measured:
    """Measures a score on test clips of learnt classes and on what is of none of them.

    Args:
      known: (clips,) sureness of test clips of learnt classes.
      unknown: (others,) that of classes not yet learnt, or of background noise.
      least: the threshold (`calibration.threshold`) that came from the shots.

    Raises:
      BadInput: clips of one kind alone.
    """
    area = metrics.auroc(np.asarray(known), np.asarray(unknown))
    # The highest threshold that keeps the share: with ties it keeps more.
    sure = np.sort(np.asarray(known, np.float64))
    usual = sure[int((1 - ACCEPTED) * len(sure) + 1e-9)]
    kept = [float("nan") if least is None else float(np.mean(np.asarray(x) >= least)) for x in (known, unknown)]
    return Measured(area, float(np.mean(np.asarray(unknown) >= usual)), *kept)
