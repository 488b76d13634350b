"""CLI: clipping, as of a recorder that was set too loud: a drawn share of the samples is cut off.

Severity s cuts off 0.4 s^2 of the samples that are not silence, times a factor of U[0.5, 1.5): 3 to 10 % at L1, 10 to
29 % at L2, 20 to 60 % at S1. The energy stays the clip's.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.data.corruptions.base import Draw, Numbers
from dhauds_jax.data.corruptions.severity import between, on_axis
from dhauds_jax.dsp.mixing import match_energy

SHARE = 0.4
"""Share of the samples that is cut off at severity 1, in the mean."""


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """The share of the samples that is cut off."""
    return {"clipped": between(xp, bits[..., 0], 0.5, 1.5) * xp.float32(SHARE * severity**2)}


def apply(wave: Float[Array, " time"], draw: Draw, noise: None = None, **_: Any) -> Float[Array, " time"]:
    """Cuts off what is beyond the drawn share's quantile of the absolute samples that are not zero."""
    beyond = jnp.round(draw.choices["clipped"] * jnp.sum(wave != 0)).astype(jnp.int32)
    ceiling = _largest(jnp.abs(wave), beyond)
    return match_energy(jnp.clip(wave, -ceiling, ceiling), wave)


def _largest(size: Float[Array, " time"], after: Int[Array, ""]) -> Float[Array, ""]:
    """The largest of non-negative numbers but for `after` larger ones, exactly.

    Such numbers are ordered as their bits are, so the answer is found bit by bit, in 31 counts; XLA's sort takes ten
    times as long on a CPU.
    """
    bits = jax.lax.bitcast_convert_type(size, jnp.int32)

    def with_bit(n: Array, found: Array) -> Array:
        tried = found | (jnp.int32(1) << (30 - n))
        return jnp.where(jnp.sum(bits >= tried) > after, tried, found)

    return jax.lax.bitcast_convert_type(jax.lax.fori_loop(0, 31, with_bit, jnp.int32(0)), jnp.float32)


def describe(draw: Draw) -> dict[str, Any]:
    """The share."""
    return {"clipped": float(draw.choices["clipped"])}


CLIPPING = on_axis(choose, apply, describe)
