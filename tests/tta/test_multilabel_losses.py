"""The sigmoid variants against float64 numpy, padded and spread over devices, and the methods that use them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta import multilabel_losses as ml
from dhauds_jax.tta.methods.dhauds import two_view_losses
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny
from tests.tta.test_methods import VARIABLES, WAVE, linear_classifier

RNG = np.random.default_rng(7)
A, B = (RNG.normal(0, 2, (6, 5)) for _ in range(2))
PA, PB = (1 / (1 + np.exp(-z)) for z in (A, B))


def binary_entropy(p, epsilon=0.0):
    return -(p * np.log(p + epsilon) + (1 - p) * np.log(1 - p + epsilon))


def spread(p):
    return -(np.sqrt((p**2).sum(0)) + np.sqrt(((1 - p) ** 2).sum(0))).mean() / 2


WANTED = {
    "entropy": (partial(ml.entropy, epsilon=0.0), binary_entropy(PA).mean()),
    "entropy_eps": (partial(ml.entropy, epsilon=1e-2), binary_entropy(PA, 1e-2).mean()),
    "gent_0.9": (partial(ml.generalised_entropy, q=0.9), ((1 - PA**0.9 - (1 - PA) ** 0.9) / (0.9 - 1)).mean()),
    "gent_1": (partial(ml.generalised_entropy, q=1.0), binary_entropy(PA).mean()),
    "gent_2": (partial(ml.generalised_entropy, q=2.0), (1 - PA**2 - (1 - PA) ** 2).mean()),
    "spread": (ml.nuclear_norm, spread(PA)),
    "consistency": (lambda z, *rest: ml.consistency(z, one(B, z), *rest), np.sqrt(((PA - PB) ** 2).sum(1)).mean()),
}


def one(other, like):
    """The other view, cut or repeated to the rows of the first (padded rows are equal to it)."""
    rows = len(like)
    return jnp.concatenate([jnp.asarray(other[:rows], jnp.float32), jnp.asarray(like[len(other) :])])


@pytest.mark.parametrize("name", WANTED)
def test_losses_equal_numpy(name):
    loss, wanted = WANTED[name]
    assert float(jax.jit(loss)(jnp.asarray(A, jnp.float32))) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", WANTED)
def test_padded_rows_change_neither_loss_nor_gradient(name):
    loss, _ = WANTED[name]
    padded = np.concatenate([A, np.full((2, 5), 90.0)]).astype(np.float32)
    weights = np.float32([1.0] * 6 + [0.0] * 2)
    value, grad = map(np.asarray, jax.jit(jax.value_and_grad(loss))(padded, weights))
    expected, expected_grad = jax.jit(jax.value_and_grad(loss))(padded[:6])
    assert float(value) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(grad[:6], expected_grad, atol=1e-7)
    assert np.all(grad[6:] == 0)


@pytest.mark.parametrize("name", ["entropy", "gent_2", "spread"])
def test_a_batch_over_devices_gives_the_losses_of_one(name):
    loss, wanted = WANTED[name]
    split = jnp.asarray(A, jnp.float32).reshape(3, 2, 5)
    values = jax.jit(jax.vmap(lambda z: loss(z, jnp.ones(2), "batch"), axis_name="batch"))(split)
    np.testing.assert_allclose(values, [wanted] * 3, rtol=1e-5)


def test_the_spread_term_does_not_reward_switching_everything_on():
    """Rows that share the classes out have a lower spread term than rows with all classes on."""
    on = jnp.asarray(np.full((4, 4), 30, np.float32))
    shared = jnp.asarray(60 * np.eye(4, dtype=np.float32) - 30)
    norm = jax.jit(ml.nuclear_norm)
    # all on: one side has norm 2, the other 0; shared out: norms 1 and sqrt(3)
    assert float(norm(on)) == pytest.approx(-1.0)
    assert float(norm(shared)) == pytest.approx(-(1 + np.sqrt(3)) / 2)


@pytest.mark.slow
def test_saturated_logits_have_finite_gradients():
    z = jnp.asarray([[200.0, -200.0, 0.0], [200.0, -200.0, 0.0]])
    rates = dict(nucnm=1.0, ent=1.0, gent=1.0, q=0.5, mse=1.0, epsilon=0.0)
    choices = dict(gent_views="both", partial_batch="as_is", activation="sigmoid")
    grad = jax.grad(lambda a: two_view_losses(a, z, None, None, **rates, **choices)["total"])(z)
    assert np.all(np.isfinite(grad))


def test_two_view_losses_use_the_sigmoid_terms():
    rates = dict(nucnm=2.0, ent=0.5, gent=0.25, q=2.0, mse=0.1, epsilon=1e-8)
    choices = dict(gent_views="first_twice", partial_batch="as_is", activation="sigmoid")
    losses = jax.jit(lambda a, b: two_view_losses(a, b, jnp.ones(6), None, **rates, **choices))
    terms = losses(A.astype(np.float32), B.astype(np.float32))
    assert float(terms["nucnm"]) == pytest.approx(2 * (spread(PA) + spread(PB)), rel=1e-5)
    entropies = binary_entropy(PA).mean() + binary_entropy(PB).mean()
    assert float(terms["entropy"]) == pytest.approx(0.5 * entropies, rel=1e-5)
    assert float(terms["gent"]) == pytest.approx(0.25 * 2 * WANTED["gent_2"][1], rel=1e-5)
    assert float(terms["consistency"]) == pytest.approx(0.1 * WANTED["consistency"][1], rel=1e-5)


def test_mean_prediction_is_the_logit_of_the_mean_probability():
    mean = (PA + PB) / 2
    logits = jax.jit(ml.mean_prediction)(jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32))
    np.testing.assert_allclose(logits, np.log(mean / (1 - mean)), rtol=1e-4, atol=1e-5)


def test_tent_with_sigmoid_takes_adams_first_step_on_the_binary_entropies():
    method = methods.make("tent", linear_classifier(), {"lr": 0.01, "activation": "sigmoid"})
    state = method.init(VARIABLES, RunInfo(2, 8, 2))
    batch = Batch(jnp.asarray(WAVE), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    after, prediction = jax.jit(method.step)(state, batch, jax.random.key(0))
    x = (WAVE - WAVE.mean(0)) / np.sqrt(WAVE.var(0) + 1e-5)
    z = x * [1.0, 2.0] + [0.1, -0.2]
    p = 1 / (1 + np.exp(-z))
    assert float(prediction.losses["total"]) == pytest.approx(binary_entropy(p).mean(), rel=1e-5)
    # dH/dz = -z p (1 - p); Adam's first step is lr times the sign
    slope = (-z * p * (1 - p) * x).mean(0)
    moved = after.variables["params"]["encoder"]["batch_norm"]["scale"]
    np.testing.assert_allclose(moved, [1.0, 2.0] - 0.01 * np.sign(slope), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dhauds", "ntta"])
def test_two_view_methods_predict_the_mean_sigmoid(name):
    classifier = tiny.NETS["batch_norm"]()
    variables = tiny.variables_of(classifier, tiny.LENGTH)
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    method = methods.make(name, classifier, {"activation": "sigmoid"})
    _, made = jax.jit(method.step)(method.init(variables, RunInfo(2, 8, 4)), batch, jax.random.key(0))
    # log-probabilities of a softmax would sum to one over the classes, both as they are and as logits of sigmoids
    assert np.abs(np.exp(made.logits).sum(1) - 1).min() > 0.05
    # both sides of each class: between the norm of 8 coin tosses and that of 8 sure ones, in both views
    assert -2 * np.sqrt(8) / np.sqrt(2) <= float(made.losses["nucnm"]) <= -2 * np.sqrt(2)


def test_an_unknown_activation_is_named():
    with pytest.raises(ValueError, match="unknown activation 'relu': expected softmax or sigmoid"):
        methods.make("tent", linear_classifier(), {"activation": "relu"})
