"""Several checkpoints and several shifted copies as one program: members of one config share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax import calibration
from dhauds_jax.dsp import shifts
from dhauds_jax.model import Model
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import Apply, Variables

AT_ONCE = 32
"""Copies of windows that a network is given at once; where there would be more, the copies take turns: 5 copies of 32
clips of 5 s would take 1.3 GB in VGGish's first layer alone, and are no faster."""


class Stack(NamedTuple):
    """Models of one config.

    Attributes:
      apply: their network.
      groups: which of its classes are reported as one.
      variables: theirs, each leaf with a first axis of members.
      temperatures: (members,) what logits are divided by.
    """

    apply: Apply
    groups: dict[str, Any]
    variables: Variables
    temperatures: Float[Array, " members"]


def stacks(models: Sequence[Model]) -> list[Stack]:
    """The models by config; what a config says of where weights come from counts for nothing."""
    together: dict[ClassifierConfig, list[Model]] = {}
    for model in models:
        together.setdefault(model.config.replace(source={}), []).append(model)
    return [_stack(members) for members in together.values()]


def _stack(members: Sequence[Model]) -> Stack:
    found = [calibration.from_extra(model.extra) for model in members]
    temperatures = jnp.array([1.0 if one is None else one.temperature for one in found], jnp.float32)
    variables = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(model.variables for model in members))
    return Stack(members[0].classifier.apply, members[0].config.groups, variables, temperatures)


def probabilities(
    stacked: Sequence[Stack], offsets: Sequence[int]
) -> Callable[[list[tuple[Variables, Array]], Float[Array, "rows time"]], Float[Array, "rows reported"]]:
    """A pure function of the stacks' variables with temperatures, and of waves: the mean over members and copies.

    Members take turns in a loop inside the program rather than side by side under `vmap`: products of many kernels at
    once are slower on a CPU, convolutions by 2.7 times, and a loop compiles as fast.

    Args:
      stacked: of `stacks`.
      offsets: samples that the copies leave out.
    """

    def function(given: list[tuple[Variables, Array]], waves: Array) -> Array:
        copies = shifts.shifted(waves, tuple(offsets))
        means = [_of_stack(one, *own, copies) for one, own in zip(stacked, given, strict=True)]
        counts = np.array([len(one.temperatures) for one in stacked])
        return sum(mean * share for mean, share in zip(means, counts / counts.sum(), strict=True))

    return function


def _of_stack(one: Stack, variables: Variables, temperatures: Array, copies: Array) -> Array:
    """The mean over a stack's members and the copies, (copies, rows, time) to (rows, reported)."""
    views, rows, _ = copies.shape

    def of_waves(own: Variables, temperature: Array, waves: Array) -> Array:
        logits = one.apply(own, waves, mode=EVAL)[0].logits.astype(jnp.float32)
        return calibration.by_group(jax.nn.softmax(logits / temperature), one.groups)

    def of_member(member: tuple[Variables, Array]) -> Array:
        if views * rows <= AT_ONCE:
            flat = of_waves(*member, copies.reshape(views * rows, -1))
            return flat.reshape(views, rows, -1).mean(0)
        return jax.lax.map(lambda waves: of_waves(*member, waves), copies).mean(0)

    if len(one.temperatures) == 1:
        return of_member(jax.tree.map(lambda leaf: leaf[0], (variables, temperatures)))
    return jax.lax.map(of_member, (variables, temperatures)).mean(0)
