"""Options of a plug-in: its factory's keyword arguments that have a number, a text or a truth value as default.

An argument whose name would be a word of Python's has an underscore behind it, its option has none: `lambda_`.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping
from typing import Any

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.wording import kind_of


def defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """A factory's options with their values."""
    signature = inspect.signature(factory).parameters.items()
    return {key.rstrip("_"): p.default for key, p in signature if isinstance(p.default, bool | int | float | str)}


def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a factory's keyword arguments."""
    return {f"{key}_" if keyword.iskeyword(key) else key: value for key, value in options.items()}


def check_call(whose: str, factory: Callable[..., Any], *given: Any, **options: Any) -> None:
    """Raises `BadInput` unless a factory of a user's own takes what it is going to be called with.

    Args:
      whose: for the sentence, such as "method my_sounds.methods:tilt".
      factory: the factory; what it raises inside is its own.
      *given: the classifier, for those that take one.
      **options: by name.
    """
    signature = inspect.signature(factory)
    try:
        signature.bind(*given, **options)
    except TypeError as error:
        called = ", ".join([*("classifier" for _ in given), *(f"{name}=..." for name in options)])
        raise BadInput(
            f"{whose}: its factory takes {signature} and is called with ({called}): {error}; expected a factory "
            f"({'classifier, ' if given else ''}*, options with their values...)"
        ) from None


def converted(whose: str, key: str, given: Any, default: Any) -> Any:
    """The value of an option, a text converted by the default's type.

    Args:
      whose: for the sentence, such as "scorer em".
      key: the option.
      given: a text or a value.
      default: the option's own value.

    Raises:
      BadInput: a value of the wrong kind, or a number that is not finite.
    """
    value = given
    if isinstance(given, str) and not isinstance(default, str):
        try:
            if isinstance(default, bool):
                value = {"true": True, "1": True, "false": False, "0": False}[given.lower()]
            else:
                value = type(default)(given)
        except (KeyError, ValueError):
            raise BadInput(
                f"{whose}: option {key} is {given!r}, expected {kind_of(default)} such as {default}"
            ) from None
    if isinstance(value, int | float) and not isinstance(value, bool):
        check_number(f"{whose}: option {key}", value)
    return value
