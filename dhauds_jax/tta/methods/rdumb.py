"""RDumb: ETA that starts over every k steps."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.tta.batchwise import FEW_CLASSES, Snapshot, norm_passes, restored, sgd_or_adam, take_snapshot
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.methods.eata import AUTHORS, EataMemory, Filter, filtered_entropy_step
from dhauds_jax.tta.update import first_state, float_type
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


class RDumbMemory(NamedTuple):
    """ETA's memory, and the state to start over from."""

    eta: EataMemory
    start: Snapshot


@declares(
    contract_options={"margin": 1.0},
    because="an untrained net is sure of no clip: its entropies pass no narrower margin",
    unsaid={"few_classes": "scaled"},
    recipes={
        # Their margin is ln(1000) / 2 - 1 nats.
        "authors_imagenet": {
            **AUTHORS,
            "lr": 2.5e-4,
            "margin": 0.5 - 1 / math.log(1000),
            "redundancy": 0.05,
            "every": 1000,
        },
    },
)
def rdumb(
    classifier: Classifier,
    *,
    lr: float | Array = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    margin: float = 0.4,
    redundancy: float = 0.4,
    few_classes: str = "scaled",
    every: int = 1000,
    group: str = "batch_norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """ETA (`eata` without its Fisher term), brought back to the source model before steps k, 2k, 3k...

    A reset restores the moving parameters, BatchNorm's running statistics, the optimiser and the average of
    probabilities. A step's prediction is taken after its reset and before its update.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, or "adam".
      margin: E0 as a share of ln C.
      redundancy: largest cosine with the moving average of probabilities (the authors have 0.05 for 1,000 classes; see
        `eata`).
      few_classes: "scaled" or "as_given", as in `eata`.
      every: k, the steps between two resets.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: `every` below 1.

    Source: Press et al., NeurIPS 2023, arXiv 2306.05401, section 5.
    """
    if every < 1:
        raise BadInput(f"rdumb: every is {every}, expected at least 1 step between resets")
    registry.check("few_classes of method rdumb", few_classes, FEW_CLASSES)
    passes = norm_passes("rdumb", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("rdumb", optimiser, lr, momentum)
    eta_step = filtered_entropy_step(passes, Filter(margin, redundancy, few_classes), optimise, group, axis_name)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("rdumb", variables, optimise, group)
        state = state._replace(memory=EataMemory(jnp.zeros(info.classes, float_type(variables)), jnp.zeros((), bool)))
        return state._replace(memory=RDumbMemory(state.memory, take_snapshot(state, group)))

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        start: Any = state.memory.start
        due: Array = (state.step > 0) & (state.step % every == 0)
        state = restored(state._replace(memory=state.memory.eta), start, group, due)
        state, prediction = eta_step(state, batch, key)
        return state._replace(memory=RDumbMemory(state.memory, start)), prediction

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))
