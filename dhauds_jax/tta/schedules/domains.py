"""One pass through several corruptions, or through the levels of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from dhauds_jax.tta import streams
from dhauds_jax.tta.schedules.protocol import STREAM_OPTIONS, Protocol


def _mixed(
    key: PRNGKeyArray, clips: int, domains: int, labels: np.ndarray, options: Mapping[str, Any]
) -> streams.Stream:
    return streams.mixed(key, clips, domains)


CONTINUAL = Protocol("one pass through corruption after corruption", "several", STREAM_OPTIONS)

GRADUAL = Protocol("one pass through clean, L1, L2, L1 of a corruption", "levels", STREAM_OPTIONS)

MIXED = Protocol("one pass, every clip in a corruption drawn for it", "several", STREAM_OPTIONS, stream=_mixed)

FORGETTING = Protocol(
    "continual, with the clean set evaluated after every corruption", "several", STREAM_OPTIONS, clean=True
)
