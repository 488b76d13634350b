"""Clips that a session holds: in half the memory where that changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from dhauds_jax.tta.feeding import as_int16

NOT_FINITE = "not_finite"
"""Why a clip is not learnt from of which the source model makes no finite numbers, beside `filters.KINDS`."""


class Clip(NamedTuple):
    """A clip that a session learns from: int16 where that is exact, its number, the source's probabilities if asked."""

    wave: np.ndarray
    number: int
    source: np.ndarray | None


def exactly(wave: Float[np.ndarray, " time"]) -> np.ndarray:
    """A copy of a wave: int16 where not a bit is lost, else float32."""
    with np.errstate(over="ignore"):  # a sample that loud is no 16-bit one
        whole = as_int16(wave[None])
    return np.array(wave if whole is None else whole[0])


def unanswered(
    waves: Float[np.ndarray, "rows time"],
    answers: Float[np.ndarray, "rows columns"],
    sources: Float[np.ndarray, "rows classes"] | None,
    source: Callable[[np.ndarray], np.ndarray],
) -> Bool[np.ndarray, " rows"]:
    """Which clips the source model itself has no finite answer to: each would have all verdicts on it refused.

    Where the session alone has none, its weights are at fault, and the clip is what shows it.

    Args:
      waves: (rows, time).
      answers: (rows, columns) of the session.
      sources: (rows, classes) of the source model; None where it was not asked.
      source: what it says of waves; called where it was not asked and the session has no finite answer.
    """
    if sources is not None:
        return ~np.isfinite(sources).all(-1)
    found = ~np.isfinite(answers).all(-1)
    if found.any():
        found[found] = ~np.isfinite(source(waves[found])).all(-1)
    return found


def waves_of(clips: Sequence[Clip]) -> Float[np.ndarray, "clips time"]:
    """Clips as float32; 16-bit samples times a power of two, which is exact."""
    return np.stack([c.wave if c.wave.dtype == np.float32 else c.wave * np.float32(2**-15) for c in clips])


def in_16_bit(clip: Clip) -> Clip:
    """A clip that is only judged by from now on: rounded to 16 bit, half the memory, unless it is beyond full scale."""
    if clip.wave.dtype == np.int16 or np.abs(clip.wave).max() >= 1:
        return clip
    return clip._replace(wave=np.rint(clip.wave * np.float32(2**15)).clip(max=2**15 - 1).astype(np.int16))
