"""Losses against PyTorch's values and gradients, padding, and the guards at zero."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.tta import losses
from dhauds_jax.tta.methods.dhauds import two_view_losses
from tests.paths import golden, largest_error

GOLDEN = golden("losses")
# js_entropy without the guard epsilon the reference passes would differ; it passes 1e-8 by default.
ONE = {
    "nucnm": losses.nuclear_norm,
    "ent_eps1e-6": partial(losses.entropy, epsilon=1e-6),
    "ent_eps1e-8": partial(losses.entropy, epsilon=1e-8),
    "gent_q0.9": partial(losses.generalised_entropy, q=0.9),
    "gent_q1.1": partial(losses.generalised_entropy, q=1.1),
    "gent_q2": partial(losses.generalised_entropy, q=2.0),
}
TWO = {"mse": losses.consistency, "js": losses.jensen_shannon}
RATES = {"nucnm": 1.0, "ent": 0.5, "gent": 0.5, "q": 1.1, "mse": 0.1, "epsilon": 1e-6}


def reference_total(a, b, weights=None, axis_name=None):
    terms = two_view_losses(a, b, weights, axis_name, **RATES, gent_views="first_twice", partial_batch="as_is")
    return terms["total"]


@pytest.mark.parametrize("batch", ["a", "b"])
@pytest.mark.parametrize("name", ONE)
def test_one_view_losses_match_pytorch(batch, name):
    value, grad = jax.jit(jax.value_and_grad(ONE[name]))(jnp.asarray(GOLDEN[f"{batch}_logits1"]))
    assert largest_error(value, GOLDEN[f"{batch}_{name}"]) < 1e-6
    assert largest_error(grad, GOLDEN[f"{batch}_{name}_grad"]) < 1e-6


@pytest.mark.parametrize("batch", ["a", "b"])
@pytest.mark.parametrize("name", [*TWO, "total_reference"])
def test_two_view_losses_match_pytorch(batch, name):
    loss = {**TWO, "total_reference": reference_total}[name]
    pair = jnp.asarray(GOLDEN[f"{batch}_logits1"]), jnp.asarray(GOLDEN[f"{batch}_logits2"])
    value, (grad1, grad2) = jax.jit(jax.value_and_grad(loss, (0, 1)))(*pair)
    assert largest_error(value, GOLDEN[f"{batch}_{name}"]) < 1e-6
    assert largest_error(grad1, GOLDEN[f"{batch}_{name}_grad1"]) < 1e-6
    assert largest_error(grad2, GOLDEN[f"{batch}_{name}_grad2"]) < 1e-6


def test_smoothed_cross_entropy_matches_pytorch():
    labels = jnp.asarray(GOLDEN["b_labels"], jnp.int32)
    value, grad = jax.jit(jax.value_and_grad(losses.smoothed_cross_entropy))(jnp.asarray(GOLDEN["b_logits1"]), labels)
    assert largest_error(value, GOLDEN["b_smoothce"]) < 1e-6
    assert largest_error(grad, GOLDEN["b_smoothce_grad"]) < 1e-6


@pytest.mark.parametrize("name", [*ONE, *TWO, "total_reference"])
def test_padded_rows_change_neither_loss_nor_gradient(name):
    loss = {**ONE, **TWO, "total_reference": reference_total}[name]
    views = [GOLDEN[f"b_logits{i}"] for i in ((1, 2) if name not in ONE else (1,))]
    real = 60
    weights = (np.arange(70) < real).astype(np.float32)
    # Padded rows that are equal in both views are the ones whose square root has an infinite slope.
    padded = [np.where(weights[:, None] > 0, v, np.float32(3)) for v in views]
    argnums = tuple(range(len(views)))
    of_all = jax.jit(lambda w, *v: jax.value_and_grad(lambda *v: loss(*v, w), argnums)(*v))
    value, grads = of_all(weights, *padded)
    expected, expected_grads = jax.jit(jax.value_and_grad(loss, argnums))(*[v[:real] for v in views])
    assert largest_error(value, expected) < 1e-6
    for grad, wanted in zip(grads, expected_grads, strict=True):
        assert largest_error(np.asarray(grad)[:real], wanted) < 1e-6
        assert np.all(np.asarray(grad)[real:] == 0)


@pytest.mark.parametrize("name", [*ONE, *TWO, "total_reference"])
def test_a_batch_over_devices_gives_the_losses_of_one(name):
    loss = {**ONE, **TWO, "total_reference": reference_total}[name]
    views = [GOLDEN[f"b_logits{i}"] for i in ((1, 2) if name not in ONE else (1,))]
    weights = (np.arange(70) < 66).astype(np.float32)
    split = [v.reshape(5, 14, -1) for v in views]
    over_devices = jax.jit(jax.vmap(lambda w, *v: loss(*v, w, "batch"), axis_name="batch"))
    spread = over_devices(weights.reshape(5, 14), *split)
    assert largest_error(spread, np.full(5, jax.jit(loss)(*views, weights))) < 1e-6


@pytest.mark.parametrize("q", [0.5, 0.9, 1.1, 2.0])
def test_gradients_stay_finite_where_the_reference_gives_nan(q):
    saturated = jnp.asarray([[200.0, 0.0, -200.0], [200.0, 0.0, -200.0]])
    rates = {**RATES, "q": q}

    def total(a, b):
        return two_view_losses(a, b, None, None, **rates, gent_views="both", partial_batch="as_is")["total"]

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(saturated, saturated)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in grads)


def test_generalised_entropy_at_one_is_shannons():
    logits = jnp.asarray(GOLDEN["a_logits1"])
    entropy = jax.jit(losses.generalised_entropy, static_argnames="q")
    near = entropy(logits, q=1.0001)
    assert largest_error(entropy(logits, q=1), near) < 1e-3
    p = np.asarray(jax.nn.softmax(logits))
    assert largest_error(entropy(logits, q=1), -(p * np.log(p)).sum(-1).mean()) < 1e-6


def test_rescaled_partial_batch_has_the_full_batch_norm():
    """Doubling every row of a half-filled batch must not change the rescaled nuclear norm."""
    rows = GOLDEN["a_logits1"]
    full = np.concatenate([rows, rows])
    half = np.concatenate([rows, np.zeros_like(rows)])
    weights = np.repeat(np.float32([1, 0]), 8)

    @partial(jax.jit, static_argnums=2)
    def nuclear_norm(view, weights, partial_batch="rescaled"):
        options = {**RATES, "gent_views": "both", "partial_batch": partial_batch}
        return two_view_losses(view, view, weights, None, **options)["nucnm"]

    a, b = nuclear_norm(full, np.ones(16, np.float32)), nuclear_norm(half, weights)
    assert largest_error(a, b) < 1e-6
    as_is = nuclear_norm(half, weights, "as_is")
    assert largest_error(np.asarray(as_is) * np.sqrt(2), a) < 1e-6


def test_a_second_softmax_over_fifteen_classes_leaves_the_losses_between_two_bounds():
    """Of a certain answer, right and wrong; and of one that is not, which says that nothing is divided by default."""
    logits, labels = jnp.zeros((3, 15)).at[:2, 4].set(100.0).at[2, 4].set(2.0), jnp.array([4, 0, 4])
    found = [float(losses.double_softmax_cross_entropy(logits[i : i + 1], labels[i : i + 1])) for i in range(3)]
    np.testing.assert_allclose(found[:2], [1.910, 2.810], atol=1e-3)
    p = np.exp(2) / (np.exp(2) + 14)
    rest = (1 - p) / 14
    log_p = np.array([p, rest]) - np.log(np.exp(p) + 14 * np.exp(rest))
    expected = -0.9 * log_p[0] - 0.1 * (log_p[0] + 14 * log_p[1]) / 15
    np.testing.assert_allclose(found[2], expected, rtol=1e-6)
