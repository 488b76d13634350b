"""Courses: their keys, what names them, what is left out of them, and that other flags go on with none of them."""

import jax
import numpy as np
import pytest

from dhauds_jax.incremental import rejection
from dhauds_jax.names import LEARNERS
from dhauds_jax.runs import incremental as runner
from dhauds_jax.runs import incremental_course, incremental_records
from dhauds_jax.runs import incremental_measures as measures
from dhauds_jax.runs.incremental import incremental
from dhauds_jax.types import Learner
from dhauds_jax.workdir import records
from tests.runs.test_incremental import Killed, a_run, of_tones, points, tones, without_times

__all__ = ["points", "tones"]


def killed_after_a_session(monkeypatch, run):
    with monkeypatch.context() as patched:
        patched.setattr(runner, "line_of", lambda *args: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            incremental(run, "the command")


def two_heads(classifier) -> Learner:
    from dhauds_jax.incremental import learners

    made = learners.make("prototype", classifier)

    def predict(state, inputs):
        said = made.predict(state, inputs)
        return {**said, "other": -said["prototype"]}

    return made._replace(heads=("prototype", "other"), predict=predict)


@pytest.mark.parametrize("changes", [{"reject": 0.5}, {"head": ("all",)}, {"embeddings": "others"}])
def test_an_unfinished_course_with_other_flags_begins_anew(changes, points, tmp_path, monkeypatch):
    """What was measured of its first sessions is not what these flags ask for: they give what a fresh run gives."""
    monkeypatch.setitem(LEARNERS, "two_heads", "tests.runs.test_incremental_course:two_heads")
    if "embeddings" in changes:  # the same clips by name, the tests among them others
        given = dict(np.load(points))
        given["vectors"][given["splits"] == "test"] += 1
        np.savez(tmp_path / "others.npz", **given)
        changes = {"embeddings": str(tmp_path / "others.npz")}
    run = a_run(points, tmp_path / "out", seeds=(0,), learner=("two_heads",), head=("prototype",))
    killed_after_a_session(monkeypatch, run)
    for workdir in ("out", "fresh"):
        incremental(run.replace(workdir=str(tmp_path / workdir), **changes), "the command")
    again, fresh = (without_times(records.read(tmp_path / name, "incremental")) for name in ("out", "fresh"))
    assert again == fresh and len(fresh) == 1 + ("head" in changes)
    assert fresh[0]["reject"] == changes.get("reject", 0.05) and len(fresh[0]["per_session"]["all"]) == 3


@pytest.mark.parametrize(
    "changes", [{"corruption": ("clean", "WHN")}, pytest.param({"tta": ("none", "t3a")}, marks=pytest.mark.slow)]
)
def test_an_unfinished_course_with_more_conditions_begins_anew(changes, tones, tmp_path, monkeypatch):
    run = of_tones(tones, tmp_path, sessions=2)
    killed_after_a_session(monkeypatch, run)
    incremental(run.replace(**changes), "the command")
    found = records.read(tmp_path, "incremental")
    assert len(found) == 2 and all(len(one["per_session"]["all"]) == 2 for one in found)


def test_the_same_weights_with_another_front_end_are_another_course(tones, tmp_path, monkeypatch):
    """Not told by the weights' hash, nor by the network's name."""
    run, keys = of_tones(tones, tmp_path, sessions=1), []
    key_of = runner.course_key
    monkeypatch.setattr(runner, "course_key", lambda *args: keys.append(key_of(*args)) or keys[-1])
    load = runner.incremental_backbone.load

    def louder(run):
        found = load(run)
        front = {**found.classifier.config.front_end, "said": "louder"}
        config = found.classifier.config.replace(front_end=front)
        return found._replace(classifier=found.classifier._replace(config=config))

    for loading in (load, louder):
        monkeypatch.setattr(runner.incremental_backbone, "load", loading)
        runner._courses(run, runner._inputs(run), "prototype")
    assert len(set(keys)) == 2


def test_shots_that_were_learnt_from_another_network_calibrate_nothing(points, tmp_path):
    """A network that adaptation moved reads them otherwise, so that none can be left out of the state."""
    run = a_run(points, tmp_path, seeds=(0,))
    inputs = runner._inputs(run)
    (course,) = runner._courses(run, inputs, "prototype")
    now = incremental_course.Now(course.made.init({}, course.info, jax.random.key(0)), None, [], [], {})
    carried, found = course._replace(carried=True), []
    for _ in range(2):
        now = incremental_course.step(course, inputs.backbone, inputs.readings, now)
        found.append([len(measures.held_out(one, inputs.readings, now)) for one in (course, carried)])
        now = now._replace(sessions=[*now.sessions, {}])
    assert found == [[1, 1], [1, 0]]


def test_what_there_is_to_do_is_said_first(points, tmp_path):
    run = a_run(points, tmp_path, seeds=(0, 1), learner=("ridge", "prototype"))
    inputs = runner._inputs(run)
    courses = [course for name in run.learner for course in runner._courses(run, inputs, name)]
    tests = sum(len(one.tests) for one in inputs.pool.plans[0])
    assert runner._work(run, courses) == (
        f"work: 4 courses (2 learners, 2 seeds) of 3 sessions each, {tests} tests predicted after each in 1 condition"
    )


@pytest.mark.parametrize(
    ("value", "said"), [(0.00053, "0.00053"), (7.25, "7.2"), (99.2, "99"), (147.3, "147"), (1234.5, "1,234")]
)
def test_seconds_and_bytes_are_said_as_they_are_read(value, said):
    assert incremental_records._short(value) == said


def test_all_shots_are_left_out_in_one_call_a_session(points, tmp_path):
    """Three sessions of two classes and three shots each, in one shape."""
    run = a_run(points, tmp_path, seeds=(0,), learner=("ridge",))
    inputs = runner._inputs(run)
    (course,) = runner._courses(run, inputs, "ridge")
    made, rooms = course.made, []
    course = course._replace(
        made=made._replace(held_out=lambda state, given: rooms.append(len(given.labels)) or made.held_out(state, given))
    )
    now = incremental_course.Now(made.init({}, course.info, jax.random.key(0)), None, [], [], {})
    for _ in range(3):
        now = incremental_course.step(course, inputs.backbone, inputs.readings, now)
        found = measures.held_out(course, inputs.readings, now)["ridge"]
        now = now._replace(sessions=[*now.sessions, {}])
    apart, seen = [], np.asarray(now.state.seen)
    for number in range(3):
        given = incremental_course.session_shots(course, inputs.readings, None, number, "embedding")
        apart.append(np.asarray(made.held_out(now.state, given)["ridge"]))
    wanted = rejection.calibrated(np.concatenate(apart), np.concatenate([
        course.labels[one.shots] for one in course.plan]), seen, "max_logit")  # fmt: skip
    assert rooms == [18] * 3 and found.temperature == pytest.approx(wanted.temperature, rel=1e-6)
    np.testing.assert_allclose(found.known, wanted.known, rtol=1e-9)


def test_keys_of_a_session_are_of_one_use(points, tmp_path):
    """What a learner splits its key into are the keys that folding it gives: none of them may serve twice."""
    inputs = runner._inputs(a_run(points, tmp_path))
    course = runner._courses(a_run(points, tmp_path), inputs, "prototype")[0]
    seen = []

    def taking(function):
        return lambda *args: (seen.append(args[-1]), function(*args))[1]

    made = course.made._replace(
        learn=taking(course.made.learn),
        prepare=taking(lambda variables, state, shots, key: (variables, state)),
        remember=taking(lambda state, pool, key: state),
    )
    readings = inputs.readings
    course, real = course._replace(made=made), readings.of
    readings.of = lambda what, condition, variables=None: real("embedding", condition)
    now = incremental_course.Now(course.made.init({}, course.info, jax.random.key(0)), None, [], [], {})
    incremental_course.step(course, inputs.backbone, readings, now)
    every = [key for one in seen for key in (one, *jax.random.split(one, 4))]
    assert len(seen) == 3
    assert len({np.asarray(jax.random.key_data(key)).tobytes() for key in every}) == len(every)
