"""Which clips of a session are predicted but not learnt from: silent, clipped, repeated ones, and too many at once.

Nobody can make a session forget its source by sending the same bytes again and again, or a thousand in a second.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.errors import check_number

KINDS = ("silent", "clipped", "repeated", "too_many")
"""Why a clip is not learnt from, in the order in which it is asked."""

FULL_SCALE = 0.999
"""Samples from here on count as clipped (1 is full scale)."""


class Filters(NamedTuple):
    """Which clips are not learnt from.

    Attributes:
      silent_dbfs: level (RMS, in dB of full scale) below which a clip is silent; quiet animals in water have -62.
      clipped: share of samples at full scale from which on a clip is clipped.
      remembered: clips of a session that are remembered to know a repeated one by; 0 for none.
      per_minute: clips that a session learns from in a minute, as many of them at once.
    """

    silent_dbfs: float = -70.0
    clipped: float = 0.01
    remembered: int = 1024
    per_minute: float = 240.0


NONE = Filters(-np.inf, np.inf, 0, np.inf)
"""Every clip is learnt from."""


def check(filters: Filters) -> None:
    """Raises `BadInput` for a rate that is not above 0, or a number of remembered clips below 0."""
    check_number("remembered", filters.remembered, 0)
    if filters.per_minute != np.inf:
        check_number("per_minute", filters.per_minute, 1.0)


def level_dbfs(wave: Float[np.ndarray, " time"]) -> float:
    """Level of a clip in dB of full scale, -inf for digital silence; its mean, which nobody hears, left out."""
    power = float(np.var(wave, dtype=np.float64))
    return 10 * float(np.log10(power)) if power > 0 else -np.inf


def clipped_share(wave: Float[np.ndarray, " time"]) -> float:
    """Share of samples at full scale."""
    return float(np.mean(np.abs(wave) >= FULL_SCALE))


class Sieve:
    """The filters of one session, with what they remember of it.

    Args:
      filters: which clips are left out.
    """

    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._left, self._at = filters.per_minute, -np.inf

    def fault(self, wave: Float[np.ndarray, " time"], now: float) -> str:
        """Why the next clip is not learnt from, of `KINDS`; "" where it is.

        Args:
          wave: (time,), full scale 1.
          now: seconds of any clock that does not go back.
        """
        if level_dbfs(wave) < self.filters.silent_dbfs:
            return "silent"
        if clipped_share(wave) >= self.filters.clipped:
            return "clipped"
        digest = (
            hashlib.blake2b(np.ascontiguousarray(wave), digest_size=16).digest() if self.filters.remembered else b""
        )
        if digest in self._seen:
            self._seen.move_to_end(digest)
            return "repeated"
        if not self._allowed(now):
            return "too_many"  # and not remembered: it may be sent again, to be learnt from
        if digest:
            self._remember(digest)
        return ""

    def _remember(self, digest: bytes) -> None:
        self._seen[digest] = None
        if len(self._seen) > self.filters.remembered:
            self._seen.popitem(last=False)

    def _allowed(self, now: float) -> bool:
        """Takes one of what is left in this minute: it grows with time, up to the whole."""
        rate = self.filters.per_minute
        if rate == np.inf:
            return True
        passed = min(now - self._at, 60.0)
        self._left, self._at = min(rate, self._left + passed * rate / 60), now
        if self._left < 1:
            return False
        self._left -= 1
        return True
