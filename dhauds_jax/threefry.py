"""Threefry-2x32, the random bits of JAX, for arrays of counters: the same with jax.numpy and with numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def rounds(key: tuple[Any, Any], x: Any, y: Any) -> tuple[Any, Any]:
    """Both words of one block: 20 rounds, a word of the key and the round's number added after every fourth.

    Args:
      key: two words of uint32, or arrays of them.
      x: the counter's first word, uint32 arrays that broadcast with the key.
      y: its second word.

    Source: Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    schedule = (*key, key[0] ^ key[1] ^ _PARITY)
    x, y = x + schedule[0], y + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = ((y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x, y
