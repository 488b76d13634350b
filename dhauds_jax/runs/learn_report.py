"""What is said of a learner that was taught: a forecast, which classes will be confused, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from dhauds_jax import calibration
from dhauds_jax.incremental import rejection
from dhauds_jax.incremental.left_out import held_out
from dhauds_jax.incremental.rooms import Learned
from dhauds_jax.report import shares
from dhauds_jax.types import Calibration
from dhauds_jax.wording import counted, plural

PAIRS = 10
"""Pairs of classes that are listed at most."""

ADVISED = 3
"""Classes of which more clips are advised at most."""


class Forecast(NamedTuple):
    """What left-out clips say.

    Attributes:
      classes: names.
      clips: (classes,) clips that were learnt of each.
      judged: (classes,) how many of them were left out in turn.
      right: (classes,) how many of these were then right.
      confusion: (classes, classes) left-out clips by class and by what they were taken for.
      nearest: of each class the other one that its left-out clips are likeliest to be taken for; "": none was judged.
      calibration: temperature and held-out scores; None where no clip was left out.
      how: in words.
    """

    classes: tuple[str, ...]
    clips: tuple[int, ...]
    judged: Int[np.ndarray, " classes"]
    right: Int[np.ndarray, " classes"]
    confusion: Int[np.ndarray, "classes classes"]
    nearest: tuple[str, ...]
    calibration: Calibration | None
    how: str


def forecast(learned: Learned, score: str) -> Forecast:
    """Leaves the clips out and counts; clips in windows are labelled by the mean of their probabilities, as recordings.

    Args:
      learned: the learner and what it knows.
      score: of `rejection.SCORES`.
    """
    left, names = held_out(learned), learned.known
    clips = tuple(learned.clips_of(name) for name in names)
    confusion = np.zeros((len(names), len(names)), int)
    if not len(left.owner):
        nothing = np.zeros(len(names), int)
        return Forecast(names, clips, nothing, nothing, confusion, ("",) * len(names), None, left.how)
    seen = np.zeros(learned.info.max_classes, np.float32)
    seen[learned.places] = 1
    made = rejection.calibrated(left.logits, left.labels, seen, score, left.owner)
    logits, labels = rejection.of_seen(left.logits, left.labels, seen)
    shares = rejection.by_clip(calibration.probabilities(made, logits), left.owner)
    _, first = np.unique(left.owner, return_index=True)
    np.add.at(confusion, (labels[first], shares.argmax(-1)), 1)
    judged = confusion.sum(1)
    nearest = _nearest(shares, labels[first], names)
    return Forecast(names, clips, judged, confusion.diagonal().copy(), confusion, nearest, made, left.how)


def _nearest(shares: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    found = []
    for place in range(len(names)):
        mean = shares[labels == place].mean(0) if (labels == place).any() else None
        if mean is None or len(names) < 2:
            found.append("")
            continue
        mean[place] = -1.0
        found.append(names[int(mean.argmax())])
    return tuple(found)


def class_rows(found: Forecast) -> list[tuple[Any, ...]]:
    """The lines of `classes.csv`."""
    lines = zip(found.classes, found.clips, found.judged, found.right, found.nearest, strict=True)
    rows = [
        (name, clips, "" if not judged else int(right), int(judged), nearest)
        for name, clips, judged, right, nearest in lines
    ]
    return [("class", "clips", "left_out_right", "left_out", "nearest_other"), *rows]


def sentence(found: Forecast) -> str:
    """The forecast in one sentence."""
    judged, right = int(found.judged.sum()), int(found.right.sum())
    if not judged:
        return "No class has two clips, so nothing can be said of how often new ones will be right."
    share = shares.share(right, judged)
    return (
        f"{right} of {counted(judged, 'clip')} {plural(right, 'is', 'are')} right when left out: of new recordings "
        f"made in the same way {100 * share.share:.0f} % may be expected to be, between {100 * share.low:.0f} and "
        f"{100 * share.high:.0f} % (95 % interval)."
    )


def pairs(found: Forecast) -> list[str]:
    """The pairs of classes that are confused, the most frequent first, as sentences."""
    both = found.confusion + found.confusion.T
    ways = [(int(both[i, j]), i, j) for i in range(len(both)) for j in range(i + 1, len(both)) if both[i, j] and i != j]
    lines = []
    for count, i, j in sorted(ways, key=lambda way: (-way[0], way[1:]))[:PAIRS]:
        of = int(found.judged[i] + found.judged[j])
        lines.append(f"{found.classes[i]} and {found.classes[j]}: {count} of their {of} left-out clips")
    return lines


def advice(found: Forecast) -> str:
    """Of which classes more clips would help most."""
    wrong = found.judged - found.right
    order = sorted(range(len(wrong)), key=lambda k: (-wrong[k] / max(found.judged[k], 1), -wrong[k], found.clips[k]))
    unjudged = [found.classes[k] for k in range(len(wrong)) if not found.judged[k]]
    worst = [
        f"{found.classes[k]} ({int(found.right[k])} of {int(found.judged[k])} right, next to {found.nearest[k]})"
        for k in order[:ADVISED]
        if wrong[k]
    ]
    if worst:
        said = f"Record more clips of {', '.join(worst)}."
    elif found.judged.sum():
        fewest = min(range(len(wrong)), key=lambda k: found.clips[k] if found.judged[k] else 10**9)
        said = (
            f"No left-out clip is wrong; more clips narrow the interval, first of {found.classes[fewest]} "
            f"({counted(found.clips[fewest], 'clip')})."
        )
    else:
        said = "Record at least one more clip of each class."
    if unjudged and found.judged.sum():
        said += f" Nothing was measured of {', '.join(unjudged[:PAIRS])}{' and more' * (len(unjudged) > PAIRS)}."
    return said


def unknown(found: Forecast, reject: float) -> str:
    """Where the threshold of a rate lies, and how sure that is."""
    if found.calibration is None:
        return "There are no left-out clips, so recordings of no class cannot be told (--reject)."
    count = len(found.calibration.known)
    least = calibration.threshold(found.calibration, reject)
    lost = int((np.asarray(found.calibration.known) < least).sum())
    coarse = "" if reject * count >= 1 else f": {counted(count, 'clip')} cannot say where {reject:g} lies, none is lost"
    return (
        f"--reject={reject:g} calls a recording unknown below {least:.4g} ({found.calibration.score}), which loses "
        f"{lost} of {counted(count, 'left-out clip')}{coarse}."
    )


def text(found: Forecast, facts: Sequence[str], skipped: Sequence[tuple[str, str]], reject: float, command: str) -> str:
    """The report.

    Args:
      found: the forecast.
      facts: what was done, sentences.
      skipped: (clip, reason).
      reject: the rate of `--reject`.
      command: the command line.
    """
    lines = ["# Learning from a folder", "", f"**{sentence(found)}**", "", *(f"- {fact}" for fact in facts), ""]
    measured = f"How it was measured: {found.how}, on the clips of the folders alone; what was recorded elsewhere or by"
    lines += [f"{measured} other means may be labelled worse.", ""]
    lines += ["| class | clips | right when left out | nearest other class |", "|---|---:|---:|---|"]
    for name, clips, right, judged, nearest in class_rows(found)[1:]:
        lines.append(f"| {_cell(name)} | {clips} | {f'{right} of {judged}' if judged else '-'} | {_cell(nearest)} |")
    confused = pairs(found)
    lines += ["", "## Pairs that will be confused", ""]
    lines += [f"- {line}" for line in confused] or ["None among the left-out clips."]
    lines += ["", "## What to do", "", advice(found), "", "## Unknown sounds", "", unknown(found, reject), ""]
    if skipped:
        lines += ["## Clips that were not learnt", "", *(f"- `{name}`: {reason}" for name, reason in skipped), ""]
    return "\n".join([*lines, f"`{command}`", ""])


def _cell(name: str) -> str:
    return name.replace("|", "\\|")
