"""RoTTA: its memory against a list-based one, robust BatchNorm, and a teacher-student step worked out in numpy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets.normalisers import running
from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.rotta import Bank, RottaMemory, remembered, robust, timeliness
from dhauds_jax.types import Batch, RunInfo, Running
from tests.tta import linear, spread, tiny


def test_robust_batch_norm_moves_then_normalises():
    x = np.random.default_rng(0).normal(2.0, 3.0, (5, 7, 2)).astype(np.float32)
    old = Running(jnp.asarray([0.5, -0.5]), jnp.asarray([1.0, 2.0]))
    weights = jnp.asarray([1.0, 1, 1, 0, 0])
    y, kept = robust(0.25)(jnp.asarray(x), old, 1e-5, weights)
    real = x[:3].reshape(-1, 2).astype(np.float64)
    mean, var = 0.75 * np.asarray(old.mean) + 0.25 * real.mean(0), 0.75 * np.asarray(old.var) + 0.25 * real.var(0)
    np.testing.assert_allclose(kept.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(kept.var, var, rtol=1e-5)
    np.testing.assert_allclose(y[:3], (x[:3] - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y, running(jnp.asarray(x), kept, 1e-5)[0], rtol=1e-6)


def in_lists(stream, slots, classes, lambda_t=1.0, lambda_u=1.0):
    """Algorithm 1 with a list for each class: which clips it holds in the end, as {position: (class, age, entropy)}."""
    held = {c: [] for c in range(classes)}

    def score(age, entropy):
        return lambda_t / (1 + math.exp(-age / slots)) + lambda_u * entropy / math.log(classes)

    for position, (label, entropy) in enumerate(stream):
        full = sum(map(len, held.values())) == slots
        if len(held[label]) >= slots / classes:
            among = [label]
        else:
            among = [c for c in held if len(held[c]) == max(map(len, held.values()))] if full else []
        items = [(score(age, h), c, i) for c in among for i, (_, age, h) in enumerate(held[c])]
        if items and max(items)[0] > score(0, entropy):
            _, c, i = max(items)
            held[c].pop(i)
            items = []
        if not items:
            held[label].append([position, 0, entropy])
        for item in (item for row in held.values() for item in row):
            item[1] += 1
    return {position: (c, age, h) for c, row in held.items() for position, age, h in row}


@pytest.mark.parametrize(("slots", "classes", "sure"), [(8, 4, 0.3), (6, 4, 3.0), (5, 3, 1.0)])
def test_the_memory_holds_what_algorithm_1_holds(slots, classes, sure):
    rng = np.random.default_rng(slots)
    favoured = rng.choice(classes, size=(6, 10), p=[0.6, *np.full(classes - 1, 0.4 / (classes - 1))])
    logits = sure * rng.normal(size=(6, 10, classes)) + 4 * np.eye(classes)[favoured]
    empty = Bank(jnp.full(slots, -1, jnp.int32), jnp.zeros(slots, jnp.int32), jnp.zeros(slots))
    zero, offered = jnp.zeros((), jnp.int32), jax.jit(lambda k, b, z: remembered(k, b, z, 1.0, 1.0, None))
    kept = RottaMemory(jnp.zeros((slots, 1)), empty, (), (), zero, zero, jnp.zeros(()))
    weights = np.ones((6, 10), np.float32)
    weights[2, 4:] = 0
    weights[4, ::2] = 0
    stream, names = [], []
    for i in range(6):
        wave = np.arange(10 * i, 10 * i + 10, dtype=np.float32)[:, None]
        batch = Batch(jnp.asarray(wave), jnp.asarray(weights[i]), jnp.zeros(10, jnp.int32))
        kept = offered(kept, batch, jnp.asarray(logits[i], jnp.float32))
        for j in np.flatnonzero(weights[i]):
            stream.append((int(logits[i, j].argmax()), float(linear.entropy(logits[i, j]))))
            names.append(10 * i + j)
    wanted = {names[position]: row for position, row in in_lists(stream, slots, classes).items()}
    full = np.asarray(kept.bank.labels) >= 0
    found = {int(w): row for w, *row in zip(np.asarray(kept.waves)[full, 0], *(np.asarray(x)[full] for x in kept.bank))}
    assert sorted(found) == sorted(wanted)
    for name, (label, age, entropy) in wanted.items():
        assert tuple(found[name][:2]) == (label, age)
        assert found[name][2] == pytest.approx(entropy, abs=1e-5)
    assert int(kept.seen) == len(stream)


def test_timeliness_by_hand():
    np.testing.assert_allclose(timeliness(jnp.asarray([0.0, 1.0])), [0.5, math.exp(-1) / (1 + math.exp(-1))], rtol=1e-6)


def test_a_step_moves_the_student_by_the_teachers_word_and_the_teacher_a_little():
    """Copies like their clips (no shift, no noise); the teacher is changed beforehand, so that the two disagree."""
    given = {"capacity": 20, "every": 8, "shift": 0.0, "noise": 0.0, "lr": 0.01, "nu": 0.25, "alpha": 0.2}
    method = linear.compiled("rotta", **given)
    state = method.init(linear.VARIABLES, linear.INFO)
    teacher = {"encoder": {"batch_norm": {"scale": jnp.asarray([0.7, 1.5]), "bias": jnp.asarray([-0.3, 0.4])}}}
    state = state._replace(variables={**state.variables, "params": teacher})
    after, prediction = method.step(state, linear.BATCH, jax.random.key(0))

    slow, fast = linear.affine(state.variables), linear.affine(linear.VARIABLES)
    np.testing.assert_allclose(prediction.logits, linear.logits(linear.WAVE, slow), rtol=1e-5, atol=1e-6)
    x = linear.WAVE.astype(np.float64)
    mean, var = 0.8 * linear.MEAN + 0.2 * x.mean(0), 0.8 * linear.VAR + 0.2 * x.var(0)
    wanted = linear.softmax(linear.logits(x, slow, mean, var))
    # All eight fit below the quota of ten a class; the clip that came i-th of eight is 8 - i clips old.
    ages = (8 - np.arange(8)) / 20
    importance = np.exp(-ages) / (1 + np.exp(-ages))

    def loss(numbers):
        log_p = np.log(linear.softmax(linear.logits(x, numbers, mean, var)))
        return (importance * -(wanted * log_p).sum(-1)).mean()

    assert float(prediction.losses["total"]) == pytest.approx(loss(fast), rel=1e-5)
    fast = linear.adams_first_step(fast, linear.gradient(loss, fast), 0.01)
    student = {"params": after.memory.student}
    np.testing.assert_allclose(linear.affine(student), fast, rtol=1e-4)
    np.testing.assert_allclose(linear.affine(after.variables), 0.75 * slow + 0.25 * fast, rtol=1e-4)
    for stats in (after.variables["batch_stats"], after.memory.student_stats):
        np.testing.assert_allclose(stats["encoder"]["batch_norm"]["mean"], mean, rtol=1e-5)
        np.testing.assert_allclose(stats["encoder"]["batch_norm"]["var"], var, rtol=1e-5)
    now = linear.logits(linear.WAVE, linear.affine(after.variables), mean, var)
    np.testing.assert_allclose(method.predict(after, linear.BATCH), now, rtol=1e-4, atol=1e-5)


STILL = {"capacity": 6, "shift": 0.0, "noise": 0.0, "lr": 0.05, "nu": 0.0, "alpha": 0.0}
"""A teacher that never moves, so that what the memory holds does not depend on when updates come."""


def student_after(every, sizes, **options):
    """The student and the updates of a stream of 16 clips in batches of these sizes."""
    waves = np.random.default_rng(5).normal(0.4, 1.5, (16, 2)).astype(np.float32)
    method, first = linear.compiled("rotta", **{**STILL, "every": every, **options}), 0
    state = method.init(linear.VARIABLES, linear.INFO._replace(clips=16))
    for size in sizes:
        rows = np.arange(first, first + 8) % 16
        real = (np.arange(8) < size).astype(np.float32)
        batch = Batch(jnp.asarray(waves[rows]), jnp.asarray(real), jnp.asarray(rows, jnp.int32))
        state, first = method.step(state, batch, jax.random.key(first))[0], first + size
    return linear.affine({"params": state.memory.student}), state


@pytest.mark.parametrize(("every", "sizes"), [(3, [3, 3, 2, 1, 3, 3, 1]), (5, [5, 3, 2, 5, 1]), (8, [8, 8])])
def test_updates_in_mid_batch_are_those_of_batches_cut_where_they_are_due(every, sizes):
    """Two batches of 8 with `mid_batch`, and the same clips in batches that end at every multiple of `every`."""
    cut, _ = student_after(every, sizes)
    whole, state = student_after(every, [8, 8], mid_batch=True)
    np.testing.assert_allclose(whole, cut, rtol=1e-5, atol=1e-6)
    assert int(state.memory.seen) == 16
    assert int(state.opt_state[0].count) == 16 // every, "updates"
    late, state = student_after(every, [8, 8])
    assert int(state.opt_state[0].count) == 2, "one a batch at most"
    assert np.allclose(late, cut, atol=1e-6) == (every == 8)


def test_predictions_in_mid_batch_are_those_of_before_the_batch_and_padding_changes_nothing():
    method = linear.compiled("rotta", **{**STILL, "nu": 0.5, "alpha": 0.3, "every": 3, "mid_batch": True})
    state = method.init(linear.VARIABLES, linear.INFO)
    after, prediction = method.step(state, linear.BATCH, jax.random.key(0))
    np.testing.assert_allclose(prediction.logits, linear.logits(linear.WAVE, linear.affine(state.variables)), rtol=1e-5)
    assert not np.allclose(linear.affine(after.variables), linear.affine(state.variables), atol=1e-4)
    assert int(after.step) == 1
    short = linear.BATCH._replace(weights=jnp.asarray([1.0, 0, 1, 1, 0, 0, 1, 0]))
    packed = Batch(linear.BATCH.wave[jnp.asarray([0, 2, 3, 6, 0, 0, 0, 0])], jnp.asarray([1.0] * 4 + [0] * 4),
                   linear.BATCH.index)  # fmt: skip
    one, two = (method.step(state, batch, jax.random.key(0))[0] for batch in (short, packed))
    np.testing.assert_array_equal(linear.affine(one.variables), linear.affine(two.variables))
    np.testing.assert_array_equal(one.memory.waves, two.memory.waves)


@pytest.mark.slow
def test_a_spread_batch_gives_the_same_in_mid_batch():
    spread.check("rotta", RunInfo(1, 7, tiny.CLASSES), capacity=5, every=3, mid_batch=True)


@pytest.mark.slow
def test_a_spread_batch_gives_the_same():
    spread.check("rotta", RunInfo(1, 7, tiny.CLASSES), capacity=5, every=7)


def test_bad_options_get_one_sentence():
    for given, message in (({"capacity": 0}, "rotta: capacity is 0"), ({"shift": 2.0}, "rotta: shift is 2.0")):
        with pytest.raises(ValueError, match=message):
            methods.make("rotta", linear.classifier(), given)
