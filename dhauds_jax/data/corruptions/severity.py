"""The axis of severity of transmissions: from S0, which leaves a clip as it is, to S1; L1 and L2 are points on it.

What is drawn is keyed by the clip and not by the place on the axis: at every severity a clip has the same room, the
same microphone, the same losses, only more of them. So a curve over severities is one of the same clips, and L1 has the
samples of S0.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.data.corruptions.base import Corruption, Draw, Numbers, number, share
from dhauds_jax.errors import BadInput
from dhauds_jax.names import LEVELS

POINTS = {"L1": 0.4, "L2": 0.7}
"""Severities of the levels that have a name."""
AXIS = "S"
"""Before a severity, as in S0.3; alone, what the keys of the draws have for every level."""


def severity_of(level: str) -> float:
    """The severity, 0 to 1, that a level stands for; raises `BadInput` for another spelling."""
    if level in POINTS:
        return POINTS[level]
    value = number(level.removeprefix(AXIS)) if level.startswith(AXIS) else None
    if value is None or not 0 <= value <= 1:
        raise BadInput(
            f"unknown level {level!r}, expected {' or '.join(LEVELS)}, or a severity from {AXIS}0 to {AXIS}1 in its "
            f"shortest spelling, such as {AXIS}0.3"
        )
    return value


def is_severity(level: str) -> bool:
    """Whether a text is a level on the axis."""
    try:
        severity_of(level)
    except BadInput:
        return False
    return True


def between(xp: ModuleType, bits: Numbers, low: float, high: float) -> Numbers:
    """A number of U[low, high), float32, from 32 random bits."""
    return xp.float32(low) + xp.float32(high - low) * share(xp, bits)


def on_axis(
    choose: Callable[..., Mapping[str, Numbers]],
    apply: Callable[..., Array],
    describe: Callable[[Draw], Mapping[str, Any]],
    **about: Any,
) -> Corruption:
    """A corruption on the axis of severity.

    Args:
      choose: `(xp, bits, severity, **facts) -> choices`, as `base.Choose` with the severity, 0 to 1, for the level.
      apply: as `base.Apply`; what it makes of a clip at severity 0 does not count.
      describe: `draw -> entries` of a clip's line in a manifest, beside its severity.
      about: other fields of the `Corruption`.
    """

    def drawn(xp: ModuleType, bits: Numbers, level: str, **facts: Any) -> dict[str, Numbers]:
        severity = severity_of(level)
        chosen = choose(xp, bits, severity, **facts)
        return {"severity": xp.full(bits.shape[:-1], severity, xp.float32), **chosen}

    def applied(wave: Array | np.ndarray, draw: Draw, noise: Array | None, **facts: Any) -> Array:
        return jnp.where(draw.choices["severity"] > 0, apply(wave, draw, noise, **facts), wave)

    def described(draw: Draw, level: str) -> dict[str, Any]:
        return dict(describe(draw))

    return Corruption(
        drawn,
        applied,
        levels=LEVELS,
        check_level=severity_of,
        describe=described,
        key_level=lambda level: AXIS,
        **about,
    )
