"""The optimisers of source training and what they do with the learning rate."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array

from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd

STAIR = 50
"""Updates between two steps of a warm-up in stairs."""


def warmup_in_stairs(count: Array | int, steps: int) -> Array:
    """Share of the learning rate after `count` updates: it rises every 50 updates, from 0, to 1 at `steps`; 1 for 0.

    Source: SSAST, src/traintest_mask.py and src/traintest.py.
    """
    if not steps:
        return jnp.ones(())
    return jnp.minimum(1.0, (jnp.asarray(count) // STAIR) * STAIR / steps)


def make_optimiser(options: Any, steps_per_epoch: int) -> optax.GradientTransformation:
    """The optimiser of a training run.

    Args:
      options: a `train.request.TrainOptions`.
      steps_per_epoch: updates in one pass.
    """
    if options.optimiser == "adamw":
        rate = optax.warmup_cosine_decay_schedule(
            0.0, options.lr, options.warmup_epochs * steps_per_epoch, options.epochs * steps_per_epoch
        )
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=options.weight_decay)
        )
    if options.optimiser in ("multistep", "adam"):
        fall = optax.piecewise_constant_schedule(
            options.lr, {m * steps_per_epoch: options.decay_factor for m in options.milestones}
        )
        rate = lambda count: fall(count) * warmup_in_stairs(count, options.warmup_steps)  # noqa: E731
        adam = options.optimiser == "adam"
        rule = optax.adam(rate, options.b1, options.b2) if adam else optax.sgd(rate, momentum=options.momentum)
        return optax.chain(optax.add_decayed_weights(options.weight_decay), rule)
    names = set(SGDOptions._fields) & set(options.names())
    return scheduled_sgd(SGDOptions(**{name: getattr(options, name) for name in names}), steps_per_epoch)
