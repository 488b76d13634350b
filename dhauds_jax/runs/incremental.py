"""Class-incremental courses: learners x seeds through their sessions, a record a head, corruption and adaptation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax import registry
from dhauds_jax.cells import targets
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.files import check_folder
from dhauds_jax.incremental import learners
from dhauds_jax.incremental import precision as precisions
from dhauds_jax.incremental.request import CACHE_DTYPES, NONE, SHOTS_CORRUPTION, TTA_RESET, TTA_SESSIONS
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import precision
from dhauds_jax.progress import progress_bar
from dhauds_jax.runs import incremental_backbone, incremental_clips, incremental_recipes, incremental_tta
from dhauds_jax.runs.incremental_backbone import Backbone
from dhauds_jax.runs.incremental_clips import Pool
from dhauds_jax.runs.incremental_course import Course, Place, begun, keep, measured, saver_of, step
from dhauds_jax.runs.incremental_readings import CLEAN_ONE, Condition, Readings
from dhauds_jax.runs.incremental_records import cell_of, course_key, line_of, record_of
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.tta.options import given_for
from dhauds_jax.types import Learner, LearnerInfo
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, provenance, records

KIND = "incremental"
ALL = "all"

AT_ONCE = 1 << 20
"""Numbers that are read of the clips of one prediction, where their batches are not smaller than the network's."""


class Inputs(NamedTuple):
    """What courses are made from.

    Attributes:
      pool: the clips.
      backbone: the network.
      readings: of it.
      made: learner -> its resolved options, and the learner, compiled.
      tta: learner -> its adaptations.
      adapting: adaptation -> its options.
      after_all: the adaptations that run after every session.
      tests: of each seed the digest of the clips that its sessions test.
    """

    pool: Pool
    backbone: Backbone
    readings: Readings
    made: Mapping[str, tuple[Mapping[str, Any], Learner]]
    tta: Mapping[str, tuple[str, ...]]
    adapting: Mapping[str, Mapping[str, Any]]
    after_all: tuple[str, ...]
    tests: tuple[str, ...]


@precision.exactly()
@locks.holding()
def incremental(run: IncrementalRun, command: str, given: Collection[str] = ()) -> str:
    """Runs every course that has records left to make; returns the sentence that says where they are.

    Args:
      run: the flags.
      command: the words that started it, for the records.
      given: the flags that were given, which a recipe does not change.

    Raises:
      BadInput: bad input, in one sentence, before anything is learnt. FloatingPointError: a loss or what was read of
        the network is not finite. KeyboardInterrupt: Ctrl-C; the same command goes on after the last session.
    """
    if run.recipe:
        run = incremental_recipes.expanded(run, given)
    run = run.replace(learner=tuple(dict.fromkeys(run.learner)), seeds=tuple(dict.fromkeys(run.seeds)))
    inputs = _inputs(run)
    done, written, there = records.done(Path(run.workdir), KIND), 0, 0
    courses = [course for name in run.learner for course in _courses(run, inputs, name)]
    say(_work(run, courses))
    with progress_bar(desc=KIND, total=len(courses) * len(courses[0].plan), unit="session") as bar:
        for course in courses:
            cells = _cells(run, inputs, course)
            left = {place: cell for place, cell in cells.items() if cell not in done.cells}
            there += len(cells) - len(left)
            if left:
                _run(run, inputs, course, cells, left, command, bar)
            else:  # perhaps of a run that was killed after its last record
                saver_of(Path(run.workdir), course, cells.values()).clear()
                bar.update(len(course.plan))
            written += len(left)
    before = f", {counted(there, 'was', 'were')} there already" if there else ""
    return f"{counted(written, 'record')} written{before}{done.note}: {Path(run.workdir) / records.KINDS[KIND].file}"


def _work(run: IncrementalRun, courses: Sequence[Course]) -> str:
    """What there is to do, those courses among it that have their records."""
    plan, many = courses[0].plan, sum(len(one.tests) for one in courses[0].plan)
    made = f"{counted(len(run.learner), 'learner')}, {counted(len(run.seeds), 'seed')}"
    return (
        f"work: {counted(len(courses), 'course')} ({made}) of {counted(len(plan), 'session')} each, "
        f"{counted(many, 'test')} predicted after each in {counted(len(_conditions(run)), 'condition')}"
    )


def _run(
    run: IncrementalRun,
    inputs: Inputs,
    course: Course,
    cells: Mapping[Place, str],
    left: Mapping[Place, str],
    command: str,
    bar: Any,
) -> None:
    """A course from where it was kept to its records."""
    saver = saver_of(Path(run.workdir), course, cells.values())
    now = begun(course, inputs.backbone, saver)
    bar.update(len(now.sessions))
    while len(now.sessions) < len(course.plan):
        now = measured(course, inputs.readings, step(course, inputs.backbone, inputs.readings, now))
        now = incremental_tta.adapted(run, course, inputs.backbone, inputs.readings, now, inputs.adapting)
        keep(course, inputs.backbone, saver, now)
        bar.write(line_of(course, now, inputs.readings))
        bar.update()
    about = provenance.block(command)
    for place, cell in left.items():
        options, heard = inputs.adapting.get(place.tta, {}), _heard(inputs, place.condition)
        found = record_of(run, inputs.pool, inputs.backbone, course, now, place, heard, options)
        records.append(Path(run.workdir), {**found, **about, "cell": cell}, KIND)
    saver.clear()
    inputs.readings.drop_moved()


def _inputs(run: IncrementalRun) -> Inputs:
    """Reads what the flags name, all of it checked."""
    adapting = incremental_tta.adapting(run)
    _check(run)
    conditions = _conditions(run)
    if run.dataset is not None:
        backbone = incremental_backbone.load(run)
        dataset, rate = sets.get(run.dataset, run.data_dir), backbone.classifier.config.sample_rate
        for condition in conditions:
            if condition != CLEAN_ONE:
                targets.check_noise(dataset, run.noise_dir, *condition, rate)
    else:
        backbone = incremental_backbone.of_embeddings(run)
    made = {name: _learner(run, name, backbone) for name in dict.fromkeys(run.learner)}
    alone = {name: learner for name, (_, learner) in made.items()}
    _check_heads(run, alone)
    tta = {name: incremental_tta.possible(run, name, learner) for name, learner in alone.items()}
    incremental_tta.check_network(adapting, backbone)
    after_all = incremental_tta.after_all(run, adapting, backbone.classifier)
    pools = run.profile == "reference" and run.memory > 0
    pools = pools and any(learner.remember is not None for _, learner in made.values())
    config = None if backbone.classifier is None else backbone.classifier.config
    pool = incremental_clips.read(run, config, pools)
    readings = Readings(run, pool, backbone)
    for name, (_, learner) in made.items():
        try:
            readings.shape(learner.reads)
        except BadInput as error:
            raise BadInput(f"--learner={name}: {error}") from None
    tests = tuple(pool.digest(np.concatenate([one.tests for one in plan])) for plan in pool.plans)
    return Inputs(pool, backbone, readings, made, tta, adapting, after_all, tests)


def _check(run: IncrementalRun) -> None:
    """Raises `BadInput` for flags that nothing read would mend."""
    if bool(run.embeddings) == (run.dataset is not None):
        given = "both are" if run.embeddings else "neither is"
        raise BadInput(f"--embeddings and --dataset: {given} given, expected one of the two")
    if not run.learner or not run.seeds or not run.head:
        raise BadInput("--learner, --seeds, --head: one of them names nothing, expected at least one name or number")
    for flag, value, least in (("batch_size", run.batch_size, 1), ("memory_budget_mb", run.memory_budget_mb, 0)):
        check_number(f"--{flag}", value, least)
    for seed in run.seeds:
        check_number("--seeds", seed, 0)
    for flag, known in (
        ("shots_corruption", SHOTS_CORRUPTION),
        ("tta_reset", TTA_RESET),
        ("tta_sessions", TTA_SESSIONS),
        ("cache_dtype", CACHE_DTYPES),
    ):
        registry.check(f"--{flag}", getattr(run, flag), known)
    check_number("--memory", run.memory, 0)
    check_number("--reject", run.reject, 0.0, 1.0, below=True)
    for name in run.learner:
        learners.factory(name)
    if run.cache_dir:
        check_folder(Path(run.cache_dir), "cache_dir")
    shifted = [name for name in run.corruption if name != CLEAN]
    if run.embeddings and (shifted or [name for name in run.tta if name != NONE] or run.checkpoint):
        raise BadInput(
            "--embeddings: are vectors of clips as they were recorded, expected it without --checkpoint, --tta and "
            "corruptions, which need the clips and their network: give --dataset in its place"
        )


def _conditions(run: IncrementalRun) -> tuple[Condition, ...]:
    found = tuple(targets.expand(run.corruption, run.level))
    if not found:
        raise BadInput(f"--corruption: names none, expected {CLEAN} or corruptions")
    return found


def _learner(run: IncrementalRun, name: str, backbone: Backbone) -> tuple[Mapping[str, Any], Learner]:
    """A learner and its options; those that have a `profile` of their own get the run's."""
    texts = given_for(name, _for_learners(run), run.learner)
    known = learners.resolve_options(name, {})
    if "profile" in known and "profile" not in texts:
        texts["profile"] = run.profile
    try:
        options = learners.resolve_options(name, texts)
        return options, precisions.compiled(learners.make(name, backbone.classifier, options))
    except BadInput as error:
        raise BadInput(f"--learner={name}: {str(error).removeprefix(f'learner {name}: ')}") from None


def _for_learners(run: IncrementalRun) -> list[str]:
    """The texts of `--options` that are not for an adaptation."""
    return [text for text in run.options if text.partition("=")[0].rpartition(".")[0] not in run.tta]


def _check_heads(run: IncrementalRun, made: Mapping[str, Learner]) -> None:
    known = list(dict.fromkeys(head for learner in made.values() for head in learner.heads))
    for head in run.head:
        if head != ALL:
            registry.check("--head", head, [ALL, *known])
    for name, learner in made.items():
        if not _heads(run, learner):
            raise BadInput(
                f"--head={','.join(run.head)}: --learner={name} has none of them, expected {', '.join(learner.heads)} "
                f"or {ALL}"
            )


def _heads(run: IncrementalRun, learner: Learner) -> tuple[str, ...]:
    return tuple(head for head in learner.heads if ALL in run.head or head in run.head)


def _courses(run: IncrementalRun, inputs: Inputs, name: str) -> list[Course]:
    """The courses of a learner: one a seed; shots that are corrupted like the tests make one a corruption too."""
    conditions, (options, made) = _conditions(run), inputs.made[name]
    together = [(CLEAN_ONE, conditions)] if run.shots_corruption == "clean" else [(c, (c,)) for c in conditions]
    found = []
    for seed, plan, tests in zip(run.seeds, inputs.pool.plans, inputs.tests, strict=True):
        arriving = [c for one in plan for c in one.classes]
        room = np.full(len(inputs.pool.clips.classes), -1)
        room[arriving] = np.arange(len(arriving))
        pools = run.profile == "reference" and made.remember is not None and run.memory > 0
        config = None if inputs.backbone.classifier is None else inputs.backbone.classifier.config
        info = LearnerInfo(
            max_classes=len(arriving),
            max_sessions=len(plan),
            max_rows=max(len(one.shots) for one in plan),
            shape=inputs.readings.shape(made.reads),
            memory=run.memory,
            clip_bytes=0 if config is None else 2 * config.length,
        )
        for shots, tested in together:
            for tta, carried, some in incremental_tta.together(run, inputs.tta[name], tested):
                course = Course(
                    learner=name,
                    options=options,
                    made=made,
                    seed=seed,
                    plan=plan,
                    tests=tests,
                    labels=room[inputs.pool.clips.labels],
                    info=info,
                    shots=shots,
                    conditions=some,
                    heads=_heads(run, made),
                    tta=tta,
                    after_all=inputs.after_all,
                    carried=carried,
                    pools=pools,
                    reject=run.reject,
                    batch_size=max(run.batch_size, min(AT_ONCE // int(np.prod(info.shape)), 1024)),
                    key="",
                )
                found.append(course._replace(key=course_key(run, inputs.pool, inputs.backbone, course)))
    return found


def _cells(run: IncrementalRun, inputs: Inputs, course: Course) -> dict[Place, str]:
    """The records of a course: of every head, corruption and adaptation, and what names each."""
    wanted = course.tta if not course.carried else [name for name in course.tta if name != NONE]
    places = [Place(head, one, tta) for head in course.heads for one in course.conditions for tta in wanted]
    heard = {one: _heard(inputs, one) for one in course.conditions}
    return {
        place: cell_of(run, course, place, heard[place.condition], inputs.adapting.get(place.tta, {}))
        for place in places
    }


def _heard(inputs: Inputs, condition: Condition) -> dict[str, Any]:
    """What names a corruption's draw, and the background alone that is told from known classes, where there is some."""
    background = inputs.readings.background
    return {**inputs.readings.draw(condition), **({} if background is None else {"background": background})}
