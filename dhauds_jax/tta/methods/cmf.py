"""CMF: ROID's losses, and a Kalman filter over the parameters between the source and what was learnt."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.methods.roid import RoidMemory, roid
from dhauds_jax.tta.update import between, float_type
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

LEAST, FULL = 0.89, 0.9999
"""The hidden model keeps at least this share of itself, and all of itself from the second share on (authors' code)."""


class CmfMemory(NamedTuple):
    """What CMF remembers.

    Attributes:
      roid: ROID's average of probabilities and the moving leaves of the source.
      hidden: the moving leaves of the hidden model, the filter's estimate.
      variance: the variance of that estimate.
      noise: q, the process noise of this network's number of moving parameters.
    """

    roid: RoidMemory
    hidden: Any
    variance: Float[Array, ""]
    noise: Float[Array, ""]


def gain(variance: Float[Array, ""], noise: Float[Array, ""], alpha: float) -> tuple[Array, Array]:
    """The share that the hidden model keeps of itself, and its variance afterwards.

    Predicted variance `v = alpha^2 variance + q`, measurement noise `r = 1 - q`; share `b = r / (v + r)`, cut at
    `LEAST`, 1 from `FULL` on; variance `b v`.
    """
    predicted = alpha**2 * variance + noise
    measured = 1 - noise
    share = jnp.maximum(measured / (predicted + measured), LEAST)
    share = jnp.where(share < FULL, share, 1.0)
    return share, share * predicted


AUTHORS = {"momentum": 0.9, "alpha": 0.99, "gamma": 0.99, "q": 0.005, "prior": "logits", "evaluate": "batch"}
"""What the authors' two recipes share."""


@declares(
    unsaid={"prior": "probabilities", "nesterov": False},
    recipes={
        "authors_cifar": {**AUTHORS, "optimiser": "adam", "lr": 1e-3},
        "authors_imagenet": {**AUTHORS, "optimiser": "sgd", "lr": 2.5e-4, "nesterov": True},
    },
)
def cmf(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    alpha: float = 0.99,
    gamma: float = 0.99,
    q: float = 0.005,
    q_for: int = 38_400,
    temperature: float = 1 / 3,
    consistency: bool = True,
    correction: bool = True,
    prior: str = "probabilities",
    nesterov: bool = False,
    limit: float = 0.1,
    group: str = "norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """ROID's step, after which the parameters are filtered instead of mixed with the source.

    A hidden model h, at first the source, is estimated like a state that is seen through noise: it draws back to the
    source, `h = alpha h + (1 - alpha) source`, then takes up what the step arrived at, `h = b h + (1 - b) theta` with
    the `gain` b of its variance; then `theta = gamma theta + (1 - gamma) h`. Losses, predictions and their correction
    are those of `roid` (with `ensemble=1`, which mixes nothing).

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" (the authors on CIFAR, rate 1e-3) or "sgd" (on ImageNet, rate 2.5e-4).
      alpha: share of the hidden model that does not go back to the source.
      gamma: share of the adapted weights in the next step's, the rest is the hidden model's.
      q: process noise, for a network with `q_for` moving parameters; as many times that as it has (authors' code).
      q_for: the moving parameters that `q` is for; 0: of every network. Networks with few have a small q, their hidden
        model hardly leaves the source, and this is `roid`.
      temperature: of the row weights.
      consistency: whether the symmetric cross-entropy counts; off saves the second view.
      correction: whether predictions are corrected by the prior.
      prior: what the correction multiplies, as in `roid`.
      nesterov: whether SGD's momentum is Nesterov's, as in the authors' code.
      limit: largest shift of the second view as a share of the clip.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: shares outside 0 to 1, or a process noise outside 0 to 1.

    Source: Lee and Chang, ICLR 2024 (openreview.net/forum?id=BllUWdpIOA); the numbers are those of their cmf.py.
    """
    for option, value in (("alpha", alpha), ("gamma", gamma)):
        if not 0.0 <= value <= 1.0:
            raise BadInput(f"cmf: {option} is {value}, expected a share from 0 to 1")
    if q_for < 0:
        raise BadInput(f"cmf: q_for is {q_for}, expected a number of parameters, or 0")
    learner = roid(
        classifier,
        lr=lr,
        momentum=momentum,
        optimiser=optimiser,
        ensemble=1.0,
        temperature=temperature,
        consistency=consistency,
        correction=correction,
        prior=prior,
        nesterov=nesterov,
        limit=limit,
        group=group,
        evaluate=evaluate,
        axis_name=axis_name,
    )

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        params = variables["params"]
        noise = q * masks.count(params, group) / q_for if q_for else q
        if not 0.0 <= noise < 1.0:
            raise BadInput(
                f"cmf: q={q} comes to {noise:.3g} for the {masks.count(params, group)} parameters that move, expected "
                "0 to below 1: give a smaller q, or q_for=0 to take it as it is"
            )
        state = learner.init(variables, info)
        hidden = jax.tree.map(jnp.copy, masks.split(params, group)[0])
        numbers = (jnp.asarray(number, float_type(variables)) for number in (0.0, noise))
        return state._replace(memory=CmfMemory(state.memory, hidden, *numbers))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return learner.predict(state._replace(memory=state.memory.roid), batch)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        before = state.memory
        state, prediction = learner.step(state._replace(memory=before.roid), batch, key)
        learnt, frozen = masks.split(state.variables["params"], group)
        share, variance = gain(before.variance, before.noise, alpha)
        hidden = between(share, between(alpha, before.hidden, before.roid.source), learnt)
        variables = {**state.variables, "params": masks.merge(between(gamma, learnt, hidden), frozen)}
        memory = CmfMemory(state.memory, hidden, variance, before.noise)
        return state._replace(variables=variables, memory=memory), prediction

    return Method(init, step, predict, adapts=group, passes=learner.passes)
