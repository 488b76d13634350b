"""UNI: uniform samples of a given scale, the "Gaussian" noise of TTA-in-AC; its level is the scale, such as 0.005.

Source: DHAuDS at 382c301 (then called NTTA); TTA-in-AC, arXiv 2507.15523.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import (
    RANDOM_PAD,
    Corruption,
    Draw,
    Numbers,
    Quirks,
    number,
    pad_choice,
    uniform_noise,
)
from dhauds_jax.errors import BadInput


def parse(level: str) -> float:
    """The scale that a level says, without its random pad; raises `BadInput` for another spelling."""
    scale = number(level.removesuffix(RANDOM_PAD))
    if scale is None or scale <= 0:
        raise BadInput(
            f"unknown level {level!r} of UNI, expected a positive number such as 0.005 or 0.0025 in its shortest "
            f"spelling, or that with {RANDOM_PAD} after it"
        )
    return scale


def choose(xp: ModuleType, bits: Numbers, level: str, **_: Any) -> dict[str, Numbers]:
    """The scale as the level says it, and the place of a shorter clip."""
    scale = xp.full(bits.shape[:-1], parse(level), xp.float32)
    return {"scale": scale, **pad_choice(xp, bits, level)}


def apply(
    wave: Float[Array, " time"], draw: Draw, noise: None = None, *, quirks: Quirks, **_: Any
) -> Float[Array, " time"]:
    """Adds `scale * u`, u of U[0, 1) (profile corrected: of U[-0.5, 0.5)) for every sample."""
    return wave + draw.scale * uniform_noise(draw.key, wave.shape[-1], quirks)


def describe(draw: Draw, level: str) -> dict[str, Any]:
    """The scale."""
    return {"scale": parse(level)}


UNIFORM = Corruption(choose, apply, check_level=parse, example="0.005", describe=describe)
