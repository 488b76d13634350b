"""The optimisers of source training and what they do with the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd
from dhauds_jax.tta.sgd import schedule as sgd_schedule

STAIR = 50
"""Updates between two steps of a warm-up in stairs."""

FALL_OVER_EPOCHS = ("adamw",)
"""Optimisers whose rate depends on how many epochs there are: such a run is not the beginning of a longer one."""


def warmup_in_stairs(count: Array | int, steps: int) -> Array:
    """Share of the learning rate after `count` updates: it rises every 50 updates, from 0, to 1 at `steps`; 1 for 0.

    Source: SSAST, src/traintest_mask.py and src/traintest.py.
    """
    if not steps:
        return jnp.ones(())
    return jnp.minimum(1.0, (jnp.asarray(count) // STAIR) * STAIR / steps)


def _sgd_options(options: Any) -> SGDOptions:
    names = set(SGDOptions._fields) & set(options.names())
    return SGDOptions(**{name: getattr(options, name) for name in names})


def _schedule(options: Any, steps_per_epoch: int) -> Callable[[Array | int], Array]:
    """Updates done -> the rate of the next one, of the optimisers of optax."""
    if options.optimiser == "adamw":
        return optax.warmup_cosine_decay_schedule(
            0.0, options.lr, options.warmup_epochs * steps_per_epoch, options.epochs * steps_per_epoch
        )
    fall = optax.piecewise_constant_schedule(
        options.lr, {m * steps_per_epoch: options.decay_factor for m in options.milestones}
    )
    return lambda count: fall(count) * warmup_in_stairs(count, options.warmup_steps)


def learning_rate(options: Any, steps_per_epoch: int) -> Callable[[int], float]:
    """Updates done -> the rate of the next one (of leaves whose factor is 1), of the optimiser of `make_optimiser`."""
    if options.optimiser != "sgd":
        rate = _schedule(options, steps_per_epoch)
        return lambda count: float(rate(count))

    def rate_of_epoch(count: int) -> float:
        factor, _ = sgd_schedule(jnp.asarray(count // steps_per_epoch), _sgd_options(options))
        return options.lr * float(factor)

    return rate_of_epoch


def make_optimiser(options: Any, steps_per_epoch: int) -> optax.GradientTransformation:
    """The optimiser of a training run.

    Args:
      options: a `train.request.TrainOptions`.
      steps_per_epoch: updates in one pass.
    """
    if options.optimiser == "sgd":
        return scheduled_sgd(_sgd_options(options), steps_per_epoch)
    rate = _schedule(options, steps_per_epoch)
    if options.optimiser == "adamw":
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=options.weight_decay)
        )
    adam = options.optimiser == "adam"
    rule = optax.adam(rate, options.b1, options.b2) if adam else optax.sgd(rate, momentum=options.momentum)
    return optax.chain(optax.add_decayed_weights(options.weight_decay), rule)
