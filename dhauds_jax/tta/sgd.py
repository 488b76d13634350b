"""SGD with PyTorch's semantics and the reference's schedule, as an optax transform."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from dhauds_jax.errors import BadInput


class ScheduledSGDState(NamedTuple):
    """State of `scheduled_sgd`: updates done, updates in an epoch, momentum buffers."""

    count: Int[Array, ""]
    steps_per_epoch: Int[Array, ""]
    trace: Any


class SGDOptions(NamedTuple):
    """Optimiser and rates of the two-view adaptation and of source training.

    Attributes:
      lr: learning rate of a leaf whose factor is 1.
      backbone: factor on the rate of leaves under "encoder".
      classifier: factor on the rate of leaves under "head".
      cardinality: epochs over which the rate would fall.
      gamma: steepness, rate = lr * (1 + gamma * k / cardinality) ** -0.75.
      threshold: the rate stands still in the last `threshold` epochs of `cardinality`.
      momentum: momentum, dampening 0.
      weight_decay: coupled decay (added to the gradient) on every leaf.
      first_epoch_plain: quirk 4: neither momentum nor decay in epoch 0, and no buffer carried into epoch 1.
      nesterov: False is quirk 3 (the reference's key is misspelt, so Nesterov momentum never acts).
      first_call: k of the scheduler's first call, after the first epoch: 0, or 1 where a counter of batches gives it
        (CoNMix), so that the second epoch's rate has fallen already.
      per_update: the rate falls update by update instead, `lr * (1 + gamma * t) ** -0.75` with t the updates done as a
        share of those of `cardinality` epochs, this one among them (SHOT's code).
    """

    lr: float | Array
    backbone: float = 1.0
    classifier: float = 1.0
    cardinality: int = 50
    gamma: float = 10.0
    threshold: int = 1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    first_epoch_plain: bool = True
    nesterov: bool = False
    first_call: int = 0
    per_update: bool = False


def rate_factor(path: tuple[Any, ...], options: SGDOptions) -> float:
    """Factor on the learning rate of the leaf at a key path of the parameter tree."""
    top = getattr(path[0], "key", None) if path else None
    return options.classifier if top == "head" else options.backbone


def schedule(epoch: Array, options: SGDOptions) -> tuple[Array, Array]:
    """Returns (factor on the learning rate, whether momentum and decay are on) in a 0-based epoch.

    The reference calls its scheduler after each epoch, so epochs 0 and 1 have the full rate (with `first_call` 0), and
    calls beyond `cardinality - threshold` do nothing (quirk 4; lib/lr_utils.py).
    """
    called = jnp.clip(epoch, 0, max(options.cardinality - options.threshold, 0))
    falling = (1 + options.gamma * (called - 1 + options.first_call) / options.cardinality) ** -0.75
    on = called > 0
    return jnp.where(on, falling, 1.0), on if options.first_epoch_plain else jnp.ones_like(on)


def scheduled_sgd(options: SGDOptions, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """SGD as the reference runs it: per-leaf rates, a falling rate per epoch, momentum and coupled decay from epoch 1.

    The epoch is `count // steps_per_epoch`, both kept in the state, so nothing recompiles; `with_steps_per_epoch` sets
    the latter for a run. Source: DHAuDS, lib/lr_utils.py; torch.optim.SGD.
    """

    def init(params: Any) -> ScheduledSGDState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return ScheduledSGDState(jnp.zeros((), jnp.int32), jnp.asarray(steps_per_epoch, jnp.int32), zeros)

    def update(grads: Any, state: ScheduledSGDState, params: Any) -> tuple[Any, ScheduledSGDState]:
        factor, on = schedule(state.count // state.steps_per_epoch, options)
        if options.per_update:
            done = (state.count + 1) / (state.steps_per_epoch * options.cardinality)
            factor = (1 + options.gamma * jnp.minimum(done, 1.0)) ** -0.75
        momentum = jnp.where(on, options.momentum, 0.0)
        decay = jnp.where(on, options.weight_decay, 0.0)
        grads = jax.tree.map(lambda g, p: g + decay * p, grads, params)
        # PyTorch makes the buffer at the first step that has momentum, with the gradient itself: a trace kept at zero
        # until then gives the same, while an accumulated one would carry epoch 0's last gradient over.
        trace = jax.tree.map(lambda g, b: jnp.where(on, momentum * b + g, b), grads, state.trace)
        step = jax.tree.map(lambda g, b: jnp.where(on, g + momentum * b if options.nesterov else b, g), grads, trace)
        updates = jax.tree_util.tree_map_with_path(
            lambda path, d: -options.lr * rate_factor(path, options) * factor * d, step
        )
        return updates, state._replace(count=state.count + 1, trace=trace)

    return optax.GradientTransformation(init, update)


def with_steps_per_epoch(state: ScheduledSGDState, steps: int) -> ScheduledSGDState:
    """The state of a run whose epochs have `steps` updates."""
    if steps < 1:
        raise BadInput(f"steps per epoch is {steps}, expected at least 1")
    return state._replace(steps_per_epoch=jnp.asarray(steps, jnp.int32))
