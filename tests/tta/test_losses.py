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
    value, grad = jax.value_and_grad(ONE[name])(jnp.asarray(GOLDEN[f"{batch}_logits1"]))
    assert largest_error(value, GOLDEN[f"{batch}_{name}"]) < 1e-6
    assert largest_error(grad, GOLDEN[f"{batch}_{name}_grad"]) < 1e-6


@pytest.mark.parametrize("batch", ["a", "b"])
@pytest.mark.parametrize("name", [*TWO, "total_reference"])
def test_two_view_losses_match_pytorch(batch, name):
    loss = {**TWO, "total_reference": reference_total}[name]
    pair = jnp.asarray(GOLDEN[f"{batch}_logits1"]), jnp.asarray(GOLDEN[f"{batch}_logits2"])
    value, (grad1, grad2) = jax.value_and_grad(loss, (0, 1))(*pair)
    assert largest_error(value, GOLDEN[f"{batch}_{name}"]) < 1e-6
    assert largest_error(grad1, GOLDEN[f"{batch}_{name}_grad1"]) < 1e-6
    assert largest_error(grad2, GOLDEN[f"{batch}_{name}_grad2"]) < 1e-6


def test_smoothed_cross_entropy_matches_pytorch():
    labels = jnp.asarray(GOLDEN["b_labels"], jnp.int32)
    value, grad = jax.value_and_grad(losses.smoothed_cross_entropy)(jnp.asarray(GOLDEN["b_logits1"]), labels)
    assert largest_error(value, GOLDEN["b_smoothce"]) < 1e-6
    assert largest_error(grad, GOLDEN["b_smoothce_grad"]) < 1e-6


@pytest.mark.parametrize("name", [*ONE, *TWO, "total_reference"])
def test_padded_rows_change_neither_loss_nor_gradient(name):
    loss = {**ONE, **TWO, "total_reference": reference_total}[name]
    views = [jnp.asarray(GOLDEN[f"b_logits{i}"]) for i in ((1, 2) if name not in ONE else (1,))]
    real = 60
    weights = (jnp.arange(70) < real).astype(jnp.float32)
    # Padded rows that are equal in both views are the ones whose square root has an infinite slope.
    padded = [v.at[real:].set(3.0) for v in views]
    argnums = tuple(range(len(views)))
    value, grads = jax.value_and_grad(lambda *v: loss(*v, weights), argnums)(*padded)
    expected, expected_grads = jax.value_and_grad(loss, argnums)(*[v[:real] for v in views])
    assert largest_error(value, expected) < 1e-6
    for grad, wanted in zip(grads, expected_grads, strict=True):
        assert largest_error(grad[:real], wanted) < 1e-6
        assert np.all(np.asarray(grad[real:]) == 0)


@pytest.mark.parametrize("name", [*ONE, *TWO, "total_reference"])
def test_a_batch_over_devices_gives_the_losses_of_one(name):
    loss = {**ONE, **TWO, "total_reference": reference_total}[name]
    views = [jnp.asarray(GOLDEN[f"b_logits{i}"]) for i in ((1, 2) if name not in ONE else (1,))]
    weights = (jnp.arange(70) < 66).astype(jnp.float32)
    split = [v.reshape(5, 14, -1) for v in views]
    spread = jax.vmap(lambda w, *v: loss(*v, w, "batch"), axis_name="batch")(weights.reshape(5, 14), *split)
    assert largest_error(spread, np.full(5, loss(*views, weights))) < 1e-6


@pytest.mark.parametrize("q", [0.5, 0.9, 1.1, 2.0])
def test_gradients_stay_finite_where_the_reference_gives_nan(q):
    saturated = jnp.asarray([[200.0, 0.0, -200.0], [200.0, 0.0, -200.0]])
    rates = {**RATES, "q": q}

    def total(a, b):
        return two_view_losses(a, b, None, None, **rates, gent_views="both", partial_batch="as_is")["total"]

    value, grads = jax.value_and_grad(total, (0, 1))(saturated, saturated)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in grads)


def test_generalised_entropy_at_one_is_shannons():
    logits = jnp.asarray(GOLDEN["a_logits1"])
    near = losses.generalised_entropy(logits, q=1.0001)
    assert largest_error(losses.generalised_entropy(logits, q=1), near) < 1e-3
    p = jax.nn.softmax(logits)
    assert largest_error(losses.generalised_entropy(logits, q=1), -(p * jnp.log(p)).sum(-1).mean()) < 1e-6


def test_rescaled_partial_batch_has_the_full_batch_norm():
    """Doubling every row of a half-filled batch must not change the rescaled nuclear norm."""
    rows = jnp.asarray(GOLDEN["a_logits1"])
    options = {**RATES, "gent_views": "both", "partial_batch": "rescaled"}
    full = jnp.concatenate([rows, rows])
    half = jnp.concatenate([rows, jnp.zeros_like(rows)])
    weights = jnp.concatenate([jnp.ones(8), jnp.zeros(8)])
    a = two_view_losses(full, full, jnp.ones(16), None, **options)["nucnm"]
    b = two_view_losses(half, half, weights, None, **options)["nucnm"]
    assert largest_error(a, b) < 1e-6
    as_is = two_view_losses(half, half, weights, None, **{**options, "partial_batch": "as_is"})["nucnm"]
    assert largest_error(as_is * np.sqrt(2), a) < 1e-6
