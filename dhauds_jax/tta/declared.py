"""What a method's factory says of itself beside its options, in its decorator, so that no list elsewhere has to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

Factory = TypeVar("Factory", bound=Callable[..., Any])
Options = Mapping[str, Any]
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Declared(NamedTuple):
    """A factory's declaration.

    Attributes:
      profiles: profile (of `names.PROFILES`) -> the options that it sets; a method without quirks has none.
      contract_options: options that the contract table (tests/tta/test_contract.py) gives the method, such as those
        that let the unsure predictions of an untrained network through its filters.
      because: why the table needs them.
    """

    profiles: Mapping[str, Options] = _NOTHING
    contract_options: Options = _NOTHING
    because: str = ""


def declares(
    *, profiles: Mapping[str, Options] = _NOTHING, contract_options: Options = _NOTHING, because: str = ""
) -> Callable[[Factory], Factory]:
    """Decorator of a factory; the arguments are those of `Declared`.

    Raises:
      ValueError: options for the contract table without a reason.
    """
    if contract_options and not because:
        raise ValueError(f"contract options {dict(contract_options)} without `because`: say why the table needs them")

    def mark(factory: Factory) -> Factory:
        factory.declared = Declared(profiles, contract_options, because)
        return factory

    return mark


def declared(factory: Callable[..., Any]) -> Declared:
    """A factory's declaration; the empty one where it has none."""
    return getattr(factory, "declared", Declared())
