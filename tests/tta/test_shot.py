"""SHOT's centroid labels and losses against float64 numpy, its memory, and one whole step by finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.methods.shot import Observed, centroid_labels, information_losses
from dhauds_jax.types import RunInfo
from tests.tta import tiny
from tests.tta.test_methods import BATCH, VARIABLES, WAVE, linear_classifier

RNG = np.random.default_rng(3)
LOGITS, EMBEDDING = RNG.normal(size=(12, 4)).astype(np.float32), RNG.normal(size=(12, 5)).astype(np.float32)
EPSILON = 1e-5
LABELS = jax.jit(centroid_labels, static_argnames=("rounds", "threshold"))


def numpy_labels(logits, embedding, rounds=2, threshold=0):
    """Centroids class by class, cosine distances row by row."""
    logits, embedding = logits.astype(np.float64), embedding.astype(np.float64)
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = logits.argmax(1)
    f = np.concatenate([embedding, np.ones((len(embedding), 1))], 1)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    for _ in range(rounds):
        classes = [c for c in range(logits.shape[1]) if (labels == c).sum() > threshold]
        centroids = {c: (share[:, c, None] * f).sum(0) / share[:, c].sum() for c in classes}
        closeness = {c: f @ v / np.linalg.norm(v) for c, v in centroids.items()}
        labels = np.array([max(classes, key=lambda c: closeness[c][i]) for i in range(len(f))])
        share = np.eye(logits.shape[1])[labels]
    return labels


@pytest.mark.parametrize(("rounds", "threshold"), [(1, 0), (2, 0), (5, 0), (2, 2)])
def test_centroid_labels_equal_numpy(rounds, threshold):
    labels = LABELS(LOGITS, EMBEDDING, rounds=rounds, threshold=threshold)
    wanted = numpy_labels(LOGITS, EMBEDDING, rounds, threshold)
    assert labels.dtype == jnp.int32
    assert list(np.asarray(labels)) == list(wanted)
    assert list(wanted) != list(LOGITS.argmax(1))


def test_a_clip_on_the_wrong_side_takes_the_label_of_its_cluster():
    """Five clips in two clusters; the third is just over the wrong side of the classifier."""
    embedding = jnp.asarray([[4.0, 0.0], [4.0, 0.4], [4.0, -0.4], [-4.0, 0.2], [-4.0, -0.2]])
    logits = jnp.asarray([[3.0, 0.0], [3.0, 0.0], [0.0, 0.1], [0.0, 3.0], [0.0, 3.0]])
    assert list(np.argmax(np.asarray(logits), 1)) == [0, 0, 1, 1, 1]
    assert list(np.asarray(LABELS(logits, embedding))) == [0, 0, 0, 1, 1]


@pytest.mark.slow
def test_padded_rows_and_devices_change_no_label():
    wanted = numpy_labels(LOGITS, EMBEDDING)
    logits, embedding = (jnp.concatenate([x, jnp.full((4, x.shape[1]), 9.0)]) for x in (LOGITS, EMBEDDING))
    weights = jnp.asarray([1.0] * 12 + [0.0] * 4)
    assert list(centroid_labels(logits, embedding, weights)[:12]) == list(wanted)
    parts = [x.reshape(4, 4, *x.shape[1:]) for x in (logits, embedding, weights)]
    spread = jax.vmap(lambda *x: centroid_labels(*x, "batch"), axis_name="batch")(*parts)
    assert list(spread.reshape(-1)[:12]) == list(wanted)


def test_a_threshold_that_no_class_passes_leaves_all_classes():
    labels = np.asarray(LABELS(LOGITS, EMBEDDING, threshold=100))
    assert list(labels) == list(np.asarray(LABELS(LOGITS, EMBEDDING, threshold=-1)))


def numpy_terms(z, labels, ent=1.0, pseudo=0.3):
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    mean = p.mean(0)
    entropy = -(p * np.log(p + EPSILON)).sum(1).mean()
    spread = -(mean * np.log(mean + EPSILON)).sum()
    return ent * (entropy - spread) + pseudo * -np.log(p[np.arange(len(z)), labels]).mean()


def test_information_losses_equal_numpy():
    labels = numpy_labels(LOGITS, EMBEDDING)
    losses = jax.jit(lambda z, labels: information_losses(z, labels, None, None, ent=0.7, pseudo=0.2))
    terms = losses(LOGITS, labels)
    assert float(terms["total"]) == pytest.approx(numpy_terms(LOGITS.astype(np.float64), labels, 0.7, 0.2), rel=1e-5)


def step_of(memory):
    method = methods.make("shot", linear_classifier(), {"lr": 0.01, "weight_decay": 0.1})
    state = method.init(VARIABLES, RunInfo(2, 8, 2))._replace(memory=jnp.asarray(memory, jnp.int32))
    return jax.jit(method.step)(state, BATCH, jax.random.key(0))


@pytest.mark.parametrize("memory", [[-1] * 8, [0, 1, -1, 0, -1, 1, 1, 0]])
def test_a_step_descends_with_known_labels_and_with_those_of_the_batch(memory):
    """First step of Nesterov SGD: lr (1 + momentum) (gradient + decay * parameter), the gradient by differences."""
    x = (WAVE - WAVE.mean(0)).astype(np.float64) / np.sqrt(WAVE.var(0) + 1e-5)
    start = np.array([1.0, 2.0, 0.1, -0.2])

    def logits(theta):
        return x * theta[:2] + theta[2:]

    here = numpy_labels(logits(start), logits(start))
    labels = np.where(np.asarray(memory) >= 0, memory, here)
    gradient = [
        (numpy_terms(logits(start + d), labels) - numpy_terms(logits(start - d), labels)) / 2e-5
        for d in 1e-5 * np.eye(4)
    ]
    after, prediction = step_of(memory)
    moved = after.variables["params"]["encoder"]["batch_norm"]
    wanted = start - 0.01 * 1.9 * (np.array(gradient) + 0.1 * start)
    np.testing.assert_allclose(np.concatenate([moved["scale"], moved["bias"]]), wanted, rtol=1e-4)
    assert float(prediction.losses["total"]) == pytest.approx(numpy_terms(logits(start), labels), rel=1e-4)
    np.testing.assert_allclose(prediction.logits, logits(start), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_every_epoch_labels_the_whole_set_anew():
    classifier = tiny.NETS["layer_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    method = methods.make("shot", classifier, methods.resolve_options("shot", "reference", {"lr": 0.1}))
    state = method.init(variables, RunInfo(3, tiny.CLIPS, tiny.CLASSES))
    assert list(state.memory) == [-1] * tiny.CLIPS
    run = protocols.compiled(method)
    seen = protocols.evaluate(run.observe, state, tiny.waves(), 8)
    assert isinstance(seen, Observed)
    labels = method.begin_epoch(state, jax.tree.map(jnp.asarray, seen), jax.random.key(0)).memory
    assert list(labels) == list(numpy_labels(seen.logits, seen.embedding))
    epochs = [
        jax.tree.map(np.asarray, (e.state.memory, e.state.variables))
        for e in protocols.offline(run, state, tiny.waves(), epochs=2, batch_size=8, key=jax.random.key(1))
    ]
    assert list(epochs[1][0]) == list(labels)
    state = state._replace(variables=epochs[1][1])
    seen = protocols.evaluate(run.observe, state, tiny.waves(), 8)
    assert list(epochs[2][0]) == list(numpy_labels(seen.logits, seen.embedding))


def test_shot_needs_a_round():
    with pytest.raises(BadInput, match=r"^shot: rounds is 0, expected at least 1 round of centroids$"):
        methods.make("shot", linear_classifier(), {"rounds": 0})


def test_the_rate_falls_before_the_first_update_where_it_goes_by_batches():
    """15 epochs of 2 updates: the first has the rate (1 + 10 / 30)^-0.75 of the full one."""
    moved = {}
    for schedule in ("epoch", "batch"):
        method = methods.make("shot", linear_classifier(), {"schedule": schedule, "lr": 0.1, "weight_decay": 0.0})
        after, _ = jax.jit(method.step)(method.init(VARIABLES, RunInfo(2, 8, 2)), BATCH, jax.random.key(0))
        leaves = [jax.tree.leaves(tree["params"]["encoder"]) for tree in (after.variables, VARIABLES)]
        moved[schedule] = np.concatenate([np.ravel(a - b) for a, b in zip(*leaves, strict=True)])
    assert np.abs(moved["epoch"]).max() > 1e-3
    np.testing.assert_allclose(moved["batch"], moved["epoch"] * (40 / 30) ** -0.75, rtol=1e-3, atol=1e-7)
    with pytest.raises(BadInput, match=r"^unknown schedule of method shot 'daily': expected epoch or batch$"):
        methods.make("shot", linear_classifier(), {"schedule": "daily"})
    assert "schedule" not in methods.resolve_options("shot", "reference", {})
