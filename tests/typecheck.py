"""The run-time checker that jaxtyping's import hook uses in tests."""

import os
import types
from collections.abc import Callable
from typing import Any

try:
    from beartype import BeartypeConf, beartype

    # PEP 484's numeric tower, so that `snr_db: float` accepts 5.
    _beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))
except ImportError:
    if "DHAUDS_TEST_PLATFORM" not in os.environ:
        raise

    def _beartype(function: Callable[..., Any]) -> Callable[..., Any]:
        """Parity tests on a machine where only what is there can be used: nothing is checked."""
        return function


_MADE: dict[tuple[str, str, types.CodeType], Any] = {}
_CHECKED = "__beartype_func"


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and result checked.

    A function defined inside another one is made anew at every call of that one, and to write its checks costs
    milliseconds each time (a quarter of the time of tests that trace methods). So its checks are written once and
    handed to every new one: beartype's wrapper holds what it checks as a default value.
    """
    if not isinstance(function, types.FunctionType) or "<locals>" not in function.__qualname__:
        return _beartype(function)
    key = (function.__module__, function.__qualname__, function.__code__)
    made = _MADE.get(key)
    if made is None or made.__annotations__ != function.__annotations__:
        made = _MADE[key] = _beartype(function)
        return made
    if _CHECKED not in (made.__kwdefaults__ or {}):  # nothing to check, or another beartype's way to hold it
        return _beartype(function)
    again = types.FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__, made.__closure__)
    again.__dict__.update(function.__dict__ | {"__wrapped__": function})
    again.__kwdefaults__ = made.__kwdefaults__ | {_CHECKED: function}
    again.__annotations__ = function.__annotations__
    for name in ("__qualname__", "__module__", "__doc__"):
        setattr(again, name, getattr(function, name))
    return again
