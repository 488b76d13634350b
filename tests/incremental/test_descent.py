"""Descent over rows: a last step in pieces gives what it gives at once, also for many seeds of unequal rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.incremental.descent import Descent, cross_entropy, descend, draw_orders

ROWS, CLASSES, EPOCHS = 17, 3, 4
DRAW = np.random.default_rng(0)
X, Y = DRAW.normal(size=(ROWS, 4)).astype(np.float32), DRAW.integers(CLASSES, size=ROWS).astype(np.int32)
HOW = Descent(lr=0.1, momentum=0.9, decay=1e-2, batch=6, drops=(2,), drop=0.5)


def fallen(weights, key, piece):
    orders = draw_orders(key, jnp.arange(ROWS, dtype=jnp.int32), weights, EPOCHS)

    def loss(params, batch, real):
        value = cross_entropy(jnp.matmul(jnp.asarray(X)[batch], params), jnp.asarray(Y)[batch], real)
        return value, {"loss": value}

    return (*descend(loss, jnp.zeros((4, CLASSES)), orders, weights, HOW._replace(piece=piece), EPOCHS), orders)


def weights_of(rows):
    return jnp.asarray(np.arange(ROWS) % 2 * (rows < 9) + (rows >= 9) * (np.arange(ROWS) < rows), jnp.float32)


def by_hand(rows):
    """Float64, PyTorch's rule, the batches as they are."""
    weights = weights_of(rows)
    orders = np.asarray(fallen(weights, jax.random.key(rows), 0)[2])
    count, w, trace, x, last = int(weights.sum()), np.zeros((4, CLASSES)), np.zeros((4, CLASSES)), np.float64(X), []
    for epoch in range(EPOCHS):
        last = []
        for first in range(0, count, HOW.batch):
            batch = orders[epoch, first : min(first + HOW.batch, count)]
            shares = np.exp(x[batch] @ w)
            shares /= shares.sum(1, keepdims=True)
            last.append(-np.log(shares[np.arange(len(batch)), Y[batch]]).mean())
            grad = x[batch].T @ (shares - np.eye(CLASSES)[Y[batch]]) / len(batch)
            trace = 0.9 * trace + grad + 0.01 * w
            w = w - 0.1 * (0.5 if epoch >= 2 else 1.0) * trace
    return w, np.mean(last)


@pytest.mark.parametrize("rows", [8, 12, 13, 16, 17])
def test_a_last_step_in_pieces_is_the_same_step(rows):
    """8 of 17 rows that lie apart; a last step of 2, 6, 1, 4 and 5 rows of 6, in pieces of 2."""
    wanted, loss = by_hand(rows)
    for piece in (0, 2):
        made, told, _ = jax.jit(fallen, static_argnums=2)(weights_of(rows), jax.random.key(rows), piece)
        np.testing.assert_allclose(made, wanted, rtol=0, atol=2e-6)
        np.testing.assert_allclose(told["loss"], loss, rtol=0, atol=2e-6)


def test_seeds_with_fewer_rows_are_as_they_are_alone():
    counts = (8, 13, 17)
    keys = [jax.random.key(rows) for rows in counts]
    many = jax.vmap(functools.partial(fallen, piece=2))
    weights = jnp.stack([weights_of(rows) for rows in counts])
    made, told, _ = jax.jit(many)(weights, jnp.stack(keys))
    for place, rows in enumerate(counts):
        wanted, loss = by_hand(rows)
        np.testing.assert_allclose(made[place], wanted, rtol=0, atol=2e-6)
        np.testing.assert_allclose(told["loss"][place], loss, rtol=0, atol=2e-6)
    # The choice between the whole step and its pieces stays one, else both would be computed.
    assert "stablehlo.case" in jax.jit(many).lower(weights, jnp.stack(keys)).as_text()


def test_no_row_and_no_epoch_change_nothing():
    made, told, _ = jax.jit(fallen, static_argnums=2)(jnp.zeros(ROWS), jax.random.key(0), 2)
    assert not np.asarray(made).any() and told["loss"] == 0
