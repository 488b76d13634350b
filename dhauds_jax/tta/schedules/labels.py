"""One pass in an order, or over a part of the set, that depends on the clips' classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from dhauds_jax.tta import streams
from dhauds_jax.tta.schedules.protocol import STREAM_OPTIONS, Protocol, Range


def _correlated(
    key: PRNGKeyArray, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any]
) -> streams.Stream:
    return streams.correlated(key, labels, options["concentration"])


def _label_shift(
    key: PRNGKeyArray, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any]
) -> streams.Stream:
    return streams.label_shift(key, labels, options["imbalance"])


CORRELATED = Protocol(
    "one pass in which clips of a class follow each other (Dirichlet)",
    options={**STREAM_OPTIONS, "concentration": 0.1},
    stream=_correlated,
    ranges={"concentration": Range(0, included=False)},
)

LABEL_SHIFT = Protocol(
    "one pass over a long-tailed part of the set",
    options={**STREAM_OPTIONS, "imbalance": 10.0},
    stream=_label_shift,
    ranges={"imbalance": Range(1)},
)
