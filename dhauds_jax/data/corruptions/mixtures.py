"""Mixtures: one corruption after the other, in the order of their names, drawn independently: RIR+MIC, ENSC+CDC."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.data.corruptions.base import NEUTRAL, Corruption, Draw, Numbers, neutral
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CORRUPTIONS, TRANSMISSIONS

PARTS = 2
_WHOLE = ("noise_index", "start", "pad")
"""What is drawn once for a mixture, since one recording is mixed in at the most."""


@functools.lru_cache(maxsize=64)
def mixture(name: str) -> Corruption:
    """The corruption CODE+CODE, at levels that both have.

    Raises:
      BadInput: what cannot be mixed.
    """
    from dhauds_jax.data.corruptions.lookup import MIXED, check_cell, get

    codes = tuple(name.split(MIXED))
    _check(name, codes)
    parts = [get(code) for code in codes]

    def choose(xp: ModuleType, bits: Numbers, level: str, **facts: Any) -> dict[str, Numbers]:
        drawn, found = words(xp, bits, 4 * len(parts)), {}
        for place, (code, part) in enumerate(zip(codes, parts)):
            chosen = part.choose(xp, drawn[..., 4 * place : 4 * place + 4], level, **facts)
            found |= {what if what in _WHOLE else f"{code}.{what}": values for what, values in chosen.items()}
        return found

    def apply(
        wave: Float[Array, " time"], draw: Draw, noise: Array | None, *, step: tuple | None, **facts: Any
    ) -> Float[Array, " time"]:
        for place, part in enumerate(parts):
            mixed_in = None if part.noise is None else noise
            own = None if step is None else step[place]
            wave = part.apply(wave, part_of(draw, codes, place), mixed_in, step=own, **facts)
        return wave

    def describe(draw: Draw, level: str) -> dict[str, Any]:
        of = {code: part_of(draw, codes, place) for place, code in enumerate(codes)}
        return {code: dict(part.describe(of[code], level)) for code, part in zip(codes, parts) if part.describe}

    def static(draw: Draw) -> tuple:
        return tuple(p.static and p.static(part_of(draw, codes, place)) for place, p in enumerate(parts))

    def made_with() -> Mapping[str, str]:
        return {what: version for p in parts if p.made_with for what, version in p.made_with().items()}

    axis = {p.key_level for p in parts}
    return Corruption(
        choose,
        apply,
        levels=parts[0].levels,
        check_level=lambda level: [check_cell(code, level) for code in codes],
        describe=describe,
        noise=next((p.noise for p in parts if p.noise is not None), None),
        static=static if any(p.static for p in parts) else None,
        key_level=parts[0].key_level if None not in axis else None,
        parts=codes,
        made_with=made_with if any(p.made_with for p in parts) else None,
    )


def part_of(draw: Draw, codes: Sequence[str], place: int) -> Draw:
    """The draw of one part of a mixture: of one clip, or of several at once.

    Args:
      draw: the mixture's.
      codes: the names of its parts.
      place: which of them.
    """
    prefix = f"{codes[place]}."
    own = {name.removeprefix(prefix): v for name, v in draw.choices.items() if name.startswith(prefix)}
    whole = {name: getattr(draw, name) for name in _WHOLE}
    fields = whole | {name: own.pop(name) for name in tuple(own) if name in NEUTRAL}
    none = neutral(np, np.shape(draw.pad), _folded(draw.key, place))
    return none._replace(**fields, choices=own)


def _folded(key: Array | None, place: int) -> Array | None:
    """A key of the part's own for each clip."""
    if key is None or not key.ndim:
        return key if key is None else jax.random.fold_in(key, place)
    return jax.vmap(lambda one: jax.random.fold_in(one, place))(key)


def _check(name: str, codes: Sequence[str]) -> None:
    """Raises `BadInput` for what cannot be mixed."""
    from dhauds_jax.data.corruptions.lookup import get

    known = (*(code for code in CORRUPTIONS if get(code).whole_set is None), *TRANSMISSIONS)
    others = [code for code in codes if code not in known]
    said = f"corruption {name}:"
    if others:
        raise BadInput(f"{said} {others[0]} cannot be mixed, expected two of {', '.join(known)}")
    if len(codes) != PARTS or len(set(codes)) < PARTS:
        raise BadInput(f"{said} names {len(codes)}, {len(set(codes))} of them different, expected two that differ")
    if sum(get(code).noise is not None for code in codes) > 1:
        raise BadInput(f"{said} both mix in recordings, expected one that does, as in RIR+ENSC")
