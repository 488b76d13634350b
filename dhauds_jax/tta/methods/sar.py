"""SAR: sharpness-aware entropy minimisation on reliable clips, with recovery from collapse."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.nets import masks
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import (
    FEW_CLASSES,
    Passes,
    Snapshot,
    chosen_mean,
    kept_share,
    norm_passes,
    recovery_for,
    restored,
    sgd_or_adam,
    take_snapshot,
    where,
    with_idle,
)
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.methods.eata import EntropyRows
from dhauds_jax.tta.update import Evaluated, first_state, float_type, gradients
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

RECOVERIES = ("whole", "parameters")
"""What a recovery brings back: parameters, statistics, optimiser and a new average; or parameters and statistics."""


class SarMemory(NamedTuple):
    """The moving average of the second loss (nats), whether it holds anything yet, and the state to recover."""

    average: Float[Array, ""]
    seen: Bool[Array, ""]
    start: Snapshot


def followed(memory: SarMemory, value: Float[Array, ""], some: Bool[Array, ""]) -> SarMemory:
    """The memory after a batch: 0.9 old + 0.1 `value` (first: `value`) where `some` holds."""
    moved = jnp.where(memory.seen, 0.9 * memory.average + 0.1 * value, value)
    return memory._replace(average=jnp.where(some, moved, memory.average), seen=memory.seen | some)


def sharp_gradients(
    passes: Passes,
    variables: Variables,
    batch: Batch,
    group: str,
    margin: float,
    rho: float,
    axis_name: str | None,
    entropy_rows: EntropyRows = losses.exact_entropy_rows,
) -> tuple[Any, Evaluated, Evaluated]:
    """Gradients of the reliable clips' mean entropy at `theta + rho g / |g|`, g those at theta, and both passes.

    Clips count at the second point when they are reliable at both.
    """

    def reliable(logits: Array, weights: Array) -> tuple[Array, Array]:
        entropy = entropy_rows(logits)
        return entropy, weights * (entropy < margin * math.log(logits.shape[-1]))

    def at_theta(variables: Variables) -> tuple[Array, Evaluated]:
        logits, stats = passes.adapt(variables, batch.wave, batch.weights)
        entropy, chosen = reliable(logits, batch.weights)
        mean = losses.weighted_mean(entropy, batch.weights, axis_name)
        return chosen_mean(entropy, chosen, axis_name), Evaluated({"entropy": mean}, stats, logits)

    climb, first = gradients(variables, at_theta, group, axis_name)
    _, trusted = reliable(first.logits, batch.weights)

    def climbed(variables: Variables) -> tuple[Array, Evaluated]:
        logits = passes.look(variables, batch.wave, batch.weights)
        entropy, chosen = reliable(logits, trusted)
        value = chosen_mean(entropy, chosen, axis_name)
        terms = {"total": value, "kept": kept_share(chosen, batch.weights, axis_name)}
        return value, Evaluated(terms, first.batch_stats, logits)

    moving, frozen = masks.split(variables["params"], group)
    length = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(climb))) + 1e-12
    up = jax.tree.map(lambda p, g: p + rho * g / length, moving, climb)
    grads, second = gradients({**variables, "params": masks.merge(up, frozen)}, climbed, group, axis_name)
    return grads, first, second


@declares(
    contract_options={"margin": 1.0},
    because="an untrained net is sure of no clip: its entropies pass no narrower margin",
    unsaid={"recovery": "whole", "few_classes": "scaled"},
    recipes={
        "authors_imagenet": {
            "optimiser": "sgd",
            "lr": 2.5e-4,
            "momentum": 0.9,
            "rho": 0.05,
            "margin": 0.4,
            "recover": 0.2,
            "few_classes": "as_given",
            "recovery": "parameters",
            "evaluate": "batch",
        },
    },
)
def sar(
    classifier: Classifier,
    *,
    lr: float | Array = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    rho: float = 0.05,
    margin: float = 0.4,
    recover: float = 0.2,
    few_classes: str = "scaled",
    recovery: str = "whole",
    group: str = "norm",
    evaluate: str = "running",
    entropy_rows: EntropyRows = losses.exact_entropy_rows,
    axis_name: str | None = None,
) -> Method:
    """Minimises the entropy of reliable clips at the sharpest nearby point, and recovers the source when it collapses.

    With S the clips of entropy below `E0 = margin ln C`: `g = grad mean_{b in S} E_b(theta)`, then at
    `theta' = theta + rho g / |g|` the gradient of the mean entropy of those of S that are still below E0 drives one
    step from `theta`. When the moving average of that second loss (0.9 old + 0.1 new) falls below `recover`, the source
    parameters, statistics and optimiser come back and the average starts anew (but see `recovery`). A batch without
    reliable clips moves nothing but BatchNorm's running statistics, which follow the first pass alone. A step's
    prediction is taken before its update, from the first pass.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, or "adam".
      rho: length of the climb in parameter space.
      margin: E0 as a share of ln C.
      recover: threshold in nats, set by the authors for 1,000 classes (ln C = 6.9); 0 never recovers.
      few_classes: "scaled" takes `recover ln C / ln 10` where C is below 10 (`batchwise.recovery_for`), "as_given" does
        not; the authors had no fewer.
      recovery: "whole", or "parameters" as the authors' code, whose reset leaves the momentum and puts the average that
        fell below `recover` back: it goes on from there, and recovers until surer losses have raised it again.
      group: parameters that move, a name of `nets.masks.GROUPS`; the authors leave the last blocks' norms out.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      entropy_rows: for code alone: what stands for E_b.
      axis_name: the mapped axis over which the batch is spread.

    Source: Niu et al., ICLR 2023, arXiv 2302.12400, equations 2 to 5 and algorithm 1.
    """
    registry.check("few_classes of method sar", few_classes, FEW_CLASSES)
    registry.check("recovery of method sar", recovery, RECOVERIES)
    passes = norm_passes("sar", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("sar", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("sar", variables, optimise, group)
        return state._replace(
            memory=SarMemory(jnp.zeros((), float_type(variables)), jnp.zeros((), bool), take_snapshot(state, group))
        )

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        grads, first, second = sharp_gradients(
            passes, state.variables, batch, group, margin, rho, axis_name, entropy_rows
        )
        moving, frozen = masks.split(state.variables["params"], group)
        updates, opt_state = optimise.update(grads, state.opt_state, moving)
        some = second.losses["kept"] > 0
        moving, opt_state = where(some, (optax.apply_updates(moving, updates), opt_state), (moving, state.opt_state))
        params = masks.merge(moving, frozen)
        variables = {**state.variables, "params": params, "batch_stats": first.batch_stats}
        memory = followed(state.memory, second.losses["total"], some)
        least = recovery_for(recover, first.logits.shape[-1], few_classes)
        collapsed = memory.seen & (memory.average < least)
        start = memory.start if recovery == "whole" else memory.start._replace(opt_state=opt_state)
        state = restored(AdaptState(variables, opt_state, (), state.step + 1), start, group, collapsed)
        if recovery == "whole":
            memory = memory._replace(seen=memory.seen & ~collapsed)
        terms = {**with_idle(second.losses), **first.losses, "recovered": collapsed.astype(batch.weights.dtype)}
        return state._replace(memory=memory), Prediction(first.logits, terms)

    return Method(init, step, passes.predict, adapts=group, passes=(2, 2))
