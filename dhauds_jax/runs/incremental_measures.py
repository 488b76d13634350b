"""What is measured of a course after a session: accuracies, calibration, and what is told from unknown classes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import calibration, metrics
from dhauds_jax.incremental import metrics as of_sessions
from dhauds_jax.incremental import rejection
from dhauds_jax.incremental.asked import Asked
from dhauds_jax.types import Calibration

if TYPE_CHECKING:
    from dhauds_jax.runs.incremental_course import Course, Now
    from dhauds_jax.runs.incremental_readings import Condition, Readings

BACKGROUND = "background alone"
"""Whose rows windows of background are."""

SCORE = "max_logit"
"""What is compared with the threshold of `--reject`."""


def tests_of(course: Course) -> Int[np.ndarray, " tests"]:
    """All clips that any session tests, session by session: a session's come before those of later ones."""
    return np.concatenate([one.tests for one in course.plan])


def seen_tests(course: Course, now: Now) -> int:
    """How many of `tests_of` are of classes that have been learnt."""
    return sum(len(one.tests) for one in course.plan[: int(now.state.session)])


def logits_of(
    course: Course, readings: Readings, now: Now, condition: Condition
) -> dict[str, Float[np.ndarray, "tests max_classes"]]:
    """What every head says of all tests, those of later sessions too, in batches of one shape."""
    read = readings.of(course.made.reads, condition, now.variables)
    return _said(course, now, condition, read.take, tests_of(course))


def background_of(course: Course, readings: Readings, now: Now) -> dict[str, Float[np.ndarray, "windows max_classes"]]:
    """What every head says of background alone; {} where there is none."""
    noises = readings.noises(course.made.reads, now.variables)
    return {} if noises is None else _said(course, now, BACKGROUND, noises.take, np.arange(len(noises.row)))


def _said(
    course: Course, now: Now, key: Hashable, take: Callable[[np.ndarray], np.ndarray], rows: Int[np.ndarray, " rows"]
) -> dict[str, Float[np.ndarray, "rows max_classes"]]:
    """The logits of every head for what `take` gives of some rows; `key` is whose they are, the same ones each time."""
    if key not in now.asked:
        now.asked[key] = Asked(course.made, len(rows), course.info.max_sessions, course.batch_size)
    return now.asked[key].logits(now.state, lambda places: take(rows[places]), course.heads)


def held_out(course: Course, readings: Readings, now: Now) -> dict[str, Calibration]:
    """By head, temperature and scores from shots of which each was left out; {} without a closed form for that.

    A network that was carried on reads the shots of earlier sessions otherwise than when they were learnt: what a
    closed form would take out of the state never was in it, so there is nothing to say.
    """
    from dhauds_jax.runs.incremental_course import shots_of

    if course.made.held_out is None or (course.carried and int(now.state.session) > 1):
        return {}
    rows = np.concatenate([one.shots for one in course.plan[: int(now.state.session)]])
    inputs = readings.of(course.made.reads, course.shots, now.variables).take(rows)
    # one call, since the closed forms take the whole state apart in each, and one shape for every session
    shots = shots_of(course, rows, inputs, sum(len(one.shots) for one in course.plan))
    seen, found = np.asarray(now.state.seen, np.float32), {}
    for head, said in course.made.held_out(now.state, shots).items():
        logits = np.asarray(said, np.float64)[: len(rows)]
        if head in course.heads and np.isfinite(logits[:, seen > 0]).all():
            found[head] = rejection.calibrated(logits, course.labels[rows], seen, SCORE)
    return found


def of_session(
    course: Course, now: Now, logits: Float[np.ndarray, "tests max_classes"], held: Calibration | None
) -> dict[str, Any]:
    """The numbers of one head after a session, JSON-able; None where there is nothing to measure.

    Args:
      course: whose plan says which clips are known.
      now: after the session.
      logits: of all tests, in the order of `tests_of`.
      held: what the left-out shots say.
    """
    labels, count = course.labels[tests_of(course)], seen_tests(course, now)
    seen, known, number = np.asarray(now.state.seen) > 0, logits[:count], int(now.state.session) - 1
    per_class = of_sessions.of_classes(known.argmax(-1), labels[:count])
    classes = [[int(c) for c in np.unique(course.labels[one.tests])] for one in course.plan]
    own = known[:, seen]
    place = (np.cumsum(seen) - 1)[labels[:count]]
    found = {
        "per_class": {str(c): value for c, value in per_class.items()},
        **of_sessions.parts(per_class, classes, number),
        "ece": metrics.ece(own, place),
        "nll": metrics.nll(own, place),
        "n": count,
    }
    if number == len(course.plan) - 1:
        found["reliability"] = metrics.reliability(own, place)
    return {**found, **_unknown(course, now, known, logits[count:], held), **_calibrated(own, place, held)}


def _calibrated(own: np.ndarray, place: np.ndarray, held: Calibration | None) -> dict[str, Any]:
    """ECE and NLL at the temperature that the left-out shots chose."""
    if held is None:
        return dict.fromkeys(("temperature", "ece_calibrated", "nll_calibrated"))
    warm = own / held.temperature
    return {
        "temperature": held.temperature,
        "ece_calibrated": metrics.ece(warm, place),
        "nll_calibrated": metrics.nll(warm, place),
    }


def _unknown(
    course: Course, now: Now, known: np.ndarray, others: np.ndarray, held: Calibration | None
) -> dict[str, Any]:
    """How clips of classes not yet learnt are told from the others, and what the shots' threshold accepts."""
    least = None if held is None else calibration.threshold(held, course.reject)
    found: dict[str, Any] = dict.fromkeys(("auroc_unknown", "fpr_unknown", "accepted", "accepted_unknown", "roc"))
    seen = np.asarray(now.state.seen, np.float32)
    sure = rejection.sureness(SCORE, known, seen)
    if least is not None:
        found["accepted"] = float(np.mean(sure >= least))
    if len(others):
        unsure = rejection.sureness(SCORE, others, seen)
        told = rejection.measured(sure, unsure, least)
        found |= {"auroc_unknown": told.auroc, "fpr_unknown": told.fpr}
        found |= {"accepted_unknown": None if least is None else told.unknown}
        found |= {"auroc_energy": _energy(known, others, seen, held)}
        found["roc"] = of_sessions.curve_of(sure, unsure)
    return found


def of_background(
    course: Course,
    now: Now,
    logits: Float[np.ndarray, "tests max_classes"],
    noises: Float[np.ndarray, "windows max_classes"] | None,
    held: Calibration | None,
) -> dict[str, Any]:
    """How windows of background alone are told from clips of known classes; nothing where there are none."""
    if noises is None:
        return {}
    seen = np.asarray(now.state.seen, np.float32)
    least = None if held is None else calibration.threshold(held, course.reject)
    sure = [rejection.sureness(SCORE, each, seen) for each in (logits[: seen_tests(course, now)], noises)]
    told = rejection.measured(*sure, least)
    return {"auroc_background": told.auroc, "accepted_background": None if least is None else told.unknown}


def _energy(known: np.ndarray, others: np.ndarray, seen: np.ndarray, held: Calibration | None) -> float:
    heat = 1.0 if held is None else held.temperature
    return metrics.auroc(*(rejection.sureness("energy", logits, seen, heat) for logits in (known, others)))


def told_by_distance(course: Course, readings: Readings, now: Now, condition: Condition) -> float | None:
    """AUROC of later classes by the distance to the nearest mean of the shots, which needs no head; None without any.

    Learners that read waves have no vectors to measure it by.
    """
    count, rows, what = seen_tests(course, now), tests_of(course), course.made.reads
    if count == len(rows) or what == "wave":
        return None
    shots = np.concatenate([one.shots for one in course.plan[: int(now.state.session)]])
    learnt = rejection.vectors(readings.of(what, course.shots, now.variables).take(shots), what)
    to = rejection.centres(learnt, course.labels[shots], np.ones(len(shots)), course.info.max_classes)
    read = readings.of(what, condition, now.variables)
    firsts = range(0, len(rows), course.batch_size)
    parts = [rejection.vectors(read.take(rows[k : k + course.batch_size]), what) for k in firsts]
    sure = np.concatenate([rejection.distance(part, to) for part in parts])
    return metrics.auroc(sure[:count], sure[count:])


def whole(sessions: list[Mapping[str, Any] | None], plan_classes: list[list[int]]) -> dict[str, Any]:
    """AA, PD, last, forgetting, BWT and the matrix of a finished course, from the sessions' numbers.

    Of a course with sessions that were not measured (None) there is the last alone, and its row of the matrix.
    """
    per_class = [one and {int(c): value for c, value in one["per_class"].items()} for one in sessions]
    matrix = of_sessions.matrix(per_class, plan_classes)
    found: dict[str, Any] = dict.fromkeys(("AA", "PD", "forgetting", "bwt"))
    if None not in sessions:
        over = [one["all"] for one in sessions]
        found = {
            "AA": of_sessions.average(over),
            "PD": of_sessions.dropped(over),
            "forgetting": of_sessions.forgetting(matrix),
            "bwt": of_sessions.backward_transfer(matrix),
        }
    return {
        **found,
        "last": sessions[-1]["all"],
        "matrix": [[None if np.isnan(x) else float(x) for x in row] for row in matrix],
    }
