"""Laying clips out in rows of one length, on the host."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def raw_clip(row: Float[np.ndarray, " width"], length: int) -> Float[np.ndarray, " time"]:
    """The `length` samples that were centred in a row (half of the padding, rounded down, before them)."""
    head = (len(row) - length) // 2
    return row[head : head + length]


def lay_out(wave: Float[np.ndarray, " time"], length: int, share: float = -1.0) -> Float[np.ndarray, " {length}"]:
    """Puts a shorter clip into `length` samples of silence; keeps the head of a longer one.

    Args:
      wave: (time,) samples.
      length: samples of the result.
      share: 0 to below 1 puts `int(share * (missing + 1))` of the missing samples before the clip; below 0, half of
        them, rounded down.
    """
    out = np.zeros(length, np.float32)
    missing = max(0, length - len(wave))
    head = missing // 2 if share < 0 else int(share * (missing + 1))
    out[head : head + len(wave)] = wave[:length]
    return out
