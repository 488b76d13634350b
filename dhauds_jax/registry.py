"""Looks names up: one of ours, or `module:attribute` of the user's own code; what is unknown is said with its likes.

Only the standard library is imported; what a name stands for is imported when it is used.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from dhauds_jax.errors import BadInput


def resolve(place: str) -> Any:
    """What a "module:attribute" of ours stands for."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def is_foreign(name: str) -> bool:
    """Whether a name is written "module:attribute", a plug-in of the user's own."""
    module, colon, attribute = name.partition(":")
    return bool(colon) and attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def find(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """What a name stands for.

    Args:
      kind: for the sentence, such as "method".
      name: a key of `table`, or "module:attribute" of any importable module.
      table: names with their places, one of `dhauds_jax.names`.

    Raises:
      BadInput: an unknown name (the nearest ones are given), a module that is not found, an attribute that it lacks.
    """
    if name in table:
        return resolve(table[name])
    if is_foreign(name):
        return _foreign(kind, name)
    raise BadInput(unknown(kind, name, table))


def _foreign(kind: str, name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that the user's own code asks for is a bug of that code, and shows its traceback.
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise BadInput(
            f"{kind} {name!r}: there is no module {error.name!r}, expected one that Python finds from here "
            "(the current folder and the installed packages)"
        ) from None
    if not hasattr(found, attribute):
        raise BadInput(
            f"{kind} {name!r}: module {module} has no {attribute!r}, expected {nearest(attribute, _own(found))}"
        )
    return getattr(found, attribute)


def _own(module: ModuleType) -> list[str]:
    """The names of a module without what it imports: other modules, their functions and classes."""
    imported = {
        name
        for name, value in vars(module).items()
        if isinstance(value, ModuleType)
        or (isinstance(value, type | FunctionType) and value.__module__ != module.__name__)
    }
    return [name for name in dir(module) if name not in imported]


def nearest(name: str, names: Iterable[str], most: int = 3) -> str:
    """The names that look most like `name`, as "a, b or c"; all of them where they are few, else the first ones."""
    known = [str(one) for one in names if not str(one).startswith("_")]
    lower = {one.casefold(): one for one in reversed(known)}
    close = [lower[one] for one in difflib.get_close_matches(name.casefold(), lower, n=most, cutoff=0.5)]
    chosen = known if len(known) <= most + 1 else (close or known[:most])
    if not chosen:
        return "none (there are no names)"
    return chosen[0] if len(chosen) == 1 else f"{', '.join(chosen[:-1])} or {chosen[-1]}"


def unknown(kind: str, name: str, names: Iterable[str]) -> str:
    """The sentence for an unknown name: the nearest ones, and where all are listed where they are many."""
    known = list(names)
    more = "" if len(known) <= 4 else f" ({len(known)} names: --list)"
    own = "; one of your own is module:object" if "." in name and ":" not in name else ""
    return f"unknown {kind} {name!r}: expected {nearest(name, known)}{more}{own}"


def check(kind: str, name: str, names: Iterable[str]) -> None:
    """Raises `BadInput` with the nearest names unless `name` is one of `names`."""
    known = list(names)
    if name not in known:
        raise BadInput(unknown(kind, name, known))


def source_digest(name: str) -> str | None:
    """SHA-256 (16 hexadecimal digits) of the file of a "module:attribute", part of what names a result; None for ours.

    Only that file counts: what it imports does not.
    """
    if not is_foreign(name):
        return None
    try:
        spec = importlib.util.find_spec(name.partition(":")[0])
    except ModuleNotFoundError:  # said where the name is looked up
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:16]


class Registry(Mapping[str, Any]):
    """A table of names as a mapping whose values are imported when they are taken.

    Iterating and `len` know our own names and import nothing. `in` and `[]` also know "module:attribute" of the user's
    own code, `in` by its form alone.
    """

    def __init__(self, kind: str, table: Mapping[str, str]):
        """The mapping of a `table` of `dhauds_jax.names`; `kind` is for sentences, such as "method"."""
        self.kind, self.table = kind, table

    def __getitem__(self, name: str) -> Any:
        """What `find` finds; raises what it raises."""
        return find(self.kind, name, self.table)

    def get(self, name: str, default: Any = None) -> Any:
        """What a name stands for, or `default` for an unknown one."""
        known = name in self
        return self[name] if known else default

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.table or is_foreign(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)
