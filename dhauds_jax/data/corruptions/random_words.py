"""More random words of a clip than the four that every choice starts from."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from dhauds_jax.data.corruptions.base import Numbers

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


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
    blocks = [_threefry(key, counter[0], counter[1] + np.uint32(block)) for block in range(-(-count // 2))]
    return xp.stack([word for block in blocks for word in block][:count], -1)


def _threefry(key: tuple[Numbers, Numbers], x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """One block: 20 rounds, a word of the key and the round's number added after every fourth."""
    schedule = (*key, key[0] ^ key[1] ^ np.uint32(_PARITY))
    x, y = x + schedule[0], y + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x, y
