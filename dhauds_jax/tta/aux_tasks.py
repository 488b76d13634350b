"""The auxiliary task of test-time training on sounds: which way was the clip shifted in time?"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.dsp.views import roll

TIME_SHIFTS = ("none", "left", "right")
"""Classes of the task, in the order of the auxiliary head's logits."""

SHIFT = 0.2625
"""Shift of TTA-in-AC, as a share of the clip."""


def time_shifted(
    wave: Float[Array, "batch time"], labels: Int[Array, " batch"], shift: float = SHIFT
) -> Float[Array, "batch time"]:
    """Rolls each clip circularly by its label: 0 not at all, 1 left and 2 right by `int(shift time)` samples.

    Args:
      wave: (batch, time) samples.
      labels: (batch,) of `TIME_SHIFTS`.
      shift: as a share of the clip; always this much, unlike the random shifts of training views.

    Source: TTA-in-AC, ttt/lib/time_shift_rotation.py.
    """
    by = int(shift * wave.shape[-1])
    return roll(wave, jnp.asarray([0, -by, by])[labels])


def random_labels(key: PRNGKeyArray, index: Int[Array, " batch"], count: int) -> Int[Array, "batch {count}"]:
    """`count` labels for each clip, each class equally likely, from `fold_in(key, index[row])`.

    Args:
      key: random key.
      index: (batch,) position of each clip in its set.
      count: labels wanted of each clip.
    """
    draw = lambda i: jax.random.randint(jax.random.fold_in(key, i), (count,), 0, len(TIME_SHIFTS))  # noqa: E731
    return jax.vmap(draw)(index)
