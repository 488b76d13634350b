"""Clips in rows of one length, on the host."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from dhauds_jax.dsp.clip_layout import lay_out

__all__ = ["lay_out", "raw_clip"]


def raw_clip(row: Float[np.ndarray, " width"], length: int) -> Float[np.ndarray, " time"]:
    """The `length` samples that were centred in a row (half of the padding, rounded down, before them)."""
    head = (len(row) - length) // 2
    return row[head : head + length]
