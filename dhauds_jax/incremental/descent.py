"""Stochastic gradient descent over the rows of a session, as PyTorch runs it, in one loop of a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

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
      piece: where it is above 0, an epoch's last step is computed in so many pieces of so many rows as it has rows
        for; at 0 it is computed as if it were full. The same numbers but for the order of sums.
    """

    lr: float = 1e-3
    momentum: float = 0.9
    decay: float = 2e-4
    batch: int = 25
    drops: tuple[int, ...] = (80,)
    drop: float = 0.1
    piece: int = 0


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
    own = (weights > 0).sum()
    count, most = _largest(own), _largest(jnp.asarray(epochs))
    steps = (count + size - 1) // size
    padded = jnp.pad(orders, [(0, 0), (0, -rows % size)])
    like = jax.eval_shape(lambda p: loss(p, jnp.arange(size), jnp.ones(size, jnp.float32))[1], params)
    nothing = {name: jnp.zeros((), jnp.float32) for name in like}
    slopes_of = _slopes(loss, padded, weights, size, descent.piece if 0 < 2 * descent.piece <= size else 0)

    def move(epoch: Array, first: Array, carry: _Carry) -> _Carry:
        params, trace, told = carry
        grads, said = slopes_of(params, epoch, first, count, own)
        rate = descent.lr * descent.drop ** sum((epoch >= drop).astype(jnp.float32) for drop in descent.drops)
        trace = jax.tree.map(lambda m, g, p: descent.momentum * m + g + descent.decay * p, trace, grads, params)
        params = jax.tree.map(lambda p, m: (p - rate * m).astype(p.dtype), params, trace)
        last = (epoch == epochs - 1) / ((own + size - 1) // size)
        told = {name: told[name] + (last * said[name]).astype(jnp.float32) for name in told}
        return params, trace, told

    def step(i: Array, carry: _Carry) -> _Carry:
        epoch, first = i // steps, (i % steps) * size
        return _where_there((first < own) & (epoch < epochs), move(epoch, first, carry), carry)

    zeros = jax.tree.map(jnp.zeros_like, params)
    params, _, told = jax.lax.fori_loop(0, most * steps, step, (params, zeros, nothing))
    return params, told


_Carry = tuple[Any, Any, dict[str, Array]]
"""Parameters, momentum, and what the last epoch has told so far."""


@jax.custom_batching.custom_vmap
def _largest(count: Int[Array, ""]) -> Int[Array, ""]:
    """The number itself; of many seeds at once the largest one, so that loops and choices by it stay what they are."""
    return count


@_largest.def_vmap
def _largest_of_all(size: int, mapped: Any, count: Array) -> tuple[Array, bool]:
    return (count.max() if mapped[0] else count), False


@jax.custom_batching.custom_vmap
def _where_there(there: Bool[Array, ""], moved: _Carry, before: _Carry) -> _Carry:
    """What a step gives; of many seeds at once what was before for those that have no such step."""
    return moved


@_where_there.def_vmap
def _where_each_there(size: int, mapped: Any, there: Array, moved: _Carry, before: _Carry) -> tuple[_Carry, Any]:
    if not mapped[0]:
        return moved, mapped[1]

    def chosen(new: Array, old: Array, new_mapped: bool, old_mapped: bool) -> Array:
        new, old = (leaf if own else leaf[None] for leaf, own in ((new, new_mapped), (old, old_mapped)))
        return jnp.where(there.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return jax.tree.map(chosen, moved, before, *mapped[1:]), jax.tree.map(lambda leaf: True, moved)


def _slopes(
    loss: Loss, padded: Int[Array, "epochs places"], weights: Float[Array, " rows"], size: int, piece: int
) -> Callable[..., tuple[Any, dict[str, Array]]]:
    """`(params, epoch, first row, rows of an epoch, those of this seed) -> (gradients, what the loss tells)`."""

    def of(params: Any, epoch: Array, first: Array, rows: int) -> tuple[Any, Mapping[str, Array], Array]:
        batch = jax.lax.dynamic_slice(padded, (epoch, first), (1, rows))[0]
        real = weights[batch] * (first + jnp.arange(rows) < len(weights))
        grads, said = jax.grad(loss, has_aux=True)(params, batch, real)
        return grads, {name: value.astype(jnp.float32) for name, value in said.items()}, real.sum()

    def at_once(params: Any, epoch: Array, first: Array, count: Array, own: Array) -> tuple[Any, dict[str, Array]]:
        return of(params, epoch, first, size)[:2]

    def in_pieces(params: Any, epoch: Array, first: Array, count: Array, own: Array) -> tuple[Any, dict[str, Array]]:
        whole = jnp.clip(own - first, 1, size)

        def add(i: Array, total: Any) -> Any:
            grads, said, rows = of(params, epoch, first + i * piece, piece)
            return jax.tree.map(lambda a, b: a + rows / whole * b, total, (grads, said))

        like = jax.eval_shape(lambda p: of(p, epoch, first, piece)[:2], params)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
        return jax.lax.fori_loop(0, (count - first + piece - 1) // piece, add, zeros)

    if not piece:
        return at_once
    return lambda params, epoch, first, count, own: jax.lax.cond(
        count - first > size - piece, at_once, in_pieces, params, epoch, first, count, own
    )


def cross_entropy(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"], weights: Float[Array, " batch"]
) -> Float[Array, ""]:
    """The mean over rows of weight 1; classes of logit -inf are none."""
    known = jnp.isfinite(logits)
    safe = jnp.where(known, logits, -1e30)
    losses = -jnp.take_along_axis(jax.nn.log_softmax(safe, -1), labels[:, None], 1)[:, 0]
    return (jnp.where(weights > 0, losses, 0.0)).sum() / jnp.maximum(weights.sum(), 1)
