"""A compiled method that may take nothing from the host: what its steps are given lies on the devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from dhauds_jax.tta.evaluation import Compiled

CALLED = ("step", "steps", "predict", "observe", "predict_alone")


def guarded(run: Compiled) -> Compiled:
    """The method with a transfer guard around every compiled call.

    On a CPU it stops NumPy arrays and Python numbers that are given to a compiled function, which would be copied at
    every step; it does not stop the host from reading a result (that the steps trace as a whole shows they do not).
    """

    def alone(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            with jax.transfer_guard("disallow"):
                return function(*args)

        call.trace = function.trace
        return call

    return run._replace(**{name: alone(getattr(run, name)) for name in CALLED})
