"""One gradient update of the moving leaves: what every gradient method shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.types import AdaptState, Variables


class Evaluated(NamedTuple):
    """What a loss function returns beside its value: named losses, new BatchNorm statistics, logits to predict with."""

    losses: Mapping[str, Array]
    batch_stats: Mapping[str, Any]
    logits: Array


LossFunction = Callable[[Variables], tuple[Array, Evaluated]]


def float_type(variables: Variables) -> Any:
    """The type of what a method remembers of a network: that of its parameters, but float32 at least."""
    return jnp.result_type(jnp.float32, *jax.tree.leaves(variables["params"]))


def between(share: float | Array, first: Any, second: Any) -> Any:
    """`share first + (1 - share) second`, leaf by leaf: what slow averages of parameters are made of."""
    return jax.tree.map(lambda a, b: share * a + (1 - share) * b, first, second)


def first_state(
    name: str, variables: Variables, optimiser: optax.GradientTransformation, group: masks.Group
) -> AdaptState:
    """The state before the first update.

    Raises:
      BadInput: the network has no parameters in `group`.
    """
    moving, _ = masks.split(variables["params"], group)
    if not moving:
        if not isinstance(group, str):
            raise BadInput(
                f"method {name} adapts what {masks.name_of(group)} picks, and it picks nothing of this network"
            )
        raise BadInput(
            f"method {name} adapts the group {group!r}, but this network has no such parameters: "
            f"choose another with --options=group=NAME, one of {', '.join(masks.GROUPS)}"
        )
    return AdaptState(variables, optimiser.init(moving), (), jnp.zeros((), jnp.int32))


def gradients(
    variables: Variables, loss: LossFunction, group: masks.Group, axis_name: str | None = None
) -> tuple[dict[str, Any], Evaluated]:
    """Gradients of `loss(variables)` by the leaves of `group` alone, and what it evaluated.

    With `axis_name`, losses are already equal on all devices (every batch sum is a psum) and gradients take one pmean.
    """
    moving, frozen = masks.split(variables["params"], group)

    def of_moving(leaves: Any) -> tuple[Array, Evaluated]:
        return loss({**variables, "params": masks.merge(leaves, frozen)})

    (_, evaluated), grads = jax.value_and_grad(of_moving, has_aux=True)(moving)
    return (grads if axis_name is None else jax.lax.pmean(grads, axis_name)), evaluated


def gradient_update(
    state: AdaptState,
    loss: LossFunction,
    optimiser: optax.GradientTransformation,
    group: masks.Group,
    axis_name: str | None = None,
) -> tuple[AdaptState, Evaluated]:
    """Takes one optimiser step of the leaves of `group` down the `gradients` of `loss(variables)`."""
    grads, evaluated = gradients(state.variables, loss, group, axis_name)
    moving, frozen = masks.split(state.variables["params"], group)
    updates, opt_state = optimiser.update(grads, state.opt_state, moving)
    params = masks.merge(optax.apply_updates(moving, updates), frozen)
    variables = {**state.variables, "params": params, "batch_stats": evaluated.batch_stats}
    return AdaptState(variables, opt_state, state.memory, state.step + 1), evaluated
