"""One course: a learner with one seed through all sessions, measured after each, resumable between them."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from dhauds_jax import digests
from dhauds_jax.incremental.asked import Asked
from dhauds_jax.incremental.sessions import Session
from dhauds_jax.runs import incremental_measures as measures
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.incremental_readings import Condition, Readings
from dhauds_jax.types import Learner, LearnerInfo, LearnerState, Shots, Variables
from dhauds_jax.workdir.saver import Saver

STATES = "states"
"""In the work folder: of unfinished courses."""


_LEARN, _PREPARE, _REMEMBER = range(3)
"""Numbers of a session's keys: what splits one of them never meets another."""


class Place(NamedTuple):
    """What a number of a course belongs to."""

    head: str
    condition: Condition
    tta: str


class Course(NamedTuple):
    """A learner with a seed.

    Attributes:
      learner: its name.
      options: of it, resolved.
      made: compiled.
      seed: of the sessions and of the learner's draws.
      plan: the sessions, positions being rows of the pool.
      tests: digest of the clips that they test.
      labels: (clips,) of the pool, places in the room of classes: in the order in which they come.
      info: what the learner knows beforehand.
      shots: the corruption that the shots are learnt under.
      conditions: those that are tested.
      heads: that are reported, the learner's own first.
      tta: adaptations after each session, "none" among them or alone.
      after_all: of these, the ones that run after every session; the others run after the last.
      carried: whether the next session starts from the network as the adaptation left it.
      pools: whether a memory chooses among all clips that may be learnt from (profile reference), not the shots alone.
      reject: share of known clips that may become unknown.
      batch_size: clips that are predicted at once.
      key: names it among courses: all that its learner's states follow from.
    """

    learner: str
    options: Mapping[str, Any]
    made: Learner
    seed: int
    plan: tuple[Session, ...]
    tests: str
    labels: Int[np.ndarray, " clips"]
    info: LearnerInfo
    shots: Condition
    conditions: tuple[Condition, ...]
    heads: tuple[str, ...]
    tta: tuple[str, ...]
    after_all: tuple[str, ...]
    carried: bool
    pools: bool
    reject: float
    batch_size: int
    key: str

    @property
    def moves(self) -> bool:
        """Whether the network changes on the way."""
        return self.carried or self.made.prepare is not None


class Now(NamedTuple):
    """Where a course stands.

    Attributes:
      state: the learner's.
      variables: the network's, as session 0 or adaptations left them; None: as it was loaded.
      sessions: of each session learnt so far what was measured (`incremental_measures`), by `named(place)`.
      seconds: of each session, learning alone: neither reading the network nor measuring.
      asked: the rows that are predicted after every session, by whose they are; not saved.
    """

    state: LearnerState
    variables: Variables | None
    sessions: list[dict[str, Any]]
    seconds: list[float]
    asked: dict[Hashable, Asked]


def saver_of(workdir: Path, course: Course, cells: Iterable[str]) -> Saver:
    """Keeps the course's state after each session, with what was measured for these records and no others."""
    key = digests.of_texts(course.key, *sorted(cells))
    return Saver(Path(workdir) / STATES / f"{course.learner.replace(':', '.')}-{course.seed}-{key}", 0.0, key)


def begun(course: Course, backbone: Backbone, saver: Saver) -> Now:
    """The course as it was kept, or before its first session."""
    state = course.made.init(backbone.variables, course.info, jax.random.fold_in(jax.random.key(course.seed), 0))
    if not saver.info():
        return Now(state, None, [], [], {})
    like = (_bare(state), _moved(course, backbone, state) if course.moves else {})
    with jax.enable_x64(course.made.double):
        found = saver.load(like)
    if found is None:
        return Now(state, None, [], [], {})
    (kept, variables), info = found
    return Now(_keyed(kept, state), variables if course.moves else None, info["sessions"], info["seconds"], {})


def _moved(course: Course, backbone: Backbone, state: LearnerState) -> Variables:
    """Variables of the network's form after session 0, of which a learner may make another one."""
    if course.made.prepare is None:
        return backbone.variables
    waves = np.zeros((0, backbone.classifier.config.length), np.float32)
    shots = shots_of(course, np.zeros(0, int), waves, course.info.max_rows)
    given = (backbone.variables, state, shots, jax.random.key(0))
    form = jax.eval_shape(course.made.prepare, *given)[0]
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), form)


def _bare(state: LearnerState) -> Any:
    """The state with its random keys as numbers."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)


def _keyed(kept: Any, like: LearnerState) -> LearnerState:
    return jax.tree.map(lambda x, old: jax.random.wrap_key_data(x) if _is_key(old) else x, kept, like)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def shots_of(course: Course, rows: Int[np.ndarray, " shots"], inputs: np.ndarray, room: int) -> Shots:
    """Clips of new classes as a learner takes them, filled up to `room` rows of weight 0."""
    count = len(rows)
    padded = np.zeros((room, *inputs.shape[1:]), np.float32)
    padded[:count] = inputs
    labels, weights, fresh, clip = (np.zeros(room, kind) for kind in (np.int32, np.float32, np.float32, np.int32))
    labels[:count], weights[:count], fresh[:count] = course.labels[rows], 1.0, 1.0
    clip[:] = -1
    clip[:count] = rows
    return Shots(*map(jnp.asarray, (padded, labels, weights, fresh, clip)))


def session_shots(course: Course, readings: Readings, variables: Variables | None, number: int, what: str) -> Shots:
    """The shots of a session, as the learner reads them (or their waves)."""
    rows = course.plan[number].shots
    inputs = readings.of(what, course.shots, variables).take(rows)
    return shots_of(course, rows, inputs, course.info.max_rows)


def step(course: Course, backbone: Backbone, readings: Readings, now: Now) -> Now:
    """Learns the next session; nothing is measured yet."""
    number, made = len(now.sessions), course.made
    session = jax.random.fold_in(jax.random.key(course.seed), number + 1)
    state, variables, began = now.state, now.variables, time.perf_counter()
    if number == 0 and made.prepare is not None:
        waves = session_shots(course, readings, None, 0, "wave")
        variables, state = made.prepare(backbone.variables, state, waves, jax.random.fold_in(session, _PREPARE))
        variables = jax.tree.map(jnp.asarray, dict(variables))
    prepared = time.perf_counter() - began
    read = session_shots(course, readings, variables, number, made.reads)
    began = time.perf_counter() - prepared
    state, losses = made.learn(state, read, jax.random.fold_in(session, _LEARN))
    _check_finite(course, number, losses)
    if made.remember is not None and course.info.memory > 0:
        pool = read
        if course.pools:
            rows = course.plan[number].pool
            inputs = readings.of(made.reads, course.shots, variables).take(rows)
            room = max(len(one.pool) for one in course.plan)
            pool = shots_of(course, rows, inputs, room)
        state = made.remember(state, pool, jax.random.fold_in(session, _REMEMBER))
    jax.block_until_ready(state)
    return now._replace(state=state, variables=variables, seconds=[*now.seconds, time.perf_counter() - began])


def _check_finite(course: Course, number: int, losses: Mapping[str, Any]) -> None:
    wrong = [name for name, value in losses.items() if not np.isfinite(np.asarray(value)).all()]
    if wrong:
        raise FloatingPointError(
            f"{course.learner}, seed {course.seed}, session {number + 1}: the loss {wrong[0]} is not finite"
        )


def measured(course: Course, readings: Readings, now: Now) -> Now:
    """What the course comes to after the session that was learnt last, of every head and corruption."""
    held, background = measures.held_out(course, readings, now), measures.background_of(course, readings, now)
    found: dict[str, Any] = {}
    for condition in course.conditions:
        logits = measures.logits_of(course, readings, now, condition)
        apart = {"auroc_distance": measures.told_by_distance(course, readings, now, condition)}
        for head in course.heads:
            place = Place(head, condition, "none")
            noises = measures.of_background(course, now, logits[head], background.get(head), held.get(head))
            one = measures.of_session(course, now, logits[head], held.get(head))
            found[named(place)] = {**one, **apart, **noises}
    return now._replace(sessions=[*now.sessions, found])


def named(place: Place) -> str:
    """A place as a key of JSON."""
    return "|".join((place.head, *place.condition, place.tta))


def keep(course: Course, backbone: Backbone, saver: Saver, now: Now) -> None:
    """Saves where the course stands."""
    variables = dict(now.variables if now.variables is not None else backbone.variables) if course.moves else {}
    info = {"position": len(now.sessions), "sessions": now.sessions, "seconds": now.seconds}
    saver.save((_bare(now.state), variables), info, always=True)
