"""ROID: weighted soft likelihood ratio, weight ensembling with the source, consistency and prior correction."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.dsp.views import random_roll
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import kept_share, norm_passes, sgd_or_adam
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state, float_type, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

Logits = Float[Array, "batch classes"]
Rows = Float[Array, " batch"]


class RoidMemory(NamedTuple):
    """The moving average of the probabilities (classes,), and the moving leaves of the source model."""

    average: Float[Array, " classes"]
    source: Any


def soft_likelihood_ratio(logits: Logits, clip: float = 0.99, epsilon: float = 1e-5) -> Rows:
    """`-sum_c p_c log(p_c / (1 - p_c) + epsilon)` of each row, p cut at `clip` (no gradient beyond it)."""
    p = jnp.minimum(jax.nn.softmax(logits, -1), clip)
    return -(p * jnp.log(p / (1 - p) + epsilon)).sum(-1)


def symmetric_cross_entropy(logits1: Logits, logits2: Logits) -> Rows:
    """`-1/2 sum_c (p2_c log p1_c + p1_c log p2_c)` of each row."""
    log1, log2 = jax.nn.log_softmax(logits1, -1), jax.nn.log_softmax(logits2, -1)
    return -0.5 * (jnp.exp(log2) * log1 + jnp.exp(log1) * log2).sum(-1)


def _stretched(rows: Rows, weights: Rows, axis_name: str | None) -> Rows:
    """Maps the real rows of the whole batch to [0, 1] linearly; all to 0 where they are equal (real rows or not)."""
    low = jnp.where(weights > 0, rows, jnp.inf).min()
    high = jnp.where(weights > 0, rows, -jnp.inf).max()
    if axis_name is not None:
        low, high = jax.lax.pmin(low, axis_name), jax.lax.pmax(high, axis_name)
    return jnp.where(high > low, (rows - low) / jnp.where(high > low, high - low, 1.0), 0.0)


def row_weights(
    logits: Logits, average: Float[Array, " classes"], weights: Rows, temperature: float, axis_name: str | None = None
) -> Rows:
    """`exp(diversity certainty / temperature)`, 0 for padded rows and for those of less than the mean diversity.

    Diversity is 1 - cosine of the row's softmax with `average`, certainty minus its entropy, each stretched to [0, 1]
    over the batch.
    """
    p = jax.nn.softmax(logits, -1)
    lengths = jnp.linalg.norm(p, axis=-1) * jnp.linalg.norm(average)
    diversity = _stretched(1 - (p @ average) / jnp.maximum(lengths, 1e-8), weights, axis_name)
    certainty = _stretched(-losses.entropy_rows(logits, 0.0), weights, axis_name)
    enough = diversity >= losses.weighted_mean(diversity, weights, axis_name)
    return jnp.where((weights > 0) & enough, jnp.exp(diversity * certainty / temperature), 0.0)


PRIORS = ("probabilities", "logits")
"""What the prior multiplies: probabilities, which is what a prior does, or logits, as the authors' code has it."""


def prior_corrected(
    logits: Logits, weights: Rows, axis_name: str | None = None, times: str = "probabilities"
) -> Logits:
    """`log p + log prior` (`times="logits"`: logits * prior), the prior being the batch's smoothed mean softmax.

    With m the mean, the prior is `(m + s) / (1 + s C)`, `s = max(1 / rows, 1 / C) / max_c m_c`: the fewer rows, the
    flatter the prior.
    """
    log_p = jax.nn.log_softmax(logits, -1)
    summed, rows = total((weights @ jnp.exp(log_p), weights.sum()), axis_name)
    mean, classes = summed / rows, logits.shape[-1]
    smooth = jnp.maximum(1 / rows, 1 / classes) / mean.max()
    prior = ((mean + smooth) / (1 + smooth * classes))[None]
    return logits * prior if times == "logits" else log_p + jnp.log(prior)


AUTHORS = {
    "momentum": 0.9,
    "ensemble": 0.99,
    "temperature": 1 / 3,
    "consistency": True,
    "correction": True,
    "prior": "logits",
    "evaluate": "batch",
}
"""What the authors' two recipes share."""


@declares(
    unsaid={"prior": "probabilities", "nesterov": False},
    recipes={
        "authors_cifar": {**AUTHORS, "optimiser": "adam", "lr": 1e-3},
        "authors_imagenet": {**AUTHORS, "optimiser": "sgd", "lr": 2.5e-4, "nesterov": True},
    },
)
def roid(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    ensemble: float = 0.99,
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
    """Minimises a weighted soft likelihood ratio plus consistency, and mixes the weights with the source's.

    `1/B sum_b w_b (SLR(x_b) + SCE(x_b, x'_b))` with the `row_weights` w against the moving average of the probabilities
    (from uniform, 0.9 old + 0.1 new), without gradient; x' is the clip rolled circularly by up to `limit` of its length
    (the authors take image augmentations), forwarded as a batch of the rows with w > 0. After the optimiser's step
    `theta = ensemble theta + (1 - ensemble) theta_source`. Predictions, of a step before its update and of an
    evaluation, are `prior_corrected` over their batch.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" (the authors on CIFAR, rate 1e-3) or "sgd" (on ImageNet, rate 2.5e-4).
      ensemble: share of the adapted weights, 0 to 1.
      temperature: of the row weights.
      consistency: whether the symmetric cross-entropy counts; off saves the second view.
      correction: whether predictions are corrected by the prior.
      prior: what the prior multiplies, "probabilities", or "logits" as the authors' code.
      nesterov: whether SGD's momentum is Nesterov's, as in the authors' code.
      limit: largest shift of the second view as a share of the clip.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: `ensemble` outside 0 to 1, an unknown `prior`.

    Source: Marsden et al., WACV 2024, arXiv 2306.00650, section 4.
    """
    if not 0.0 <= ensemble <= 1.0:
        raise BadInput(f"roid: ensemble is {ensemble}, expected a share from 0 (source) to 1 (adapted)")
    registry.check("prior of method roid", prior, PRIORS)
    passes = norm_passes("roid", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("roid", optimiser, lr, momentum, nesterov)

    def corrected(logits: Array, weights: Array) -> Array:
        return prior_corrected(logits, weights, axis_name, prior) if correction else logits

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        source, _ = masks.split(variables["params"], group)
        average = jnp.full(info.classes, 1 / info.classes, float_type(variables))
        return first_state("roid", variables, optimise, group)._replace(memory=RoidMemory(average, source))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return corrected(passes.predict(state, batch), batch.weights)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        average, source = state.memory
        shifted = random_roll(key, batch.wave, batch.index, limit) if consistency else None

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            w = row_weights(jax.lax.stop_gradient(logits), average, batch.weights, temperature, axis_name)
            terms = {"slr": losses.weighted_mean(w * soft_likelihood_ratio(logits), batch.weights, axis_name)}
            if consistency:
                view = passes.look(variables, shifted, (w > 0).astype(w.dtype))
                rows = w * symmetric_cross_entropy(view, logits)
                terms["consistency"] = losses.weighted_mean(rows, batch.weights, axis_name)
            value = sum(terms.values())
            kept = kept_share(w, batch.weights, axis_name)
            return value, Evaluated({"total": value, **terms, "kept": kept}, stats, logits)

        state, evaluated = gradient_update(state, loss, optimise, group, axis_name)
        moving, frozen = masks.split(state.variables["params"], group)
        mixed = jax.tree.map(lambda new, old: ensemble * new + (1 - ensemble) * old, moving, source)
        variables = {**state.variables, "params": masks.merge(mixed, frozen)}
        p = jax.nn.softmax(evaluated.logits, -1)
        summed, rows = total((batch.weights @ p, batch.weights.sum()), axis_name)
        memory = RoidMemory(0.9 * average + 0.1 * summed / rows, source)
        prediction = Prediction(corrected(evaluated.logits, batch.weights), evaluated.losses)
        return state._replace(variables=variables, memory=memory), prediction

    return Method(init, step, predict, adapts=group, passes=(2, 2) if consistency else (1, 1))
