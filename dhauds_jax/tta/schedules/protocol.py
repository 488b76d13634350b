"""What a protocol is, and the pieces that several share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, runtime_checkable
from typing import Protocol as Typed

import numpy as np
from jaxtyping import PRNGKeyArray

from dhauds_jax.tta import streams

ORDERS = ("predict_first", "adapt_first")
"""Values of the option `order`."""

STREAM_OPTIONS: Mapping[str, Any] = MappingProxyType({"reset": "none", "order": ORDERS[0]})
"""Options of all streams: the reset rule (`tta.wrappers.with_reset`) and the order of prediction and update."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Range(NamedTuple):
    """The values that an option may have: numbers above `lowest`, itself `included` or not."""

    lowest: float
    included: bool = True

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range; NaN lies in none."""
        return value >= self.lowest if self.included else value > self.lowest

    def __str__(self) -> str:
        return f"a number {'from' if self.included else 'above'} {self.lowest:g}{' on' if self.included else ''}"


@runtime_checkable
class StreamOf(Typed):
    """The order of a stream from its key, the clips and domains stacked in the set, the clips' labels, the options.

    A pure function: the same arguments give the same order anywhere. Labels may decide the order; no method sees them.
    """

    def __call__(
        self, key: PRNGKeyArray, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any], /
    ) -> streams.Stream: ...


def one_after_the_other(
    key: PRNGKeyArray, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any]
) -> streams.Stream:
    """Domain after domain, each in random order (`streams.continual`); one domain is a shuffled set."""
    return streams.continual(key, clips, domains)


class Protocol(NamedTuple):
    """A protocol as data.

    Attributes:
      summary: one line.
      domains: "one" (a corruption at a level), "several" (all corruptions of the run, one after the other or mixed) or
        "levels" (one corruption, its levels as they grow and fall).
      options: names with defaults.
      epochs: whether the set is passed several times.
      alone: whether clips are predicted one by one and adapted to when a buffer of a batch is full.
      clean: whether the clean set is evaluated on the way.
      stream: the order of a one-pass protocol; those with `epochs` have none of their own.
      ranges: option -> the values that it may have.
    """

    summary: str
    domains: str = "one"
    options: Mapping[str, Any] = _NOTHING
    epochs: bool = False
    alone: bool = False
    clean: bool = False
    stream: StreamOf = one_after_the_other
    ranges: Mapping[str, Range] = _NOTHING
