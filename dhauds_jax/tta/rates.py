"""One compilation for every learning rate of a method: the rate is an argument of its programs, no constant in them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

from dhauds_jax.tta.evaluation import Compiled, alone_of, bordered, once, steps_of
from dhauds_jax.types import Method

_PARTS: Mapping[str, Callable[[Method], Callable[..., Any]]] = {
    "step": lambda method: bordered(method.step),
    "steps": lambda method: steps_of(method._replace(step=bordered(method.step))),
    "predict": lambda method: method.predict,
    "observe": lambda method: method.predict if method.observe is None else method.observe,
    "predict_alone": alone_of,
}
"""Functions of a `Compiled` -> what they are made of a method by."""


class At:
    """A compiled function of `(*args, rate)` at one rate, which is lowered and traced as that function is."""

    def __init__(self, function: Any, rate: float):
        """`function` is jitted."""
        self._function, self._rate = function, rate

    def __call__(self, *args: Any) -> Any:
        """The function at the rate."""
        return self._function(*args, self._rate)

    def lower(self, *args: Any) -> Any:
        """See `jax.jit`."""
        return self._function.lower(*args, self._rate)

    def trace(self, *args: Any) -> Any:
        """See `jax.jit`."""
        return self._function.trace(*args, self._rate)


class OfRates:
    """A method's programs on one device, compiled once for all of its rates.

    Numbers are those of the method with the rate as a constant up to rounding: XLA folds constants, and multiplies by
    arguments.
    """

    def __init__(self, make: Callable[[Any], Method], compiler_options: Mapping[str, Any] | None = None):
        """`make` gives the method of a rate, a number or a traced one; options go to XLA."""
        options = None if compiler_options is None else dict(compiler_options)
        self._make = make

        def part(name: str) -> Callable[..., Any]:
            def of_rate(*args: Any) -> Any:
                *rest, rate = args
                return _PARTS[name](make(rate))(*rest)

            donated = {"donate_argnums": 0} if name in ("step", "steps") else {}
            return functools.partial(jax.jit, compiler_options=options, **donated)(once(name, of_rate))

        self._parts = {name: part(name) for name in _PARTS}

    def at(self, rate: float) -> Compiled:
        """The programs at one rate; those of another rate have compiled the same."""
        return Compiled(self._make(rate), **{name: At(function, rate) for name, function in self._parts.items()})
