"""How scores become probabilities, and below which of them a clip is called unknown (NumPy, on the host).

One `types.Calibration` serves zero-shot prototypes, nets and incremental learners: a temperature, and up to 1,000
held-out scores of known clips and of background alone, from which the threshold of any rate follows later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.metrics import accuracy, ece, nll, softmax, weighted_roc_auc
from dhauds_jax.names import CHOSEN_BY
from dhauds_jax.types import Calibration

HOW = ("none", "checkpoint", "agreement", "nll")
"""Choices of the temperature; only `nll` looks at labels."""

SCORES = ("max_probability", "max_score", "energy")
"""What may be compared with a threshold (`compared`)."""

MOST = 1000
"""Held-out scores that a calibration keeps."""

UNKNOWN = "unknown"

Scores = Float[Array | np.ndarray, "clips classes"]
Sureness = Float[Array | np.ndarray, " clips"]
Members = Float[Array | np.ndarray, "members clips classes"]

_ROUNDS = 80


def temperature(
    how: str,
    scores: Scores,
    *,
    scale: float | None = None,
    halves: tuple[Scores, Scores] | None = None,
    labels: Int[np.ndarray, " clips"] | None = None,
    doubt: float = 0.0,
) -> float:
    """What scores are divided by before the softmax.

    Args:
      how: `none`: 1, as published; `checkpoint`: 1 / `scale`, the model's own; `agreement`: the mean confidence becomes
        the share of clips to which the two `halves` give one class, without labels; `nll`: the likelihood of `labels`.
      scores: (clips, classes) cosines or logits.
      scale: what the model multiplies cosines by; 1 for logits.
      halves: the scores of the same clips by two halves of the prompts or by two windows, (clips, classes) each.
      labels: (clips,) class indices of held-out clips.
      doubt: share of each label that `nll` spreads evenly over the other classes; 0: none, and where the labels are all
        the best class no temperature is low enough.

    Raises:
      BadInput: an unknown way, or what it needs is missing.

    Source: Guo et al. 2017, arXiv 1706.04599 (`nll`); Jiang et al. 2022, arXiv 2106.13799 (`agreement`: two equally
    good predictors agree as often as one of them is right, where they are calibrated).
    """
    if how == "none":
        return 1.0
    needed = {"checkpoint": scale, "agreement": halves, "nll": labels}
    what = {"checkpoint": "the model's scale", "agreement": "two halves of the prompts", "nll": "labelled clips"}
    if how not in needed:
        raise BadInput(f"calibration {how!r}: expected one of {', '.join(HOW)}")
    if needed[how] is None:
        raise BadInput(f"calibration {how} needs {what[how]}, and there are none: expected them, or calibration none")
    if how == "checkpoint":
        check_number("scale of the checkpoint", float(scale), 0.0, above=True)
        return 1.0 / float(scale)
    scores = np.asarray(scores, np.float64)
    if how == "agreement":
        # Never quite 1, which no finite temperature reaches.
        agreed = (np.argmax(halves[0], -1) == np.argmax(halves[1], -1)).sum()
        share = (agreed + 0.5) / (len(scores) + 1)
        return _solved(scores, lambda beta: float(softmax(beta * scores).max(-1).mean() - share))
    own = scores[np.arange(len(scores)), labels]
    if doubt:
        own = (1 - doubt) * own + doubt * (scores.sum(-1) - own) / max(1, scores.shape[-1] - 1)
    return _solved(scores, lambda beta: float(((softmax(beta * scores) * scores).sum(-1) - own).mean()))


def _solved(scores: np.ndarray, rising: Callable[[float], float]) -> float:
    """The temperature 1 / beta at which a function that rises with beta crosses 0; else an end of the range."""
    spread = float(np.ptp(scores, -1).mean()) or 1.0
    low, high = math.log(1e-4 / spread), math.log(1e4 / spread)
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(math.exp(middle)) > 0 else (middle, high)
    return math.exp(-(low + high) / 2)


def probabilities(calibration: Calibration, scores: Scores) -> np.ndarray:
    """Softmax of `scores / temperature`, (clips, classes) in float64."""
    return softmax(np.asarray(scores, np.float64) / calibration.temperature)


def by_group(probabilities: Float[Any, "*rows classes"], groups: Mapping[str, Any]) -> Float[Any, "*rows reported"]:
    """Probabilities of what is reported: those of a group's classes summed; without groups as they are.

    Args:
      probabilities: (..., classes), NumPy's or JAX's.
      groups: a config's (`nets.config.ClassifierConfig.groups`), {} for none.
    """
    if not groups:
        return probabilities
    members = [[c for c, k in enumerate(groups["of"]) if k == group] for group in range(len(groups["names"]))]
    xp = probabilities.__array_namespace__()
    return xp.stack([probabilities[..., np.array(own)].sum(-1) for own in members], axis=-1)


def labels_by_group(labels: Int[np.ndarray, " clips"], groups: Mapping[str, Any]) -> np.ndarray:
    """Class indices as indices of what is reported."""
    return np.asarray(groups["of"], np.int32)[labels] if groups else np.asarray(labels)


def log_probabilities(probabilities: Float[np.ndarray, "*rows classes"]) -> np.ndarray:
    """What metrics of logits take where there are probabilities alone: their logarithms, that of 0 being -690.

    The softmax gives the probabilities back.
    """
    return np.log(np.maximum(np.asarray(probabilities, np.float64), 1e-300))


def ensemble(logits: Members, temperature: float, groups: Mapping[str, Any]) -> np.ndarray:
    """Mean over members (models, shifted copies, or both) of the reported probabilities at a temperature.

    (clips, reported) in float64, of logits (members, clips, classes).

    Source: Tomofun challenge, team ADEE, src/serve: 5 folds x 5 shifts, T = 5.
    """
    return by_group(softmax(np.asarray(logits, np.float64) / temperature), groups).mean(0)


def quality(by: str, probabilities: Scores, labels: Int[np.ndarray, " clips"]) -> float:
    """What a choice makes as large as can be: of `CHOSEN_BY`, "nll" with its sign turned."""
    if by not in CHOSEN_BY:
        raise BadInput(f"chosen by {by!r}: expected {', '.join(CHOSEN_BY[:-1])} or {CHOSEN_BY[-1]}")
    if by == "auc":
        return weighted_roc_auc(probabilities, labels)
    return accuracy(probabilities, labels) if by == "accuracy" else -nll(log_probabilities(probabilities), labels)


def best_temperature(
    by: str,
    candidates: Sequence[float],
    logits: Members,
    labels: Int[np.ndarray, " clips"],
    groups: Mapping[str, Any],
) -> tuple[float, list[float]]:
    """The temperature of a list at which the averaged ensemble is best, the first of equals, and the `quality` of each.

    Args:
      by: of `CHOSEN_BY`.
      candidates: temperatures above 0.
      logits: (members, clips, classes).
      labels: (clips,) indices of what is reported.
      groups: the config's.

    Raises:
      BadInput: no temperatures, or one that is not above 0.
    """
    if not candidates:
        raise BadInput("temperatures: there are none, expected at least one, such as 1")
    for value in candidates:
        check_number("temperature", value, 0.0, above=True)
    found = [quality(by, ensemble(logits, value, groups), labels) for value in candidates]
    return float(candidates[int(np.argmax(found))]), found


def error_of(probabilities: Scores, labels: Int[np.ndarray, " clips"]) -> float:
    """Expected calibration error of probabilities (`metrics.ece`)."""
    return ece(log_probabilities(probabilities), labels)


def compared(calibration: Calibration, scores: Scores) -> Float[np.ndarray, "clips some"]:
    """What is averaged over a file's windows, and its largest then compared with a threshold, in float64.

    The probabilities (clips, classes), the scores as they are, or the energy `T log sum_k exp(s_k / T)` (clips, 1).

    Raises:
      BadInput: a calibration that names another score.

    Source: Hendrycks and Gimpel 2017, arXiv 1610.02136 (probability); Hendrycks et al. 2022, arXiv 1911.11132 (score);
    Liu et al. 2020, arXiv 2010.03759 (energy, its sign turned).
    """
    if calibration.score == "max_probability":
        return probabilities(calibration, scores)
    scores = np.asarray(scores, np.float64)
    if calibration.score == "max_score":
        return scores
    if calibration.score == "energy":
        largest = scores.max(-1, keepdims=True)
        above = np.exp((scores - largest) / calibration.temperature).sum(-1, keepdims=True)
        return largest + calibration.temperature * np.log(above)
    raise BadInput(f"calibration: compares {calibration.score!r}, expected one of {', '.join(SCORES)}: calibrate again")


def sureness(calibration: Calibration, scores: Scores) -> np.ndarray:
    """What is compared with a threshold, (clips,): the largest of what is `compared`; raises `BadInput` as that."""
    return compared(calibration, scores).max(-1)


def held_out(values: Float[Array | np.ndarray, " clips"]) -> np.ndarray:
    """Held-out scores as a calibration keeps them: sorted, of more than `MOST` an even selection with both ends.

    Raises:
      BadInput: none, or one that is not finite.
    """
    found = np.sort(np.asarray(values, np.float64).ravel())
    if not len(found) or not np.isfinite(found).all():
        raise BadInput(f"held-out scores: {len(found)} values, expected at least one, and finite ones alone")
    return found[np.round(np.linspace(0, len(found) - 1, min(len(found), MOST))).astype(int)]


def with_scores(
    calibration: Calibration,
    known: Scores | None = None,
    background: Float[Array | np.ndarray, "windows classes"] | None = None,
) -> Calibration:
    """The calibration with what it says of held-out clips.

    Args:
      calibration: with temperature and score.
      known: (clips, classes) scores of held-out clips of the known classes.
      background: (windows, classes) scores of held-out windows of background alone.
    """
    kept = [None if scores is None else held_out(sureness(calibration, scores)) for scores in (known, background)]
    return calibration._replace(known=kept[0], background=kept[1])


def threshold(
    calibration: Calibration, reject: float | None = None, reject_background: float | None = None
) -> float | None:
    """Below it a clip is unknown; None where neither rate is asked for, the higher one where both are.

    Args:
      calibration: with the held-out scores that a rate needs.
      reject: at most this share of the known held-out scores falls below (`--reject`), 0 up to but not 1.
      reject_background: at most this share of background windows keeps a name (`--reject_background`), 0 to 1.

    Raises:
      BadInput: a rate out of its range, or held-out scores that are missing.
    """
    ends = []
    if reject is not None:
        check_number("--reject", reject, 0.0, 1.0, below=True)
        known = _needed(
            calibration.known,
            "--reject",
            "known classes",
            "known_dir",
            ", or of a checkpoint of experiments.crossval or experiments.learn",
        )
        ends.append(float(known[int(reject * len(known) + 1e-9)]))
    if reject_background is not None:
        check_number("--reject_background", reject_background, 0.0, 1.0)
        loud = _needed(calibration.background, "--reject_background", "background alone", "background_dir")[::-1]
        kept = int(reject_background * len(loud) + 1e-9)
        ends.append(math.nextafter(float(loud[kept]), math.inf) if kept < len(loud) else -math.inf)
    return max(ends) if ends else None


def _needed(values: np.ndarray | None, flag: str, what: str, folder: str, also: str = "") -> np.ndarray:
    if values is None:
        raise BadInput(
            f"{flag}: the calibration has no held-out scores of {what}, expected those of --class_names with "
            f"--{folder}{also}, or the flag left out"
        )
    return np.sort(np.asarray(values, np.float64))


def unknown_name(classes: Sequence[str]) -> str:
    """The label of what fits no class: "unknown", or "_unknown_" if a class has that name."""
    name = UNKNOWN
    while name in classes:
        name = f"_{name}_"
    return name


def labels(classes: Sequence[str], best: Int[np.ndarray, " clips"], sure: Sureness, least: float | None) -> list[str]:
    """Each clip's label: its best class, or the unknown one where it is less sure than the threshold.

    Args:
      classes: their names.
      best: (clips,) index of the largest score.
      sure: (clips,) `sureness`.
      least: the `threshold`; None: every clip keeps its class.
    """
    none = unknown_name(classes)
    kept = np.ones(len(best), bool) if least is None else np.asarray(sure) >= least
    return [classes[c] if k else none for c, k in zip(np.asarray(best).tolist(), kept.tolist(), strict=True)]


def to_extra(calibration: Calibration) -> dict[str, Any]:
    """The calibration as JSON holds it, for a checkpoint's `extra["calibration"]`."""
    as_list = [
        None if x is None else np.asarray(x, np.float64).tolist() for x in (calibration.known, calibration.background)
    ]
    return {**calibration._asdict(), "known": as_list[0], "background": as_list[1]}


def from_extra(extra: Mapping[str, Any]) -> Calibration | None:
    """The calibration of a checkpoint's `extra`; None where it has none.

    Raises:
      BadInput: an entry "calibration" that is none.
    """
    entry = extra.get("calibration")
    if entry is None:
        return None
    try:
        arrays = [
            None if entry.get(key) is None else np.asarray(entry[key], np.float64) for key in ("known", "background")
        ]
        made = Calibration(float(entry["temperature"]), str(entry["chosen_by"]), str(entry["score"]), *arrays)
        good = made.temperature > 0 and math.isfinite(made.temperature) and made.score in SCORES
        good = good and all(x is None or (x.ndim == 1 and len(x) and np.isfinite(x).all()) for x in arrays)
    except (AttributeError, KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise BadInput(
            "the checkpoint's calibration is broken, expected a temperature above 0, a score of "
            f"{', '.join(SCORES[:-1])} or {SCORES[-1]} and lists of held-out scores: calibrate again"
        )
    return made
