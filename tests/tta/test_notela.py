"""NOTELA's teacher against its equation in float64 numpy, one student step, its memory and its fallback."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods, neighbours
from dhauds_jax.tta.methods.notela import adjusted_labels, student_rows
from dhauds_jax.tta.methods.shot import Observed
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny
from tests.tta.test_methods import BATCH, VARIABLES, WAVE, linear_classifier
from tests.tta.test_neighbours import neighbour_sets

RNG = np.random.default_rng(5)
LOGITS, EMBEDDING = RNG.normal(size=(9, 3)).astype(np.float32), RNG.normal(size=(9, 4)).astype(np.float32)


def softmax(z):
    e = np.exp(np.asarray(z, np.float64))
    return e / e.sum(-1, keepdims=True)


def pulled(p, sets, laplacian, alpha):
    """`p_i^(1/alpha) exp(laplacian/alpha mean_j p_j)`, normalised, row by row."""
    out = []
    for row, near in zip(p, sets):
        pull = p[near].mean(0) if near else np.zeros_like(row)
        y = row ** (1 / alpha) * np.exp(laplacian / alpha * pull)
        out.append(y / y.sum())
    return np.stack(out)


def teacher(logits, sets, laplacian, alpha, activation):
    if activation == "softmax":
        return pulled(softmax(logits), sets, laplacian, alpha)
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    sides = [pulled(np.stack([1 - column, column], 1), sets, laplacian, alpha)[:, 1] for column in p.T]
    return np.stack(sides, 1)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_the_teacher_follows_its_equation(activation, mutual, alpha):
    graph = neighbours.nearest(jnp.asarray(EMBEDDING), 2, mutual=mutual)
    sets = neighbour_sets(EMBEDDING, 2, mutual)
    assert not mutual or any(len(near) < 2 for near in sets)
    adjust = jax.jit(lambda z, graph: adjusted_labels(z, graph, laplacian=1.5, alpha=alpha, activation=activation))
    labels = adjust(LOGITS, graph)
    np.testing.assert_allclose(labels, teacher(LOGITS, sets, 1.5, alpha, activation), rtol=1e-4, atol=1e-6)


def test_the_student_s_loss_is_the_cross_entropy_against_soft_labels():
    y = softmax(RNG.normal(size=(9, 3)))
    wanted, rows = -(y * np.log(softmax(LOGITS))).sum(1), jax.jit(student_rows, static_argnums=2)
    np.testing.assert_allclose(rows(LOGITS, y.astype(np.float32), "softmax"), wanted, 1e-5)
    p = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    wanted = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1)
    np.testing.assert_allclose(rows(LOGITS, y.astype(np.float32), "sigmoid"), wanted, 1e-5)


def linear_logits():
    """What `linear_classifier` says with its running statistics (mean 0, variance 1); its embedding is the same."""
    return WAVE.astype(np.float64) / np.sqrt(1 + 1e-5) * [1.0, 2.0] + [0.1, -0.2]


def stepped(memory=None, **options):
    method = methods.make("notela", linear_classifier(), {"lr": 0.01, "k": 2, **options})
    state = method.init(VARIABLES, RunInfo(2, 8, 2))
    if memory is not None:
        state = method.begin_epoch(state, memory, jax.random.key(4))
    return state, *jax.jit(method.step)(state, BATCH, jax.random.key(0))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_step_without_a_set_pass_learns_from_the_batch(activation):
    _, after, prediction = stepped(activation=activation)
    z = linear_logits()
    y = teacher(z, neighbour_sets(z, 2, True), 1.0, 1.0, activation)
    if activation == "softmax":
        p, wanted = softmax(z), -(y * np.log(softmax(z))).sum(1).mean()
    else:
        p = 1 / (1 + np.exp(-z))
        wanted = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert float(prediction.losses["total"]) == pytest.approx(wanted, rel=1e-5)
    np.testing.assert_allclose(prediction.logits, z, rtol=1e-5, atol=1e-6)
    # d loss / d z = p - y in both, and Adam's first step is lr times the sign of the gradient
    moved = after.variables["params"]["encoder"]["batch_norm"]
    slope = ((p - y) * WAVE).sum(0), (p - y).sum(0)
    np.testing.assert_allclose(moved["scale"], [1.0, 2.0] - 0.01 * np.sign(slope[0]), rtol=1e-4)
    np.testing.assert_allclose(moved["bias"], [0.1, -0.2] - 0.01 * np.sign(slope[1]), rtol=1e-3)
    stats = after.variables["batch_stats"]["encoder"]["batch_norm"]
    assert np.array_equal(stats["mean"], np.zeros(2))


def test_after_a_set_pass_a_step_learns_from_the_set():
    logits, embedding = RNG.normal(size=(8, 2)), RNG.normal(size=(8, 3))
    observed = Observed(jnp.asarray(logits, jnp.float32), jnp.asarray(embedding, jnp.float32))
    state, _, prediction = stepped(observed, mutual=False)
    y = teacher(logits, neighbour_sets(embedding, 2), 1.0, 1.0, "softmax")
    np.testing.assert_allclose(state.memory.labels, y, rtol=1e-5)
    assert bool(state.memory.known.all())
    wanted = -(y * np.log(softmax(linear_logits()))).sum(1).mean()
    assert float(prediction.losses["total"]) == pytest.approx(wanted, rel=1e-5)


def test_the_student_is_noisy_and_the_prediction_is_not():
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    method = methods.make("notela", classifier, {})
    state = method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES))
    step = jax.jit(method.step)
    one, two = (step(state, batch, jax.random.key(seed))[1] for seed in (0, 1))
    assert float(one.losses["total"]) != float(two.losses["total"])
    assert np.array_equal(one.logits, two.logits)
    np.testing.assert_allclose(one.logits, jax.jit(method.predict)(state, batch), rtol=1e-5, atol=1e-6)


def test_batch_statistics_follow_when_asked():
    _, after, prediction = stepped(statistics="batch")
    stats = after.variables["batch_stats"]["encoder"]["batch_norm"]
    np.testing.assert_allclose(stats["mean"], 0.1 * WAVE.mean(0), rtol=1e-5)
    z = (WAVE - WAVE.mean(0)) / np.sqrt(WAVE.var(0) + 1e-5) * [1.0, 2.0] + [0.1, -0.2]
    np.testing.assert_allclose(prediction.logits, z, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": "mine"}, "unknown statistics of method notela 'mine': expected running or batch"),
        ({"alpha": 0.0}, "notela: alpha is 0.0, expected a number above 0"),
        ({"k": 0}, "notela: k is 0, expected at least 1 neighbour"),
        ({"activation": "relu"}, "unknown activation 'relu'"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        methods.make("notela", linear_classifier(), options)
