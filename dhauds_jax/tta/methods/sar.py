"""SAR: sharpness-aware entropy minimisation on reliable clips, with recovery from collapse."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax.tta import losses, masks
from dhauds_jax.tta.batchwise import (
    Snapshot,
    chosen_mean,
    kept_share,
    make_optimiser,
    norm_passes,
    restored,
    take_snapshot,
    where,
)
from dhauds_jax.tta.update import Evaluated, first_state, gradients
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


class SarMemory(NamedTuple):
    """The moving average of the second loss (nats), whether it holds anything yet, and the state to recover."""

    average: Float[Array, ""]
    seen: Bool[Array, ""]
    start: Snapshot


def followed(memory: SarMemory, value: Float[Array, ""], some: Bool[Array, ""]) -> SarMemory:
    """The memory after a batch: 0.9 old + 0.1 `value` (first: `value`) where `some` holds."""
    moved = jnp.where(memory.seen, 0.9 * memory.average + 0.1 * value, value)
    return memory._replace(average=jnp.where(some, moved, memory.average), seen=memory.seen | some)


def sar(
    classifier: Classifier,
    *,
    lr: float = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    rho: float = 0.05,
    margin: float = 0.4,
    recover: float = 0.2,
    group: str = "norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises the entropy of reliable clips at the sharpest nearby point, and recovers the source when it collapses.

    With S the clips of entropy below `E0 = margin ln C`: `g = grad mean_{b in S} E_b(theta)`, then at
    `theta' = theta + rho g / |g|` the gradient of the mean entropy of those of S that are still below E0 drives one
    step from `theta`. When the moving average of that second loss (0.9 old + 0.1 new) falls below `recover`, the source
    parameters, statistics and optimiser come back and the average starts anew. A batch without reliable clips moves
    nothing but BatchNorm's running statistics, which follow the first pass alone. A step's prediction is taken before
    its update, from the first pass.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, or "adam".
      rho: length of the climb in parameter space.
      margin: E0 as a share of ln C.
      recover: threshold in nats, set by the authors for 1,000 classes (ln C = 6.9); 0 never recovers.
      group: parameters that move, a name of `tta.masks.GROUPS`; the authors leave the last blocks' norms out.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Source: Niu et al., ICLR 2023, arXiv 2302.12400, equations 2 to 5 and algorithm 1.
    """
    passes = norm_passes("sar", classifier, evaluate, axis_name)
    optimise = make_optimiser("sar", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("sar", variables, optimise, group)
        return state._replace(memory=SarMemory(jnp.zeros(()), jnp.zeros((), bool), take_snapshot(state, group)))

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def reliable(entropy: Array, classes: int, weights: Array) -> Array:
            return weights * (entropy < margin * math.log(classes))

        def first(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            entropy = losses.entropy_rows(logits, 0.0)
            value = chosen_mean(entropy, reliable(entropy, logits.shape[-1], batch.weights), axis_name)
            mean = losses.weighted_mean(entropy, batch.weights, axis_name)
            return value, Evaluated({"entropy": mean}, stats, logits)

        climb, seen = gradients(state.variables, first, group, axis_name)
        classes = seen.logits.shape[-1]
        trusted = reliable(losses.entropy_rows(seen.logits, 0.0), classes, batch.weights)

        def second(variables: Variables) -> tuple[Array, Evaluated]:
            logits = passes.look(variables, batch.wave, batch.weights)
            entropy = losses.entropy_rows(logits, 0.0)
            chosen = reliable(entropy, classes, trusted)
            value = chosen_mean(entropy, chosen, axis_name)
            return value, Evaluated(
                {"total": value, "kept": kept_share(chosen, batch.weights, axis_name)}, seen.batch_stats, logits
            )

        moving, frozen = masks.split(state.variables["params"], group)
        length = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(climb))) + 1e-12
        up = jax.tree.map(lambda p, g: p + rho * g / length, moving, climb)
        grads, sharp = gradients({**state.variables, "params": masks.merge(up, frozen)}, second, group, axis_name)
        updates, opt_state = optimise.update(grads, state.opt_state, moving)
        some = sharp.losses["kept"] > 0
        moving, opt_state = where(some, (optax.apply_updates(moving, updates), opt_state), (moving, state.opt_state))
        memory = followed(state.memory, sharp.losses["total"], some)
        variables = {
            **state.variables,
            "params": masks.merge(moving, frozen),
            "batch_stats": seen.batch_stats,
        }
        state = AdaptState(variables, opt_state, (), state.step + 1)
        collapsed = memory.seen & (memory.average < recover)
        state = restored(state, memory.start, group, collapsed)
        memory = memory._replace(seen=memory.seen & ~collapsed)
        terms = {**sharp.losses, **seen.losses, "recovered": collapsed.astype(jnp.float32)}
        return state._replace(memory=memory), Prediction(seen.logits, terms)

    return Method(init, step, passes.predict, adapts=group, passes=(2, 2))
