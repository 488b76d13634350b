"""Augmented copies of clips for methods that compare views: circular shift, gain and a little noise.

The published methods were for images (flips, crops, colours); these are the changes that leave a sound's class alone.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.dsp.views import random_roll
from dhauds_jax.errors import BadInput


class Augmentation(NamedTuple):
    """How far a copy may go from its clip.

    Attributes:
      shift: largest circular shift either way, as a share of the clip, 0 to 1.
      gain_db: largest gain or loss in dB.
      noise: standard deviation of the Gaussian noise as a share of the clip's root mean square.
    """

    shift: float
    gain_db: float
    noise: float


def checked(name: str, augmentation: Augmentation) -> Augmentation:
    """The augmentation itself; `BadInput` that names the method and the option when a value is impossible."""
    if not 0.0 <= augmentation.shift <= 1.0:
        raise BadInput(f"{name}: shift is {augmentation.shift}, expected a share of the clip from 0 to 1")
    for option in ("gain_db", "noise"):
        if getattr(augmentation, option) < 0:
            raise BadInput(f"{name}: {option} is {getattr(augmentation, option)}, expected a number from 0 on")
    return augmentation


def augmented(
    key: PRNGKeyArray, wave: Float[Array, "batch time"], index: Int[Array, " batch"], augmentation: Augmentation
) -> Float[Array, "batch time"]:
    """One copy of each clip: `10^(g/20) roll(x, s) + noise rms(x) n`.

    g of U(-gain_db, gain_db), s of U(-shift, shift) times the clip's length, n of N(0, 1) a sample, all drawn from
    `fold_in(key, index[row])`, so that neither the size nor the order of a batch changes a copy.

    Args:
      key: random key.
      wave: (batch, time) samples.
      index: (batch,) position of each clip in its set.
      augmentation: how far a copy may go; parts at 0 are not computed.
    """
    shift_key, gain_key, noise_key = jax.random.split(key, 3)

    def drawn(part: Array, draw: object, shape: tuple[int, ...]) -> Array:
        return jax.vmap(lambda i: draw(jax.random.fold_in(part, i), shape, wave.dtype))(index)

    copy = random_roll(shift_key, wave, index, augmentation.shift) if augmentation.shift > 0 else wave
    if augmentation.gain_db > 0:
        gain = augmentation.gain_db * (2 * drawn(gain_key, jax.random.uniform, (1,)) - 1)
        copy = copy * 10.0 ** (gain / 20)
    if augmentation.noise > 0:
        rms = jnp.sqrt(jnp.mean(jnp.square(wave), -1, keepdims=True))
        copy = copy + augmentation.noise * rms * drawn(noise_key, jax.random.normal, wave.shape[1:])
    return copy


def augmented_copies(
    key: PRNGKeyArray,
    wave: Float[Array, "batch time"],
    index: Int[Array, " batch"],
    augmentation: Augmentation,
    copies: int,
) -> Float[Array, "{copies} batch time"]:
    """`copies` independent `augmented` copies of each clip."""
    return jax.vmap(lambda k: augmented(k, wave, index, augmentation))(jax.random.split(key, copies))
