"""NTTA, the ancestor of DHAuDS: two shifted views under the loss of its code, or that of its text."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax import registry
from dhauds_jax.dsp.views import rolled_views
from dhauds_jax.parallel import total
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.losses import safe_sqrt, weighted_mean
from dhauds_jax.tta.methods.dhauds import Views, root_of_missing_rows, two_view_losses, two_view_method
from dhauds_jax.tta.multilabel_losses import activation_losses, both_sides
from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd
from dhauds_jax.types import Batch, Classifier, Method

PROFILES = {
    "reference": {"partial_batch": "as_is", "first_epoch_plain": True, "nesterov": False},
    "corrected": {"partial_batch": "rescaled", "first_epoch_plain": False, "nesterov": True},
}
"""Options that a profile sets: quirks 22, 4 and 3 of the reference."""


def frobenius_norm(
    logits: Float[Array, "batch classes"],
    weights: Float[Array, " batch"] | None = None,
    axis_name: str | None = None,
    *,
    activation: str = "softmax",
) -> Float[Array, ""]:
    """Minus the Frobenius norm of the batch's probability matrix, `-sqrt(sum_bc p_bc^2)`.

    "sigmoid": of the matrix with both sides of each class, `-sqrt(sum_bc p^2 + (1 - p)^2)`.
    """
    p = jax.nn.softmax(logits, -1) if activation == "softmax" else both_sides(logits)
    rows = jnp.square(p).reshape(len(p), -1).sum(-1)
    return -safe_sqrt(total((rows if weights is None else rows * weights).sum(), axis_name))


def own_label_cross_entropy(
    logits: Float[Array, "batch classes"],
    weights: Float[Array, " batch"] | None = None,
    axis_name: str | None = None,
    *,
    activation: str = "softmax",
) -> Float[Array, ""]:
    """Mean cross-entropy against the one-hot of the row's own argmax, `-log max_c p_c`.

    "sigmoid": against the row's own decisions, the mean over classes of `-log max(p, 1 - p)`.
    """
    if activation == "softmax":
        return weighted_mean(-jax.nn.log_softmax(logits, -1).max(-1), weights, axis_name)
    return weighted_mean(-jax.nn.log_sigmoid(jnp.abs(logits)).mean(-1), weights, axis_name)


def text_losses(
    logits1: Array,
    logits2: Array,
    weights: Array | None,
    axis_name: str | None,
    *,
    nucnm: float,
    ent: float,
    gent: float,
    q: float,
    partial_batch: str,
    activation: str,
    slot: Array | None = None,
) -> dict[str, Array]:
    """The loss as NTTA's text has it, summed over both views: terms times their rates, and `total`."""
    tail = (weights, axis_name)
    both = (logits1, logits2)
    generalised = activation_losses(activation).generalised_entropy
    terms = {
        "nucnm": nucnm * sum(frobenius_norm(z, *tail, activation=activation) for z in both),
        "entropy": ent * sum(own_label_cross_entropy(z, *tail, activation=activation) for z in both),
        "gent": gent * sum(generalised(z, *tail, q=q) for z in both),
    }
    if partial_batch == "rescaled" and weights is not None:
        terms["nucnm"] = terms["nucnm"] * root_of_missing_rows(weights, slot, axis_name)
    return {"total": sum(terms.values()), **terms}


@declares(profiles=PROFILES, unsaid={"forward": "one_by_one"})
def ntta(
    classifier: Classifier,
    *,
    loss: str = "code",
    lr: float | Array = 1e-4,
    backbone: float = 0.5,
    classifier_rate: float = 1.0,
    nucnm: float = 1.0,
    ent: float = 1.0,
    gent: float = 1.0,
    q: float = 0.9,
    epsilon: float = 1e-6,
    cardinality: int = 50,
    gamma: float = 30.0,
    threshold: int = 1,
    momentum: float = 0.9,
    weight_decay: float = 1e-3,
    limit: float = 0.17,
    group: str = "all",
    partial_batch: str = "as_is",
    first_epoch_plain: bool = True,
    nesterov: bool = False,
    activation: str = "softmax",
    views: Views | None = None,
    axis_name: str | None = None,
) -> Method:
    """Adapts all parameters so that two circularly shifted views are confident and spread over the classes.

    Views, forward passes, prediction (mean softmax of both views before the update) and optimiser as in `dhauds`; the
    losses are summed over both views and the text and the code of the system disagree about them:
      "code": `nucnm * -(1/C) sum_c sqrt(sum_b p_bc^2)` + `ent * mean_b -sum_c p log(p + epsilon)`; no generalised
        entropy (the function is there, uncalled).
      "text": `nucnm * -sqrt(sum_bc p_bc^2)` (minus the Frobenius norm of the softmax matrix) + `gent * mean_b
        (1 - sum_c p^q) / (q - 1)` + `ent * mean_b -log p_by`. The text's y is the true label. True labels do not exist
        at test time, so y is the model's own argmax here: the cross-entropy is `-log max_c p_bc`.

    Args:
      classifier: the network.
      loss: "code" or "text".
      lr: learning rate; `backbone` and `classifier_rate` are factors on it for the encoder and the head.
      backbone: see `lr`.
      classifier_rate: see `lr`.
      nucnm: rate of the norm term.
      ent: rate of the entropy ("code") or of the cross-entropy ("text").
      gent: rate of the generalised entropy, in "text" alone.
      q: order of the generalised entropy (0.9 is the default of the uncalled function).
      epsilon: inside the logarithm of the entropy, in "code" alone.
      cardinality: epochs of the schedule (`tta.sgd.SGDOptions` has this and the next four).
      gamma: steepness of the schedule.
      threshold: epochs at the end of the schedule in which the rate stands still.
      momentum: SGD's momentum.
      weight_decay: SGD's coupled weight decay.
      limit: largest shift as a share of the clip, 0 to 1.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      partial_batch: "as_is" (quirk 22: a partial batch has a smaller norm term) or "rescaled".
      first_epoch_plain: quirk 4, no momentum and decay in epoch 0.
      nesterov: False is quirk 3.
      activation: "softmax", or "sigmoid" for multi-label networks (each class with its two sides).
      views: replaces the rolled views, `(key, batch) -> (view 1, view 2)`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice.

    Source: NTTA (the DHAuDS repository at commit 382c301, no paper): its README (text), its loss functions (code).
    """
    registry.check("loss of method ntta", loss, ("code", "text"))
    registry.check("partial_batch of method ntta", partial_batch, ("as_is", "rescaled"))
    optimiser = scheduled_sgd(
        SGDOptions(
            lr=lr,
            backbone=backbone,
            classifier=classifier_rate,
            cardinality=cardinality,
            gamma=gamma,
            threshold=threshold,
            momentum=momentum,
            weight_decay=weight_decay,
            first_epoch_plain=first_epoch_plain,
            nesterov=nesterov,
        )
    )
    make_views = views or (lambda key, batch: rolled_views(key, batch.wave, batch.index, limit))
    shared = dict(nucnm=nucnm, ent=ent, q=q, partial_batch=partial_batch, activation=activation)

    def view_losses(logits1: Array, logits2: Array, batch: Batch) -> dict[str, Array]:
        rows = (logits1, logits2, batch.weights, axis_name)
        if loss == "text":
            return text_losses(*rows, gent=gent, slot=batch.slot, **shared)
        fixed = dict(gent=0.0, mse=0.0, epsilon=epsilon, gent_views="both", slot=batch.slot)
        terms = two_view_losses(*rows, **fixed, **shared)
        return {name: terms[name] for name in ("total", "nucnm", "entropy")}

    return two_view_method(
        "ntta",
        classifier,
        optimiser,
        make_views,
        view_losses,
        group=group,
        activation=activation,
        axis_name=axis_name,
    )
