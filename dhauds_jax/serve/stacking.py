"""Several checkpoints and several shifted copies: members of one config share a program, and take turns in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax import calibration
from dhauds_jax.dsp import shifts
from dhauds_jax.model import Model, compiled
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import Apply, Variables

AT_ONCE = 32
"""Copies of windows that a network is given at once; where there would be more, the copies take turns: 5 copies of 32
clips of 5 s would take 1.3 GB in VGGish's first layer alone, and are no faster."""

LARGE = 2**22
"""Weights of a matrix from which on it is kept transposed, see `turned`."""


class Stack(NamedTuple):
    """Models of one config.

    Attributes:
      apply: their network.
      groups: which of its classes are reported as one.
      members: variables, `turned`, and the temperature that logits are divided by, of each.
    """

    apply: Apply
    groups: dict[str, Any]
    members: tuple[tuple[Variables, Float[Array, ""]], ...]


def stacks(models: Sequence[Model]) -> list[Stack]:
    """The models by config, those with lost rows apart; what a config says of where weights come from counts not."""
    together: dict[tuple[ClassifierConfig, bool], list[Model]] = {}
    for model in models:
        key = model.config.replace(source={}), compiled.lost_rows(model.extra)
        together.setdefault(key, []).append(model)
    return [_stack(members) for members in together.values()]


def _stack(models: Sequence[Model]) -> Stack:
    members = tuple((turned(model.variables), jnp.float32(model.temperature)) for model in models)
    return Stack(models[0].classifier.apply, models[0].config.groups, members)


def turned(variables: Variables) -> Variables:
    """Variables whose matrices of `LARGE` weights and more are transposed; of such variables, the original ones.

    A few rows times a large matrix are bound by how the matrix is read: along its first axis a processor is two to
    four times slower than along its last one, and the product sums over the first one.
    """
    return jax.tree.map(lambda leaf: leaf.T if leaf.ndim == 2 and leaf.size >= LARGE else leaf, variables)


def logits(stack: Stack) -> Callable[[Variables, Float[Array, "rows time"]], Float[Array, "rows classes"]]:
    """A pure function of a member's variables and of waves: what it says before any softmax."""

    def function(variables: Variables, waves: Array) -> Array:
        return stack.apply(turned(variables), waves, mode=EVAL)[0].logits.astype(jnp.float32)

    return function


def probabilities(
    stack: Stack, offsets: Sequence[int]
) -> Callable[[Variables, Float[Array, ""], Float[Array, "rows time"]], Float[Array, "rows reported"]]:
    """A pure function of a member and of waves: the mean over shifted copies of what the member reports.

    Members take turns in it rather than side by side under `vmap`: products of many kernels at once are slower on a
    CPU, convolutions by 2.7 times. Nor do they in a loop inside the program, whose body would copy each member's
    weights and get fewer threads.

    Args:
      stack: of `stacks`.
      offsets: samples that the copies leave out.
    """

    def of_waves(variables: Variables, temperature: Array, waves: Array) -> Array:
        logits = stack.apply(variables, waves, mode=EVAL)[0].logits.astype(jnp.float32)
        return calibration.by_group(jax.nn.softmax(logits / temperature), stack.groups)

    def function(variables: Variables, temperature: Array, waves: Array) -> Array:
        variables, copies = turned(variables), shifts.shifted(waves, tuple(offsets))
        views, rows, _ = copies.shape
        if views * rows <= AT_ONCE:
            flat = of_waves(variables, temperature, copies.reshape(views * rows, -1))
            return flat.reshape(views, rows, -1).mean(0)
        return jax.lax.map(lambda waves: of_waves(variables, temperature, waves), copies).mean(0)

    return function
