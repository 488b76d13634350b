"""Stochastic gradient descent over the rows of a session, as PyTorch runs it, in one loop of a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Loss = Callable[[Any, Int[Array, " batch"], Float[Array, " batch"]], tuple[Array, Mapping[str, Array]]]
"""`(params, rows, weights) -> (what falls, scalars to tell)`; rows of weight 0 count nothing."""


class Descent(NamedTuple):
    """`g += decay p; m = momentum m + g; p -= rate m`, without dampening or Nesterov, decay on every parameter.

    Attributes:
      lr: rate of the first epochs.
      momentum: of the buffer, which starts as the first gradient.
      decay: of the weights, inside the momentum.
      batch: rows of a step; an epoch's last step has what is left.
      drops: epochs (from 0) from which on the rate is multiplied once more by `drop`.
      drop: see there.
    """

    lr: float = 1e-3
    momentum: float = 0.9
    decay: float = 2e-4
    batch: int = 25
    drops: tuple[int, ...] = (80,)
    drop: float = 0.1


def draw_orders(
    key: Array, ids: Int[Array, " rows"], weights: Float[Array, " rows"], epochs: int
) -> Int[Array, "epochs rows"]:
    """Of each epoch a random order of the rows, those of weight 0 last; drawn by the rows' ids, wherever they stand."""
    drawn = jax.vmap(lambda own: jax.random.uniform(jax.random.fold_in(key, own), (epochs,), jnp.float32))(ids)
    return jnp.argsort(drawn.T + 2.0 * (weights <= 0)[None].astype(jnp.float32), axis=1).astype(jnp.int32)


def descend(
    loss: Loss,
    params: Any,
    orders: Int[Array, "epochs rows"],
    weights: Float[Array, " rows"],
    descent: Descent,
    epochs: int | Int[Array, ""],
) -> tuple[Any, dict[str, Array]]:
    """Parameters after `epochs` epochs, and what the loss told, the mean over the steps of the last one (0 for none).

    Args:
      loss: of a batch.
      params: to start from, float32.
      orders: of each epoch, rows of weight 0 last; there may be more epochs than are run.
      weights: (rows,) 1 or 0; batches without a row are left out.
      descent: how.
      epochs: to run; an array where it is not known beforehand, at most as many as there are orders.
    """
    rows = orders.shape[1]
    size = min(descent.batch, rows)
    steps = ((weights > 0).sum() + size - 1) // size
    padded = jnp.pad(orders, [(0, 0), (0, -rows % size)])
    places = jnp.arange(size)
    like = jax.eval_shape(lambda p: loss(p, places, jnp.ones(size, jnp.float32))[1], params)
    nothing = {name: jnp.zeros((), jnp.float32) for name in like}

    def step(i: Array, carry: tuple[Any, Any, dict[str, Array]]) -> tuple[Any, Any, dict[str, Array]]:
        params, trace, told = carry
        epoch, first = i // steps, (i % steps) * size
        batch = jax.lax.dynamic_slice(padded, (epoch, first), (1, size))[0]
        real = weights[batch] * (first + places < rows)
        grads, said = jax.grad(loss, has_aux=True)(params, batch, real)
        rate = descent.lr * descent.drop ** sum((epoch >= drop).astype(jnp.float32) for drop in descent.drops)
        trace = jax.tree.map(lambda m, g, p: descent.momentum * m + g + descent.decay * p, trace, grads, params)
        params = jax.tree.map(lambda p, m: (p - rate * m).astype(p.dtype), params, trace)
        last = (epoch == epochs - 1) / steps
        told = {name: told[name] + (last * said[name]).astype(jnp.float32) for name in told}
        return params, trace, told

    zeros = jax.tree.map(jnp.zeros_like, params)
    params, _, told = jax.lax.fori_loop(0, epochs * steps, step, (params, zeros, nothing))
    return params, told


def cross_entropy(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"], weights: Float[Array, " batch"]
) -> Float[Array, ""]:
    """The mean over rows of weight 1; classes of logit -inf are none."""
    known = jnp.isfinite(logits)
    safe = jnp.where(known, logits, -1e30)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(safe, -1), labels[:, None], 1)[:, 0]
    return (jnp.where(weights > 0, losses, 0.0)).sum() / jnp.maximum(weights.sum(), 1)
