"""ROID: losses, row weights, prior correction and a whole step worked out in numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta.methods.roid import (
    prior_corrected,
    row_weights,
    soft_likelihood_ratio,
    symmetric_cross_entropy,
)
from tests.tta import affine
from tests.tta.affine import BIAS, CLASSES, SCALE, affine_slope, entropy, normalised, parameters, softmax

KEY = jax.random.key(0)


def slr(p):
    p = np.minimum(p, 0.99)
    return -(p * np.log(p / (1 - p) + 1e-5)).sum(1)


def slr_slope(p):
    """dSLR/dz by hand, 0 through entries above 0.99."""
    ratio = p / (1 - p)
    dp = np.where(p < 0.99, -(np.log(ratio + 1e-5) + p / (1 - p) ** 2 / (ratio + 1e-5)), 0.0)
    return p * (dp - (p * dp).sum(1, keepdims=True))


def sce_slope(p, q):
    """d/dz of -1/2 (q log p + p log q) with p = softmax(z), q fixed."""
    return -0.5 * (q - p) - 0.5 * p * (np.log(q) - (p * np.log(q)).sum(1, keepdims=True))


def weights_by_hand(p, average, temperature):
    stretch = lambda v: (v - v.min()) / (v.max() - v.min())  # noqa: E731
    cosine = p @ average / np.linalg.norm(p, axis=1) / np.linalg.norm(average)
    diversity, certainty = stretch(1 - cosine), stretch(-entropy(p))
    return np.exp(diversity * certainty / temperature) * (diversity >= diversity.mean())


def test_losses_by_hand():
    p, q = np.array([[0.7, 0.2, 0.1], [0.995, 0.003, 0.002]]), np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(soft_likelihood_ratio(jnp.log(p)), slr(p), rtol=1e-5)
    wanted = -0.5 * (q * np.log(p) + p * np.log(q)).sum(1)
    np.testing.assert_allclose(symmetric_cross_entropy(jnp.log(p), jnp.log(q)), wanted, rtol=1e-5)


def test_prior_by_hand():
    p = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    found = prior_corrected(jnp.log(p), jnp.asarray([1.0, 1.0, 0.0]))
    mean = np.array([0.7, 0.2, 0.1])
    smooth = 0.5 / 0.7  # two real rows are fewer than three classes: 1/2 above 1/3
    prior = (mean + smooth) / (1 + 3 * smooth)
    np.testing.assert_allclose(np.exp(found), p * prior, rtol=1e-5)


def test_equal_rows_weigh_the_same():
    logits = jnp.log(jnp.asarray([[0.5, 0.3, 0.2]] * 3))
    found = row_weights(logits, jnp.full(3, 1 / 3), jnp.asarray([1.0, 1.0, 0.0]), 1 / 3)
    np.testing.assert_array_equal(found, [1.0, 1.0, 0.0])


@pytest.mark.parametrize("consistency", [False, True])
def test_roid_takes_a_step_by_hand(consistency):
    x, lr, keep, temperature = affine.wave(1), 0.05, 0.5, 0.4
    method, state = affine.make(
        "roid",
        lr=lr,
        optimiser="sgd",
        ensemble=keep,
        temperature=temperature,
        consistency=consistency,
        limit=0.0,
    )
    assert method.passes == ((2, 2) if consistency else (1, 1))
    state, prediction = method.step(state, affine.batch(x), KEY)
    p = softmax(normalised(x) * SCALE + BIAS)
    w = weights_by_hand(p, np.full(CLASSES, 1 / CLASSES), temperature)
    assert 1 < (w > 0).sum() < 8
    g = list(affine_slope(w[:, None] * slr_slope(p) / 8, normalised(x)))
    total = (w * slr(p)).sum() / 8
    if consistency:  # limit 0: the view is the clip itself, normalised with the weighted rows' statistics
        x2 = normalised(x, w > 0)
        q = softmax(x2 * SCALE + BIAS)
        total += (w * -0.5 * (q * np.log(p) + p * np.log(q)).sum(1)).sum() / 8
        for dz, rows in ((sce_slope(p, q), normalised(x)), (sce_slope(q, p), x2)):
            g = [a + b for a, b in zip(g, affine_slope(w[:, None] * dz / 8, rows), strict=True)]
    assert float(prediction.losses["total"]) == pytest.approx(total, rel=1e-4)
    np.testing.assert_allclose(parameters(state), [SCALE - keep * lr * g[0], BIAS - keep * lr * g[1]], rtol=1e-4)
    np.testing.assert_allclose(state.memory.average, 0.9 / CLASSES + 0.1 * p.mean(0), rtol=1e-5)
    smooth = max(1 / 8, 1 / CLASSES) / p.mean(0).max()
    prior = (p.mean(0) + smooth) / (1 + smooth * CLASSES)
    np.testing.assert_allclose(np.exp(prediction.logits), p * prior, rtol=1e-4)


def test_the_source_pulls_back_whatever_it_learnt():
    method, state = affine.make("roid", ensemble=0.0)
    state, _ = method.step(state, affine.batch(affine.wave(1)), KEY)
    np.testing.assert_allclose(parameters(state), [SCALE, BIAS], rtol=1e-6)


def test_the_second_view_is_rolled_anew_for_each_key():
    method, state = affine.make("roid", limit=0.9)
    steps = [method.step(state, affine.batch(affine.wave(1)), jax.random.key(k))[1] for k in range(4)]
    assert len({float(s.losses["consistency"]) for s in steps}) > 1
    assert len({float(s.losses["slr"]) for s in steps}) == 1


def test_roid_refuses_a_share_above_one():
    with pytest.raises(ValueError, match=r"roid: ensemble is 1\.5, expected a share from 0"):
        affine.make("roid", ensemble=1.5)
