"""What is refused in a row of a recipe: unknown names, options that are not there, values that a method refuses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dhauds_jax.cells.request import DRAWS
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import CORRUPTIONS, SHIFTS, TRANSMISSIONS, check_cell, is_mixture, is_own
from dhauds_jax.data.corruptions import get as corruption_of
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import zoo
from dhauds_jax.registry import is_foreign
from dhauds_jax.tta import methods, protocols

Options = Sequence[tuple[str, str]]
"""(name, text) of each that a row sets."""


class BadCell(Exception):
    """What is wrong with one cell of a row, and in which column."""

    def __init__(self, column: str, sentence: object):
        super().__init__(str(sentence))
        self.column = column


def excused(name: str, waits_for: Sequence[str]) -> bool:
    """Whether a row may name something that there is not yet: it waits for it, or for its family (`conmix_sc2`)."""
    return any(name == word or name.startswith((f"{word}_", f"{word}/")) for word in waits_for)


def _check_protocol(name: str) -> None:
    protocols.check_protocol(name)
    if protocols.PROTOCOLS[name].domains != "one":
        raise BadInput(f"protocol {name!r} runs over several corruptions, expected one for the one of a row")


_OWN: Mapping[str, Callable[[str], Any]] = {
    "dataset": sets.get,
    "net": lambda name: zoo.preset(name, ("a", "b")),
    "method": methods.factory,
    "corruption": corruption_of,
    "protocol": _check_protocol,
}
"""What looks up a "module:attribute" of a user's own in each column that may hold one."""


def _check_own(column: str, name: str) -> None:
    try:
        _OWN[column](name)
    except BadInput as error:
        raise BadCell(column, error) from None


def check_names(names: Mapping[str, str], waits: Sequence[str]) -> None:
    """Refuses unknown names and levels.

    Args:
      names: by column: dataset, net, corruption, level, method, protocol, profile, draw.
      waits: what the row waits for.

    Raises:
      BadCell: the first of them.
    """
    valid = {
        "dataset": sorted(sets.REGISTRY),
        "net": zoo.names(),
        "method": list(methods.METHODS),
        "corruption": [*CORRUPTIONS, *SHIFTS, *TRANSMISSIONS, CLEAN],
        "protocol": [name for name, p in protocols.PROTOCOLS.items() if p.domains == "one"],
        "profile": ["reference", "corrected"],
        "draw": list(DRAWS),
    }
    for column, known in valid.items():
        if column in _OWN and is_foreign(names[column].partition("/")[0]):
            _check_own(column, names[column])
        elif not (
            names[column] in known
            or excused(names[column], waits)
            or (column == "corruption" and (is_own(names[column]) or is_mixture(names[column])))
        ):
            raise BadCell(column, f"unknown {column} {names[column]!r}, expected one of {', '.join(known)}")
    if names["corruption"] == CLEAN and names["level"] != "-":
        raise BadCell("level", f"is {names['level']!r}, expected - for {CLEAN}")
    code = names["corruption"]
    ours = (code in valid["corruption"] and code != CLEAN) or is_mixture(code)
    if ours or is_foreign(code) or is_own(code):
        try:
            check_cell(names["corruption"], names["level"])
        except BadInput as error:
            raise BadCell("level", error) from None


@functools.lru_cache(maxsize=32)
def _classifier(net: str, classes: tuple[str, ...]) -> Any:
    return zoo.build(zoo.preset(net, classes))


def check_options(names: Mapping[str, str], options: Options, protocol_options: Options) -> None:
    """Refuses options that the protocol or the method does not have, or does not take.

    Args:
      names: as `check_names`.
      options: of the method.
      protocol_options: of the protocol.

    Raises:
      BadCell: the first of them.
    """
    for name, value in protocol_options:
        try:
            protocols.resolve_options(names["protocol"], {name: value})
        except BadInput as error:
            raise BadCell(f"protocol.{name}", error) from None
    if names["method"] not in methods.METHODS:
        return
    for name, value in options:
        try:
            methods.resolve_options(names["method"], names["profile"], {name: value})
        except BadInput as error:
            raise BadCell(name, error) from None
    if (names["net"] in zoo.names() or is_foreign(names["net"])) and names["dataset"] in sets.REGISTRY:
        _check_method(names, options)


def _check_method(names: Mapping[str, str], options: Options) -> None:
    """Builds the method; the column of a value that it refuses is the one without which it is built."""
    method, profile = names["method"], names["profile"]

    def refusal(options: Options) -> str:
        try:
            methods.make(method, classifier, methods.resolve_options(method, profile, dict(options)))
        except BadInput as error:
            return str(error)
        return ""

    classifier = _classifier(names["net"], sets.REGISTRY[names["dataset"]].classes or ("a", "b"))
    sentence = refusal(options)
    if sentence:
        for name, value in options:
            if not refusal([option for option in options if option != (name, value)]):
                raise BadCell(name, sentence)
        raise BadCell("method", sentence)
