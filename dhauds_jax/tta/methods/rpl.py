"""RPL: robust pseudo-labels, the generalised cross-entropy against the model's own predictions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import norm_passes, sgd_or_adam
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


def generalised_cross_entropy(logits: Float[Array, "batch classes"], q: float) -> Float[Array, " batch"]:
    """`(1 - p_c^q) / q` of each row, c its most probable class; `-log p_c` at q = 0.

    Its gradient is that of the cross-entropy times `p_c^q`: unsure rows, more often wrong, pull less.

    Source: Zhang and Sabuncu, NeurIPS 2018, arXiv 1805.07836, equation 6.
    """
    # Not `max`: its slope compares the rows with their maximum, which a fused program may round in another way (0 / 0).
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits, -1), logits.argmax(-1)[:, None], -1)[:, 0]
    return -log_p if q == 0 else -jnp.expm1(q * log_p) / q


@declares(
    unsaid={"nesterov": False},
    recipes={
        "library_cifar": {"optimiser": "adam", "lr": 1e-3, "momentum": 0.9, "q": 0.8, "evaluate": "batch"},
        "library_imagenet": {
            "optimiser": "sgd",
            "lr": 5e-4,
            "momentum": 0.9,
            "nesterov": True,
            "q": 0.8,
            "evaluate": "batch",
        },
    },
)
def rpl(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    q: float = 0.8,
    nesterov: bool = False,
    group: str = "norm",
    evaluate: str = "running",
    axis_name: str | None = None,
) -> Method:
    """Minimises `mean_b (1 - p_b(c_b)^q) / q`, `c_b = argmax p_b`, by the normalisation layers' scales and shifts.

    The generalised cross-entropy lies between the cross-entropy (q to 0, `pseudo_label`) and the mean absolute error
    (q = 1), and bears wrong labels better than the former. Labels are taken anew from each batch, in the pass that is
    differentiated; a step's prediction is taken before its update.

    Args:
      classifier: the network.
      lr: learning rate (1e-3 with Adam is a library's for CIFAR; the authors' for ImageNet is 7.5e-4 with SGD).
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" or "sgd".
      q: of the loss, 0 (cross-entropy) to 1; the authors have 0.8.
      nesterov: whether SGD's momentum is Nesterov's.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: `q` outside 0 to 1.

    Source: Rusak et al., TMLR 2022, arXiv 2104.12928 (robust pseudo-labelling).
    """
    if not 0.0 <= q <= 1.0:
        raise BadInput(f"rpl: q is {q}, expected a number from 0 (cross-entropy) to 1 (absolute error)")
    passes = norm_passes("rpl", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("rpl", optimiser, lr, momentum, nesterov)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return first_state("rpl", variables, optimise, group)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            value = losses.weighted_mean(generalised_cross_entropy(logits, q), batch.weights, axis_name)
            terms = {"total": value, "entropy": losses.entropy(logits, batch.weights, axis_name, epsilon=0.0)}
            return value, Evaluated(terms, stats, logits)

        state, evaluated = gradient_update(state, loss, optimise, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))
