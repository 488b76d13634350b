"""NTTA's two losses against float64 numpy, and its relation to DHAuDS."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import methods
from dhauds_jax.tta.methods.ntta import frobenius_norm, own_label_cross_entropy, text_losses
from dhauds_jax.types import Batch, RunInfo
from tests.tta import tiny

RNG = np.random.default_rng(9)
A, B = (RNG.normal(0, 2, (6, 4)) for _ in range(2))
RATES = dict(nucnm=2.0, ent=0.5, gent=0.25, q=0.9)


def probabilities(z, activation):
    """(batch, problems, sides): one problem of all classes, or one of two sides for each class."""
    if activation == "softmax":
        return (np.exp(z) / np.exp(z).sum(1, keepdims=True))[:, None]
    p = 1 / (1 + np.exp(-z))
    return np.stack([p, 1 - p], 2)


def numpy_text(activation, scale=1.0):
    wanted = {"nucnm": 0.0, "entropy": 0.0, "gent": 0.0}
    for z in (A, B):
        p = probabilities(z, activation)
        wanted["nucnm"] -= 2.0 * scale * np.linalg.norm(p.ravel())
        wanted["entropy"] -= 0.5 * np.log(p.max(2)).mean()
        wanted["gent"] += 0.25 * ((1 - (p**0.9).sum(2)) / (0.9 - 1)).mean()
    return {**wanted, "total": sum(wanted.values())}


def padded(z):
    return np.concatenate([z, np.full((2, 4), 3.0)]).astype(np.float32)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize(("partial_batch", "scale"), [("as_is", 1.0), ("rescaled", np.sqrt(8 / 6))])
def test_the_text_s_loss_equals_numpy(activation, partial_batch, scale):
    weights = np.float32([1.0] * 6 + [0.0] * 2)
    choices = dict(partial_batch=partial_batch, activation=activation)
    losses = jax.jit(lambda *x: text_losses(*x, None, **RATES, **choices))
    terms = losses(padded(A), padded(B), weights)
    for name, wanted in numpy_text(activation, scale).items():
        assert float(terms[name]) == pytest.approx(wanted, rel=1e-5), name
    split = [x.reshape(4, 2, *x.shape[1:]) for x in (padded(A), padded(B), weights)]
    over_devices = jax.vmap(lambda *x: text_losses(*x, "batch", **RATES, **choices)["total"], axis_name="batch")
    spread = jax.jit(over_devices)(*split)
    np.testing.assert_allclose(spread, [float(terms["total"])] * 4, rtol=1e-5)


def test_the_one_hot_is_the_model_s_own_argmax():
    """By hand: logits (log 3, 0) give p = (3/4, 1/4); the true label plays no part."""
    z = jnp.asarray(np.log(np.float32([[3.0, 1.0], [1.0, 3.0]])))
    assert float(own_label_cross_entropy(z)) == pytest.approx(-np.log(0.75), rel=1e-6)
    assert float(frobenius_norm(z)) == pytest.approx(-np.sqrt(2 * (9 + 1) / 16), rel=1e-6)
    # sigmoids of +-log 3 are 3/4 and 1/4
    sides = jnp.asarray(np.log(np.float32([[3.0, 1 / 3]])))
    assert float(own_label_cross_entropy(sides, activation="sigmoid")) == pytest.approx(-np.log(0.75), rel=1e-6)


def test_gradients_of_saturated_views_are_finite():
    z = jnp.asarray([[200.0, -200.0, 0.0]] * 2)
    for activation in ("softmax", "sigmoid"):
        options = dict(**RATES, partial_batch="as_is", activation=activation)
        grad = jax.jit(jax.grad(lambda a, o=options: text_losses(a, z, None, None, **o)["total"]))(z)
        assert np.all(np.isfinite(grad))


CLASSIFIER = tiny.NETS["batch_norm"]()


@functools.lru_cache
def start():
    return tiny.variables_of(CLASSIFIER, tiny.LENGTH)


@functools.lru_cache
def first_step(name, **options):
    batch = Batch(jnp.asarray(tiny.waves()[:8]), jnp.ones(8), jnp.arange(8, dtype=jnp.int32))
    method = methods.make(name, CLASSIFIER, methods.resolve_options(name, "reference", options))
    return jax.jit(method.step)(method.init(start(), RunInfo(2, 8, 4)), batch, jax.random.key(5))


@pytest.mark.slow
def test_the_code_s_loss_is_that_of_dhauds_without_its_later_terms():
    same = dict(lr=1e-3, backbone=0.5, nucnm=1.0, ent=1.0, epsilon=1e-6, threshold=1)
    after, prediction = first_step("ntta", lr=1e-3)
    wanted, by_dhauds = first_step("dhauds", **same, gent=0.0, mse=0.0)
    assert set(prediction.losses) == {"total", "nucnm", "entropy"}
    assert float(prediction.losses["total"]) == float(by_dhauds.losses["total"])
    assert np.array_equal(prediction.logits, by_dhauds.logits)
    assert jax.tree.all(jax.tree.map(np.array_equal, after.variables, wanted.variables))


@pytest.mark.slow
def test_the_two_losses_differ_and_the_first_step_is_plain_sgd():
    _, code = first_step("ntta", lr=1e-3)
    after, text = first_step("ntta", loss="text", lr=1e-3)
    twice, _ = first_step("ntta", loss="text", lr=2e-3)
    assert set(text.losses) == {"total", "nucnm", "entropy", "gent"}
    assert float(text.losses["total"]) != float(code.losses["total"])
    assert np.array_equal(text.logits, code.logits)
    states = (start(), after.variables, twice.variables)
    none, one, two = (np.asarray(v["params"]["head"]["classify"]["kernel"]) for v in states)
    # quirk 4: epoch 0 has neither momentum nor decay, so the step is proportional to the rate
    np.testing.assert_allclose(two - none, 2 * (one - none), rtol=1e-2, atol=1e-7)
    assert np.abs(one - none).max() > 1e-5


def test_profiles_set_the_quirks():
    keys = ("partial_batch", "first_epoch_plain", "nesterov")
    reference, corrected = (methods.default_options("ntta", p) for p in ("reference", "corrected"))
    assert [reference[k] for k in keys] == ["as_is", True, False]
    assert [corrected[k] for k in keys] == ["rescaled", False, True]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "paper"}, "unknown loss of method ntta 'paper': expected code or text"),
        ({"partial_batch": "x"}, "unknown partial_batch of method ntta 'x': expected as_is or rescaled"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        methods.make("ntta", tiny.NETS["batch_norm"](), options)
