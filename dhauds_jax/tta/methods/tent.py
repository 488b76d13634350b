"""TENT: entropy minimisation on the affine parameters of normalisation layers."""

from __future__ import annotations

import optax
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.tta.batchwise import norm_passes
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.multilabel_losses import activation_losses
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


@declares(
    unsaid={"optimiser": "adam"},
    recipes={
        "authors_cifar": {"optimiser": "adam", "lr": 1e-3, "b1": 0.9, "b2": 0.999, "evaluate": "batch"},
        "authors_imagenet": {"optimiser": "sgd", "lr": 2.5e-4, "b1": 0.9, "evaluate": "batch"},
    },
)
def tent(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    b1: float = 0.9,
    b2: float = 0.99,
    optimiser: str = "adam",
    group: str = "batch_norm",
    evaluate: str = "running",
    activation: str = "softmax",
    axis_name: str | None = None,
) -> Method:
    """Minimises the mean entropy of the predictions by the normalisation layers' scales and shifts.

    `-mean_b sum_c p log p`, one step a batch; BatchNorm uses the batch's statistics and the running ones follow;
    dropout is off. A step's prediction is taken before its update, from the same forward pass.

    Args:
      classifier: the network.
      lr: learning rate.
      b1: Adam's first-moment decay, or SGD's momentum.
      b2: Adam's second-moment decay (0.99 in TTA-in-AC).
      optimiser: "adam" or "sgd" (the authors on ImageNet).
      group: parameters that move, a name of `nets.masks.GROUPS`; "norm" takes layer and group norms too.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (of each batch, as the
        original, whose running statistics are removed).
      activation: "softmax", or "sigmoid" for multi-label networks: the mean over classes of the binary entropies.
      axis_name: the mapped axis over which the batch is spread.

    Source: Wang et al., ICLR 2021, arXiv 2006.10726, equation 2; TTA-in-AC, tentAdapt.
    """
    passes = norm_passes("tent", classifier, evaluate, axis_name)
    losses = activation_losses(activation)
    registry.check("optimiser of method tent", optimiser, ("adam", "sgd"))
    rule = optax.adam(lr, b1=b1, b2=b2) if optimiser == "adam" else optax.sgd(lr, momentum=b1)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return first_state("tent", variables, rule, group)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            value = losses.entropy(logits, batch.weights, axis_name, epsilon=0.0)
            return value, Evaluated({"total": value, "entropy": value}, stats, logits)

        state, evaluated = gradient_update(state, loss, rule, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(init, step, passes.predict, adapts=group, passes=(1, 1))
