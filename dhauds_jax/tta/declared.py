"""What a method's factory says of itself beside its options, in its decorator, so that no list elsewhere has to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

Factory = TypeVar("Factory", bound=Callable[..., Any])
Options = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


OURS = "audio"
"""The recipe that every method with published ones has too: the defaults of its factory."""


class Declared(NamedTuple):
    """A factory's declaration.

    Attributes:
      profiles: profile (of `names.PROFILES`) -> the options that it sets; a method without quirks has none.
      contract_options: options that the contract table (tests/tta/test_contract.py) gives the method, such as those
        that let the unsure predictions of an untrained network through its filters.
      because: why the table needs them.
      unsaid: option -> the value with which, or `options -> whether`, it changes nothing and is left out of records and
        of what names a cell. For options that are younger than published records, whose cells keep their names.
      recipes: name -> the options of a published recipe, which `--options=recipe=NAME` sets before all others.
      begins_at_rate: whether its `init` learns at the rate, so that runs at other rates begin elsewhere.
    """

    profiles: Mapping[str, Options] = _NOTHING
    contract_options: Options = _NOTHING
    because: str = ""
    unsaid: Options = _NOTHING
    recipes: Mapping[str, Options] = _NOTHING
    begins_at_rate: bool = False


def declares(
    *,
    profiles: Mapping[str, Options] = _NOTHING,
    contract_options: Options = _NOTHING,
    because: str = "",
    unsaid: Options = _NOTHING,
    recipes: Mapping[str, Options] = _NOTHING,
    begins_at_rate: bool = False,
) -> Callable[[Factory], Factory]:
    """Decorator of a factory; the arguments are those of `Declared`.

    Raises:
      ValueError: options for the contract table without a reason.
    """
    if contract_options and not because:
        raise ValueError(f"contract options {dict(contract_options)} without `because`: say why the table needs them")

    def mark(factory: Factory) -> Factory:
        factory.declared = Declared(profiles, contract_options, because, unsaid, recipes, begins_at_rate)
        return factory

    return mark


def said(factory: Callable[..., Any], options: Options) -> dict[str, Any]:
    """The options without those that are `unsaid`."""
    unsaid = declared(factory).unsaid

    def silent(key: str) -> bool:
        rule = unsaid.get(key, _NOTHING)
        return rule(options) if callable(rule) else options[key] == rule

    return {key: value for key, value in options.items() if not silent(key)}


def declared(factory: Callable[..., Any]) -> Declared:
    """A factory's declaration; the empty one where it has none."""
    return getattr(factory, "declared", Declared())
