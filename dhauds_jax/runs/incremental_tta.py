"""Test-time adaptation between sessions: after each, the classifier that was learnt adapts to unlabelled test clips."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental.as_classifier import as_classifier
from dhauds_jax.incremental.request import NONE
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs import incremental_measures as measures
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.incremental_course import Course, Now, Place, named
from dhauds_jax.runs.incremental_readings import BACKGROUND_ALONE, Condition, Readings
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.options import given_for
from dhauds_jax.types import AdaptState, Classifier, Learner, RunInfo, Variables

CHECKED = "after adaptation; lower its learning rate (--options=NAME.lr=...)"


def adapting(run: IncrementalRun) -> dict[str, Mapping[str, Any]]:
    """Adaptation -> its options, resolved; without "none".

    Raises:
      BadInput: none named, an unknown method, options that it does not have, or sessions without an adaptation between
        which the adapted network is to be carried on.
    """
    if not run.tta:
        raise BadInput(f"--tta: names nothing, expected {NONE} or methods")
    if run.tta_sessions == "last" and run.tta_reset == "never" and set(run.tta) != {NONE}:
        raise BadInput(
            "--tta_sessions=last: --tta_reset=never goes on from the network that the session before has adapted, "
            "expected --tta_sessions=all (or auto), or --tta_reset=session"
        )
    check_number("--tta_batch_size", run.tta_batch_size, 2, because="batch statistics need two clips")
    found = {}
    for name in dict.fromkeys(run.tta):
        if name == NONE:
            continue
        methods.factory(name)
        texts = [text for text in run.options if text.partition("=")[0].rpartition(".")[0] == name]
        try:
            found[name] = methods.resolve_options(name, run.profile, given_for(name, texts, [name]))
        except BadInput as error:
            raise BadInput(f"--options: {error}") from None
    return found


def after_all(
    run: IncrementalRun, adapting: Mapping[str, Mapping[str, Any]], classifier: Classifier | None
) -> tuple[str, ...]:
    """The adaptations that run after every session; the others run after the last alone.

    Raises:
      BadInput: what a method's factory refuses.
    """
    passes = {name: methods.make(name, classifier, options).passes for name, options in adapting.items()}
    every = run.tta_sessions == "all" or run.tta_reset == "never"
    return tuple(
        name for name, (_, backward) in passes.items() if every or (run.tta_sessions == "auto" and not backward)
    )


def check_network(adapting: Mapping[str, Mapping[str, Any]], backbone: Backbone) -> None:
    """Raises `BadInput` where the network lacks what a method adapts or needs: before anything is learnt."""
    for name, options in adapting.items():
        if backbone.classifier is None:
            continue
        method, info = methods.make(name, backbone.classifier, options), RunInfo(1, 2, 2, batch_size=2)
        try:
            methods.check_needs(name, method, backbone.variables, info)
            method.init(backbone.variables, info)
        except BadInput as error:
            raise BadInput(f"--tta={name}: {error}") from None


def possible(run: IncrementalRun, name: str, learner: Learner) -> tuple[str, ...]:
    """The adaptations that a learner can have; the others are left out with a note.

    Raises:
      BadInput: none of those that are asked for is left.
    """
    asked = tuple(dict.fromkeys(run.tta))
    adapts, why = [one for one in asked if one != NONE], ""
    if learner.as_head is None:
        why = "cannot be the last layer of a classifier, which is what adapts"
    elif run.tta_reset == "never" and (learner.reads == "wave" or learner.prepare is not None):
        why = "trains the network itself, so no adapted one can be carried on (--tta_reset=never)"
    if not adapts or not why:
        return asked
    if NONE not in asked:
        raise BadInput(
            f"--tta={','.join(asked)}: --learner={name} {why}, expected another learner, or {NONE} among --tta"
        )
    print(f"left out: {name} with {', '.join(adapts)}: it {why}")
    return (NONE,)


def together(
    run: IncrementalRun, names: tuple[str, ...], conditions: tuple[Condition, ...]
) -> list[tuple[tuple[str, ...], bool, tuple[Condition, ...]]]:
    """What may be measured in one course: adaptations, whether the network is carried on, and corruptions.

    Args:
      run: the flags.
      names: the adaptations of the learner.
      conditions: corruptions that are tested.
    """
    if run.tta_reset == "session":
        return [(names, False, conditions)]
    plain = [((NONE,), False, conditions)] if NONE in names else []
    return plain + [((name,), True, (one,)) for name in names if name != NONE for one in conditions]


def adapted(
    run: IncrementalRun,
    course: Course,
    backbone: Backbone,
    readings: Readings,
    now: Now,
    options: Mapping[str, Mapping[str, Any]],
) -> Now:
    """What the session that was learnt last comes to after each adaptation, measured beside what it was before.

    A carried course goes on with the adapted network; what was read of the old one is let go. Adaptations of the last
    session leave no numbers in those before.
    """
    found, carried = dict(now.sessions[-1]), now.variables
    last = len(now.sessions) == len(course.plan)
    for name in [name for name in course.tta if name != NONE and (last or name in course.after_all)]:
        for condition in course.conditions:
            for head in course.heads:
                began = time.perf_counter()
                logits, variables = _after(run, course, backbone, readings, now, Place(head, condition, name), options)
                before = found[named(Place(head, condition, NONE))]["all"]
                one = measures.of_session(course, now, logits, None)
                one |= {"before_all": before, "seconds_tta": time.perf_counter() - began}
                found[named(Place(head, condition, name))] = one
                if course.carried and head == course.heads[0]:
                    carried = variables
    if course.carried and now.variables is not None:
        for condition in {course.shots, *course.conditions, BACKGROUND_ALONE}:
            readings.drop(course.made.reads, condition, now.variables)
    asked = {} if course.carried else now.asked  # of a network that moves nothing stays
    return now._replace(sessions=[*now.sessions[:-1], found], variables=carried, asked=asked)


@functools.lru_cache(maxsize=32)
def _shared(config: str, how: str) -> Classifier:
    """One classifier for all seeds whose sessions have as many classes: they share what is compiled for it."""
    made = ClassifierConfig.from_json(config, "config")
    return zoo.build(made, **precision.compute_options(how, False))


@functools.lru_cache(maxsize=32)
def _program(name: str, classifier: Classifier, options: tuple[tuple[str, Any], ...], clips: int) -> protocols.Compiled:
    return protocols.compiled(methods.make(name, classifier, dict(options)))


def _after(
    run: IncrementalRun,
    course: Course,
    backbone: Backbone,
    readings: Readings,
    now: Now,
    place: Place,
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[Float[np.ndarray, "tests max_classes"], Variables]:
    """Logits of all tests after one pass over those of the classes seen, and the network that gives them."""
    source = now.variables if now.variables is not None else backbone.variables
    places = np.flatnonzero(np.asarray(now.state.seen) > 0)
    classes = {str(k): int(k) for k in places}
    made, variables = as_classifier(backbone.classifier, source, course.made, now.state, place.head, classes)
    classifier = _shared(made.config.to_json(), run.precision)
    rows, count = measures.tests_of(course), measures.seen_tests(course, now)
    waves = readings.waves(place.condition)
    chosen = tuple(sorted(options[place.tta].items()))
    program = _program(place.tta, classifier, chosen, count)
    steps = protocols.steps_per_epoch(count, run.tta_batch_size)
    info = RunInfo(steps, count, len(classes), batch_size=run.tta_batch_size)
    variables = jax.tree.map(jnp.asarray, dict(variables))
    methods.check_needs(place.tta, program.method, variables, info)
    key = jax.random.fold_in(jax.random.key(course.seed), 1000 + int(now.state.session))
    last = None
    for epoch in protocols.offline(
        program,
        program.method.init(variables, info),
        waves.take(rows[:count]),
        epochs=1,
        batch_size=run.tta_batch_size,
        key=key,
    ):
        last = epoch
    logits = check_finite_logits(last.logits, CHECKED)
    others = _others(program, last.state, waves.take(rows[count:]), run.tta_batch_size, logits.shape[1])
    found = np.full((len(rows), course.info.max_classes), -np.inf)
    found[:, places] = np.concatenate([logits, others])
    return found, _with_old_head(last.state.variables, source)


def _with_old_head(adapted: Variables, source: Variables) -> Variables:
    """The adapted network with the last layer it had before anything was learnt; what lies before that is adapted."""
    made = {}
    for kind in ("params", "batch_stats"):
        tree, old = dict(adapted.get(kind, {})), dict(source.get(kind, {}))
        if "head" in old:
            inner = dict(tree["head"].get("inner", {}))
            tree["head"] = {**old["head"], **({"inner": inner} if "inner" in old["head"] else inner)}
        made[kind] = tree
    return made


def _others(
    program: protocols.Compiled, state: AdaptState, waves: Float[np.ndarray, "clips time"], size: int, classes: int
) -> Float[np.ndarray, "clips classes"]:
    """What the adapted classifier says of clips of classes not yet learnt, to which it was not adapted."""
    if not len(waves):
        return np.zeros((0, classes), np.float32)
    return check_finite_logits(protocols.evaluate(program.predict, state, waves, size), CHECKED)
