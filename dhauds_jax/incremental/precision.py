"""Learners as compiled programs: closed forms in float64, everything else as it comes.

Whoever runs a learner calls `compiled` (or `compiled(over_seeds(learner))`) and never enters a precision itself: the
functions that come back enter it, whatever thread calls them. States then hold float64 leaves, which stay float64
outside and may be saved and given back as NumPy arrays.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax import processors
from dhauds_jax.types import Learner

JITTED = ("learn", "predict", "part", "predict_parts", "remember", "forget", "merge", "held_out", "prepare")
"""Functions that are compiled, each once for a shape."""

ON_HOST = ("init", "bytes_held", "as_head")
"""Functions that run as they are."""

MAPPED = ("learn", "predict", "remember", "held_out")
"""Functions that take many seeds at once."""


def compiled(learner: Learner) -> Learner:
    """The learner with jitted functions; with `double` all of them run inside `jax.enable_x64(True)`.

    Args:
      learner: as its factory made it. NumPy leaves of a state are taken as well as JAX's.
    """
    if learner.double:  # closed forms of small matrices
        processors.one_thread_of_linear_algebra()
    made = {}
    for name in (*JITTED, *ON_HOST):
        function = getattr(learner, name)
        if function is None:
            continue
        made[name] = jax.jit(function) if name in JITTED else function
        if learner.double:
            made[name] = _in_double(made[name])
    return learner._replace(**made)


def _in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def entered(*args: Any) -> Any:
        with jax.enable_x64(True):
            return function(*args)

    return entered


def over_seeds(learner: Learner) -> Learner:
    """The learner for many seeds at once, for `compiled`: leading axes of states, shots, inputs and keys are seeds.

    `init` takes `(variables, info, keys)` with variables that all seeds share; what works on one state alone (`forget`,
    `merge`, `prepare`, `as_head`, `bytes_held`) is not mapped: take one with `seed_of`. There are no parts.
    """

    def init(variables: Any, info: Any, keys: Any) -> Any:
        states = [learner.init(variables, info, key) for key in keys]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    mapped = {name: jax.vmap(getattr(learner, name)) for name in MAPPED if getattr(learner, name) is not None}
    return learner._replace(init=init, part=None, predict_parts=None, **mapped)


def seed_of(states: Any, seed: int) -> Any:
    """One seed's state of those that `over_seeds` works on; its float64 leaves stay what they are."""
    with jax.enable_x64(True):
        return jax.tree.map(lambda leaf: leaf[seed], states)
