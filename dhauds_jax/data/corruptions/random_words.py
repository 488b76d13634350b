"""More random words of a clip than the four that every choice starts from."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from dhauds_jax.data.corruptions.base import Numbers
from dhauds_jax.threefry import rounds


def words(xp: ModuleType, bits: Numbers, count: int) -> Numbers:
    """`count` words of 32 bits, uint32 (..., count), from four: the same with jax.numpy and with numpy.

    The first two are the key of Threefry-2x32, the others its counter, to which the number of the block is added; more
    words begin with those that fewer have.

    Args:
      xp: jax.numpy or numpy.
      bits: uint32 (..., 4).
      count: how many words are wanted.

    Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3" (20 rounds).
    """
    key, counter = (bits[..., 0], bits[..., 1]), (bits[..., 2], bits[..., 3])
    blocks = [rounds(key, counter[0], counter[1] + np.uint32(block)) for block in range(-(-count // 2))]
    return xp.stack([word for block in blocks for word in block][:count], -1)
