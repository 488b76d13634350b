"""Corruptions by name: ours (`dhauds_jax.names`), or "module:attribute" of a user's own code."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from dhauds_jax import names
from dhauds_jax.data.corruptions.base import Corruption
from dhauds_jax.errors import BadInput
from dhauds_jax.registry import check, find, is_foreign, resolve, unknown
from dhauds_jax.wording import kind_of

CORRUPTIONS = tuple(names.CORRUPTIONS)
"""The seven, which draw from grids at the levels of `LEVELS`."""
SHIFTS = tuple(names.SHIFTS)
"""Those whose level is a parameter, written CODE:LEVEL."""
TRANSMISSIONS = tuple(names.TRANSMISSIONS)
"""Ours by the way to a recording, at levels on an axis of severity, and in mixtures, CODE+CODE."""
LEVELS = names.LEVELS
MIXED = "+"
"""Between the names of a mixture."""
_MIXTURE = "dhauds_jax.data.corruptions.mixtures:mixture"
_PLACES = {**names.CORRUPTIONS, **names.SHIFTS, **names.TRANSMISSIONS}


def is_own(name: str) -> bool:
    """Whether a name is CODE:PLACE, recordings of the user's own; RIR alone, or with a level, is a room of ours."""
    code, _, place = name.partition(":")
    return code in names.OWN_NOISES and (code not in _PLACES or (bool(place) and not _on_axis(place)))


def _on_axis(level: str) -> bool:
    """Whether a text is a level of transmissions; they alone import what knows that."""
    from dhauds_jax.data.corruptions.severity import is_severity

    return is_severity(level)


def is_mixture(name: str) -> bool:
    """Whether a name is of several corruptions, one after the other."""
    return MIXED in name and all(part in _PLACES for part in name.split(MIXED))


def joined(corruptions: Iterable[str]) -> str:
    """What records call a stream of several corruptions: their names with + between, mixtures in brackets."""
    found = dict.fromkeys(corruptions)
    return "+".join(f"({name})" if MIXED in name and len(found) > 1 else name for name in found)


def public(name: str) -> str:
    """What records, reports, folders and the keys of draws call a corruption: of noises of one's own, the last name of
    their place alone, so that the same noises elsewhere are the same."""
    code, _, place = name.partition(":")
    return f"{code}:{Path(place).name}" if is_own(name) else name


def check_places(corruptions: Iterable[str]) -> None:
    """Raises `BadInput` where two places of noises of one's own have one public name: records would mix them up."""
    places: dict[str, str] = {}
    for name in filter(is_own, corruptions):
        other = places.setdefault(public(name), name)
        if os.path.normpath(name) != os.path.normpath(other):
            raise BadInput(
                f"--corruption: {other} and {name} are both called {public(name)} in what is written, expected places "
                "with different last names: rename one, or give them in commands with different output folders"
            )


def get(name: str) -> Corruption:
    """The record of a corruption.

    Args:
      name: one of ours, CODE+CODE, CODE:PLACE, or "module:attribute" of a `Corruption` of one's own.

    Raises:
      BadInput: an unknown name, or a foreign one that is no `Corruption`.
    """
    if is_own(name):
        code, _, place = name.partition(":")
        if Path(place).name in ("", ".."):
            raise BadInput(f"corruption {name}: names no folder or list, expected one, as in {code}:my_noises")
        return resolve(names.OWN_NOISES[code])(place)
    if is_mixture(name):
        return resolve(_MIXTURE)(name)
    found = find("corruption", name, _PLACES)
    if not isinstance(found, Corruption):
        raise BadInput(
            f"corruption {name!r}: is {kind_of(found)}, expected a record of dhauds_jax.data.corruptions.Corruption"
        )
    return found


def check_cell(corruption: str, level: str) -> Corruption:
    """The record of a corruption; raises `BadInput` unless the names are known and the level is one of it."""
    found = get(corruption)
    if found.check_level is not None:
        found.check_level(level)
    elif not is_foreign(corruption) and level.startswith("S") and _on_axis(level):
        raise BadInput(
            f"unknown level {level!r} of {corruption}, expected {' or '.join(found.levels)}; severities are of "
            f"{', '.join(names.TRANSMISSIONS)} and mixtures of these alone"
        )
    else:
        check("level", level, found.levels)
    if is_foreign(corruption) and not is_own(corruption) and not set(level).isdisjoint("/\\:"):
        raise BadInput(f"level {level!r} of {corruption}: names a folder, expected it without slashes and colons")
    return found


def parse_cell(text: str, beside: Sequence[str] = ()) -> tuple[str, str | None]:
    """Takes a command line's text apart: `(corruption, level)`, level None where the text has none.

    CODE and CODE:LEVEL are ours, CODE+CODE and CODE+CODE:LEVEL mixtures of ours; "module:attribute" and
    "module:attribute:LEVEL" a user's own, ENU:PLACE and ENU:PLACE:LEVEL noises of their own, RIR:PLACE their rooms.

    Args:
      text: the command line's.
      beside: what else a command takes in its place, for the sentence about an unknown name.

    Raises:
      BadInput: an unknown name, a level that the corruption does not have, or a corruption with parameters without one.
    """
    if is_own(text):
        place, _, level = text.rpartition(":")
        known = level in LEVELS or (text.partition(":")[0] in _PLACES and _on_axis(level))
        found = (place, level) if known and is_own(place) and ":" in place else (text, None)
        get(found[0])
        return found
    code, colon, level = text.partition(":")
    if code not in _PLACES and not is_mixture(code):
        module, first, rest = text.partition(":")
        ours = "." not in module and not (module.isidentifier() and importlib.util.find_spec(module))
        if not first or ours:  # misspelt; a module that is not found is said as such
            module = next((part for part in module.split(MIXED) if part not in _PLACES), module)
            raise BadInput(unknown("corruption", module, (*dict.fromkeys((*_PLACES, *names.OWN_NOISES)), *beside)))
        attribute, colon, level = rest.partition(":")
        code = f"{module}{first}{attribute}"
    found = get(code)
    if colon:
        check_cell(code, level)
        return code, level
    if not found.levels:
        as_in = f", as in {code}:{found.example}" if found.example else ""
        raise BadInput(f"corruption {code} has no level: expected it after a colon{as_in}")
    return code, None


def needs_noise(corruption: str) -> bool:
    """Whether a corruption mixes in recordings, and so needs a noise bank."""
    return get(corruption).noise is not None


def made_with(corruption: str, before: str = "") -> tuple[tuple[str, str], ...]:
    """The versions that a corruption's samples depend on beside this package's, by name, `before` in front of it."""
    found = get(corruption).made_with
    return () if found is None else tuple((f"{before}{name}", version) for name, version in sorted(found().items()))


def example(corruption: str) -> str:
    """A cell as on command lines, such as SCN:running_tap@10dB."""
    found = get(corruption)
    return ":".join((corruption, *([found.example] if found.example else found.levels[:1])))
