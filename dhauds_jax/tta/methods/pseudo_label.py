"""Pseudo-labels: cross-entropy against the model's own sure predictions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import chosen_mean, kept_share, norm_passes, sgd_or_adam, update_if_kept
from dhauds_jax.tta.update import Evaluated, first_state
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


def pseudo_label(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    threshold: float = 0.0,
    group: str = "batch_norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises `-mean_{b in S} log p_b(c_b)`, `c_b = argmax p_b`, by the normalisation layers' scales and shifts.

    S are the clips with `max p_b >= threshold`; a batch with empty S moves nothing but BatchNorm's running statistics.
    Labels are taken anew from each batch, in the pass that is differentiated; a step's prediction is taken before its
    update. Lee trains on labelled clips beside them; here there are none.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" or "sgd".
      threshold: least probability of the predicted class, 0 (all clips) to 1.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (of each batch).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: `threshold` outside 0 to 1.

    Source: Lee, ICML 2013 workshop on challenges in representation learning, equations 15 and 16.
    """
    if not 0.0 <= threshold <= 1.0:
        raise BadInput(f"pseudo_label: threshold is {threshold}, expected a probability from 0 to 1")
    passes = norm_passes("pseudo_label", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("pseudo_label", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return first_state("pseudo_label", variables, optimise, group)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            labels = logits.argmax(-1)
            surprise = -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels[:, None], -1)[:, 0]
            chosen = batch.weights * (jnp.exp(-jax.lax.stop_gradient(surprise)) >= threshold)
            value = chosen_mean(surprise, chosen, axis_name)
            terms = {
                "total": value,
                "entropy": losses.entropy(logits, batch.weights, axis_name, epsilon=0.0),
                "kept": kept_share(chosen, batch.weights, axis_name),
            }
            return value, Evaluated(terms, stats, logits)

        return update_if_kept(state, loss, optimise, group, axis_name)

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))
