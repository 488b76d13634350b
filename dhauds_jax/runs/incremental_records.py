"""The records of a course: what names each, its numbers, and the lines that are printed while it runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from dhauds_jax import digests, registry
from dhauds_jax.cells.request import title
from dhauds_jax.names import CLEAN
from dhauds_jax.runs import incremental_measures as measures
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.incremental_clips import Pool
from dhauds_jax.runs.incremental_course import Course, Now, Place, named
from dhauds_jax.runs.incremental_readings import Readings
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.workdir.records import FORMAT

PER_SESSION = (
    "all",
    "former",
    "current",
    "base",
    "novel",
    "per_class",
    "n",
    "ece",
    "nll",
    "temperature",
    "ece_calibrated",
    "nll_calibrated",
    "auroc_unknown",
    "auroc_energy",
    "auroc_distance",
    "fpr_unknown",
    "accepted",
    "accepted_unknown",
    "roc",
)
"""Numbers that a record has of every session, beside `seconds`."""


def course_key(run: IncrementalRun, pool: Pool, backbone: Backbone, course: Course) -> str:
    """Sixteen hexadecimal digits that name a course: all that its learner's states follow from."""
    named = {
        "format": FORMAT,
        "clips": [pool.digest(one.pool if course.pools else one.shots) for one in course.plan],
        "weights": [backbone.weights, backbone.net, backbone.described(), run.precision],
        "learner": [course.learner, registry.source_digest(course.learner), sorted(course.options.items())],
        "seed": course.seed,
        "shots": [[[pool.clips.ids[k] for k in one.shots] for one in course.plan], course.shots],
        "memory": course.info.memory,
        "room": list(course.info),
        "profile": run.profile,
        "carried": [course.tta, course.conditions, run.tta_batch_size, sorted(run.options)] if course.carried else None,
    }
    if (kept := kept_as(run, backbone, course)) != "float32":  # younger than the first records
        named["kept_as"] = kept
    return digests.of_text(repr(sorted(named.items())))


def kept_as(run: IncrementalRun, backbone: Backbone, course: Course) -> str:
    """What the numbers were rounded to that the learner read: of vectors and waves nothing is kept."""
    return "float32" if backbone.classifier is None or course.made.reads == "wave" else run.cache_dtype


def cell_of(
    run: IncrementalRun, course: Course, place: Place, draw: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """Names a record: the course, and what is tested how.

    Args:
      run: the flags.
      course: the course.
      place: head, corruption, adaptation.
      draw: of the corruption, and the digest of the background alone that is measured.
      options: of the adaptation.
    """
    adapted = [place.tta, run.tta_reset, run.tta_batch_size, sorted(options.items())] if place.tta != "none" else None
    if adapted and place.tta not in course.after_all:  # younger than the first records, whose cells keep their names
        adapted.append("last")
    found = [course.key, list(place), course.tests, sorted(draw.items()), course.reject, adapted]
    return digests.of_text(repr(found))


def record_of(
    run: IncrementalRun,
    pool: Pool,
    backbone: Backbone,
    course: Course,
    now: Now,
    place: Place,
    draw: Mapping[str, Any],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """The record of a finished course for one head, corruption and adaptation, but for where its numbers come from.

    Its arguments are those of `cell_of`, and where the course stands.
    """
    sessions = [one.get(named(place)) for one in now.sessions]  # None: that adaptation runs after the last alone
    there = [one for one in sessions if one is not None]
    names = [pool.clips.classes[c] for one in course.plan for c in one.classes]
    ends = np.cumsum([0, *(len(one.classes) for one in course.plan)])
    classes = [list(range(a, b)) for a, b in itertools.pairwise(ends)]
    held = {key: [one and one.get(key) for one in sessions] for key in PER_SESSION}
    held["per_class"] = [one and {names[int(c)]: v for c, v in one["per_class"].items()} for one in sessions]
    kept = {key: value for key, value in sessions[-1].items() if key in ("reliability", "before")}
    extra = [
        key
        for key in ("seconds_tta", "before_all", "auroc_background", "accepted_background")
        if any(key in one for one in there)
    ]
    held |= {key: [one and one.get(key) for one in sessions] for key in extra}
    return {
        **_asked(run, pool, backbone, course, place, options),
        "classes": names,
        "per_session": {**held, "seconds": now.seconds},
        **measures.whole(sessions, classes),
        **{key: sessions[-1][key] for key in ("ece", "nll", "n")},
        "bytes_held": int(course.made.bytes_held(now.state)),
        "seconds": float(np.sum(now.seconds)),
        "backbone": backbone.about(tuple(names)),
        **kept,
        **draw,
    }


def _asked(
    run: IncrementalRun, pool: Pool, backbone: Backbone, course: Course, place: Place, options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a record says of the protocol."""
    adapted = place.tta != "none"
    remembers = course.made.remember is not None and course.info.memory > 0
    return {
        "dataset": pool.name,
        "corruption": place.condition[0],
        "level": place.condition[1],
        "net": backbone.net,
        "profile": run.profile,
        "metric": "accuracy, mean over classes",
        "seed": course.seed,
        "learner": course.learner,
        "head": place.head,
        "heads": list(course.heads),
        "tta": place.tta,
        "tta_reset": run.tta_reset if adapted else None,
        "tta_sessions": ("all" if place.tta in course.after_all else "last") if adapted else None,
        "tta_batch_size": run.tta_batch_size if adapted else None,
        "tta_options": dict(options) if adapted else None,
        "shots_corruption": run.shots_corruption,
        "way": run.way,
        "shot": run.shot,
        "sessions": len(course.plan),
        "base_way": run.base_way or run.way,
        "base_shot": run.base_shot or str(run.shot),
        "order": run.order or ("identity" if run.profile == "reference" else "random"),
        "memory": course.info.memory if remembers else 0,
        "exemplars_from": ("all" if course.pools else "shots") if remembers else None,
        "labels_used": labels_used(course),
        "options": dict(course.options),
        "reject": course.reject,
        "source_checkpoint": backbone.weights,
        "precision": run.precision,
        "cache_dtype": kept_as(run, backbone, course),
        "tests": course.tests,
        "listing": pool.listing,
    }


def labels_used(course: Course) -> int:
    """Distinct labelled clips that a course looks at: its shots, and all that a memory chooses among."""
    rows = [one.shots for one in course.plan] + ([one.pool for one in course.plan] if course.pools else [])
    return len(np.unique(np.concatenate(rows)))


def line_of(course: Course, now: Now, readings: Readings) -> str:
    """What is printed after a session: of the first corruption, the learner's own head first, the others behind."""
    number, first = len(now.sessions), course.conditions[0]
    found = [now.sessions[-1].get(named(Place(head, first, "none"))) for head in course.heads]
    own = found[0]
    count = sum(len(one.classes) for one in course.plan[:number])
    parts = [f"{key} {100 * own[key]:.1f}" for key in ("all", "former", "current") if own[key] is not None]
    under = "" if first[0] == CLEAN else f" under {title(*first)}"
    others = [f"{head} {100 * one['all']:.1f}" for head, one in zip(course.heads[1:], found[1:], strict=True)]
    shifted = [
        f"{title(*c)} {100 * now.sessions[-1][named(Place(course.heads[0], c, 'none'))]['all']:.1f}"
        for c in course.conditions[1:]
    ]
    words = [
        f"{course.learner} seed {course.seed} session {number}/{len(course.plan)}: {count} classes{under}, "
        f"{', '.join(parts)} ({course.heads[0]})"
    ]
    words += [", ".join(some) for some in (others, shifted) if some]
    unknown = "" if own["auroc_unknown"] is None else f"unknown AUROC {own['auroc_unknown']:.2f}, "
    held = course.made.bytes_held(now.state) / 1e6
    if own.get("accepted") is not None:
        unknown += f"accepted {100 * own['accepted']:.0f} %, "
    words.append(f"ECE {100 * own['ece']:.1f}, {unknown}holds {_short(held)} MB, {_short(now.seconds[-1])} s")
    return "; ".join(words)


def _short(value: float) -> str:
    """A number as it is read: two digits, or all before the point."""
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"
