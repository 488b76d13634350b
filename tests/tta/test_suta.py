"""SUTA: the class confusion and the episode of a clip, worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.augment import Augmentation, augmented_copies
from dhauds_jax.tta.methods.suta import class_confusion
from dhauds_jax.types import RunInfo
from tests.tta import linear, spread, tiny

KEY = jax.random.key(9)


def confusion(z, reweight):
    """Sums written out: B_ij, its column sums, the mean of what lies beside the diagonal."""
    p, rows, classes = linear.softmax(z), len(z), z.shape[1]
    sure = 1 + np.exp(-linear.entropy(z)) if reweight else np.ones(rows)
    w = rows * sure / sure.sum()
    b = np.array([[sum(w[n] * p[n, i] * p[n, j] for n in range(rows)) for j in range(classes)] for i in range(classes)])
    beside = [b[i, j] / b[:, j].sum() for i in range(classes) for j in range(classes) if i != j]
    return sum(beside) / classes


@pytest.mark.parametrize("reweight", [True, False])
def test_class_confusion_sums(reweight):
    z = np.random.default_rng(4).normal(size=(6, 3))
    found = class_confusion(jnp.asarray(z, jnp.float32), reweight=reweight)
    assert float(found) == pytest.approx(confusion(z, reweight), rel=1e-5)
    padded = jnp.asarray(np.concatenate([z, [[9.0, -9.0, 0.0]]]), jnp.float32)
    weights = jnp.asarray([1.0] * 6 + [0.0])
    assert float(class_confusion(padded, weights, reweight=reweight)) == pytest.approx(confusion(z, reweight), rel=1e-5)


def test_class_confusion_by_hand():
    value, slope = jax.jit(class_confusion), jax.jit(jax.grad(class_confusion))
    uniform, sure = jnp.zeros((5, 4)), 200 * jnp.eye(4)
    assert float(value(uniform)) == pytest.approx(3 / 4)
    assert float(value(sure)) == pytest.approx(0, abs=1e-6)
    # A class without any probability (an exact 0 in float32) is no division by zero, in value or gradient.
    one_sided = 200 * jnp.eye(4)[jnp.asarray([0, 1, 0])]
    assert float(value(one_sided)) == pytest.approx(0, abs=1e-6)
    assert np.isfinite(slope(one_sided)).all()
    # A single row confuses nothing with anything: no gradient.
    np.testing.assert_allclose(slope(jnp.asarray([[1.0, 0.2, -1.0]])), 0, atol=1e-7)


def adam(numbers, slopes, lr):
    """Adam's steps along a function that gives the slope where it is."""
    m = v = np.zeros_like(numbers)
    for t, slope in enumerate(slopes, 1):
        g = slope(numbers)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        numbers = numbers - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return numbers


def slope_of(batch, key):
    """The loss's slope over a batch's clips and two copies of each, at temperature 2.5 and entropy rate 0.3.

    The weights of sure rows are constants in a gradient, so they stand still in the differences.
    """
    copies = augmented_copies(key, batch.wave, batch.index, Augmentation(1.0, 6.0, 0.0), 2)
    x = np.concatenate([batch.wave[None], copies]).reshape(-1, 2)

    def slope(at):
        sure = 1 + np.exp(-linear.entropy(linear.logits(x, at) / 2.5))
        w = len(x) * sure / sure.sum()

        def loss(numbers):
            z = linear.logits(x, numbers) / 2.5
            p = linear.softmax(z)
            b = (w[:, None] * p).T @ p
            b = b / b.sum(0)
            return 0.3 * linear.entropy(z).mean() + 0.7 * (b.sum() - np.trace(b)) / 2

        return linear.gradient(loss, at)

    return slope


@pytest.mark.slow
@pytest.mark.parametrize("over", ["clip", "batch"])
def test_episodes_by_hand(over):
    given = {"iterations": 3, "augmentations": 3, "shift": 1.0, "gain_db": 6.0, "lr": 0.05, "over": over}
    method = linear.compiled("suta", **given)
    after, prediction = method.step(method.init(linear.VARIABLES, linear.INFO), linear.BATCH, KEY)
    ended = []
    for rows in [[i] for i in range(8)] if over == "clip" else [list(range(8))]:
        batch = jax.tree.map(lambda x, rows=rows: x[jnp.asarray(rows)], linear.BATCH)
        key = jax.random.fold_in(KEY, rows[0]) if over == "clip" else KEY

        slopes = [slope_of(batch, k) for k in jax.random.split(key, 3)]
        numbers = adam(linear.affine(linear.VARIABLES), slopes, 0.05)
        ended.append(numbers)
        wanted = linear.logits(linear.WAVE[rows], numbers)
        np.testing.assert_allclose(prediction.logits[jnp.asarray(rows)], wanted, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(linear.affine(after.variables), np.mean(ended, 0), rtol=1e-3, atol=1e-3)
    value = 0.3 * prediction.losses["entropy"] + 0.7 * prediction.losses["confusion"]
    assert float(prediction.losses["total"]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.slow
def test_a_clip_gets_surer_and_the_source_stays():
    classifier = tiny.NETS["layer_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    options = methods.resolve_options("suta", "reference", {"lr": 0.05, "iterations": 5})
    method = methods.make("suta", classifier, options)
    state = method.init(variables, linear.INFO)
    batch = linear.BATCH._replace(wave=jnp.asarray(tiny.waves()[:8]))
    before = methods.make("source", classifier, {}).predict(state, batch)
    after, prediction = jax.jit(method.step)(state, batch, KEY)
    assert np.all(linear.entropy(np.asarray(prediction.logits)) < linear.entropy(np.asarray(before)))
    source = jax.tree.leaves(after.memory.source)
    encoder = variables["params"]["encoder"]["layer_norm"]
    assert all(np.array_equal(a, b) for a, b in zip(source, jax.tree.leaves(encoder), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("over", ["clip", "batch"])
def test_a_spread_batch_gives_the_same(over):
    spread.check("suta", RunInfo(1, 7, tiny.CLASSES), over=over, augmentations=2, iterations=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"entropy_rate": 1.5}, "suta: entropy_rate is 1.5 and temperature 2.5, expected 0 to 1 and above 0"),
        ({"temperature": 0.0}, "suta: entropy_rate is 0.3 and temperature 0.0, expected 0 to 1 and above 0"),
        ({"augmentations": 0}, "suta: augmentations is 0, expected at least 1"),
        ({"alpha": -0.1}, r"^suta: alpha is -0\.1, expected a share from 0 \(the source's statistics\) to 1 \("),
        ({"noise": -1.0}, "suta: noise is -1.0, expected a number from 0 on"),
    ],
)
def test_bad_options_get_one_sentence(given, message):
    with pytest.raises(ValueError, match=message):
        methods.make("suta", linear.classifier(), given)
