"""Laying clips out in rows of one length, on the host."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def raw_clip(row: Float[np.ndarray, " width"], length: int) -> Float[np.ndarray, " time"]:
    """The `length` samples that were centred in a row (half of the padding, rounded down, before them)."""
    head = (len(row) - length) // 2
    return row[head : head + length]


def lay_out(wave: Float[np.ndarray, " time"], length: int) -> Float[np.ndarray, " {length}"]:
    """Centres a shorter clip in `length` samples of silence; keeps the head of a longer one."""
    out = np.zeros(length, np.float32)
    head = max(0, length - len(wave)) // 2
    out[head : head + len(wave)] = wave[:length]
    return out
