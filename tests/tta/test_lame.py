"""LAME's affinities and assignments against float64 loops, its energy, and what it leaves alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.lame import adjusted, affinity_matrix, energy_rows
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny
from tests.tta.test_methods import BATCH, VARIABLES, WAVE, linear_classifier
from tests.tta.test_neighbours import neighbour_sets

RNG = np.random.default_rng(2)
X = RNG.normal(size=(7, 3))
X /= np.linalg.norm(X, axis=1, keepdims=True)
P = RNG.dirichlet(np.ones(4), 7)
ADJUSTED = jax.jit(adjusted, static_argnums=2)


def numpy_affinity(x, kind, k):
    w = np.zeros((len(x), len(x)))
    if kind == "linear":
        return x @ x.T
    if kind == "knn":
        for i, near in enumerate(neighbour_sets(x, k)):
            w[i, near] = 1
        return w
    d = np.array([[np.linalg.norm(a - b) for b in x] for a in x])
    scale = np.mean([sorted(row)[min(k, len(x)) - 1] for row in d])
    return np.exp(-(d**2) / (2 * scale**2)) if scale > 0 else np.eye(len(x))


def numpy_assignments(p, w, iterations):
    z = p / p.sum(1, keepdims=True)
    for _ in range(iterations):
        new = np.empty_like(z)
        for i in range(len(z)):
            pull = sum(w[i, j] * z[j] for j in range(len(z)))
            new[i] = p[i] * np.exp(pull)
        z = new / new.sum(1, keepdims=True)
    return z


def energy(z, p, w):
    return (z * np.log(z / p)).sum() - (w * (z @ z.T)).sum()


@pytest.mark.parametrize("k", [1, 3, 20])
@pytest.mark.parametrize("kind", ["knn", "rbf", "linear"])
def test_affinities_equal_loops_and_leave_padded_rows_out(kind, k):
    padded = np.concatenate([X, np.ones((2, 3))]).astype(np.float32)
    weights = jnp.asarray([1.0] * 7 + [0.0] * 2)
    w = np.asarray(jax.jit(affinity_matrix, static_argnums=(2, 3))(padded, weights, kind, k))
    np.testing.assert_allclose(w[:7, :7], numpy_affinity(X, kind, k), rtol=1e-4, atol=1e-6)
    assert np.all(w[7:] == 0)
    assert np.all(w[:, 7:] == 0)


@pytest.mark.parametrize("kind", ["knn", "rbf", "linear"])
@pytest.mark.parametrize("iterations", [1, 2, 50])
def test_assignments_equal_loops(kind, iterations):
    w = numpy_affinity(X, kind, 3)
    log_z = ADJUSTED(np.log(P.astype(np.float32)), w.astype(np.float32), iterations)
    np.testing.assert_allclose(np.exp(log_z), numpy_assignments(P, w, iterations), rtol=1e-4, atol=1e-6)


def test_the_energy_falls_with_every_step_of_a_positive_affinity():
    w, log_p = numpy_affinity(X, "rbf", 3), np.log(P.astype(np.float32))
    values, rows = [], jax.jit(energy_rows)
    for iterations in range(8):
        log_z = ADJUSTED(log_p, w.astype(np.float32), iterations)
        values.append(float(np.sum(rows(log_z, log_p, w.astype(np.float32)))))
        assert values[-1] == pytest.approx(energy(np.exp(np.asarray(log_z, np.float64)), P, w), rel=1e-4)
    # float32 sums of about 20 terms
    assert all(later <= earlier + 1e-5 for earlier, later in itertools.pairwise(values))
    assert values[-1] < values[0] - 0.1


def test_neighbours_outvote_an_unsure_clip():
    """Three clips in one direction, one of them 0.45 against 0.55: one step by hand gives 0.55 e / (0.55 e + 0.45)."""
    p = np.array([[0.999, 0.001], [0.999, 0.001], [0.45, 0.55]])
    w = np.array([[0.0, 0, 0], [0, 0, 0], [1, 1, 0]])
    z = np.exp(ADJUSTED(np.log(p.astype(np.float32)), w.astype(np.float32), 1))
    assert z[2, 0] == pytest.approx(0.45 * np.exp(1.998) / (0.45 * np.exp(1.998) + 0.55 * np.exp(0.002)), rel=1e-4)
    assert z[2].argmax() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"affinity": "rbf", "symmetric": True},
        {"affinity": "linear", "k": 2},
        {"statistics": "batch", "affinity": "rbf"},
    ],
)
def test_step_and_predict_give_the_assignments_of_the_batch(options):
    method = methods.make("lame", linear_classifier(), {"iterations": 30, **options})
    state = method.init(VARIABLES, RunInfo(2, 8, 2))
    after, prediction = jax.jit(method.step)(state, BATCH, jax.random.key(0))
    mean, var = (WAVE.mean(0), WAVE.var(0)) if options.get("statistics") == "batch" else (0.0, 1.0)
    logits = (WAVE - mean).astype(np.float64) / np.sqrt(var + 1e-5) * [1.0, 2.0] + [0.1, -0.2]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) + 1e-10
    unit = logits / np.linalg.norm(logits, axis=1, keepdims=True)
    w = numpy_affinity(unit, options.get("affinity", "knn"), options.get("k", 5))
    w = (w + w.T) / 2 if options.get("symmetric") else w
    z = numpy_assignments(p, w, 30)
    np.testing.assert_allclose(np.exp(prediction.logits), z, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(method.predict(state, BATCH), prediction.logits, rtol=1e-6)
    assert float(prediction.losses["total"]) == pytest.approx(energy(z, p, w) / 8, rel=1e-3)
    assert jax.tree.all(jax.tree.map(np.array_equal, after.variables, state.variables))


@pytest.mark.slow
def test_a_batch_of_one_is_the_source_model_s():
    classifier = tiny.NETS["layer_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    batch = Batch(jnp.asarray(tiny.waves()[:1]), jnp.ones(1), jnp.zeros(1, jnp.int32))
    outputs = []
    for name in ("lame", "source"):
        method = methods.make(name, classifier, {})
        outputs.append(method.predict(method.init(variables, RunInfo(1, 1, 4)), batch))
    np.testing.assert_allclose(outputs[0], jax.nn.log_softmax(outputs[1]), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"affinity": "cosine"}, "unknown affinity of method lame 'cosine': expected knn, rbf or linear"),
        ({"statistics": "mine"}, "unknown statistics of method lame 'mine': expected running or batch"),
        ({"k": 0}, "lame: k is 0, expected at least 1 neighbour"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        methods.make("lame", linear_classifier(), options)
