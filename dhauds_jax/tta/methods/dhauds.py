"""DHAuDS: two time-shifted views, nuclear-norm, entropy, generalised-entropy and consistency losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.dsp.views import rolled_views
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.normalisers import EVAL, TRAIN, grouped_batch
from dhauds_jax.parallel import total
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.multilabel_losses import activation_losses
from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd, with_steps_per_epoch
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

FORWARDS = ("one_by_one", "together")
"""How two views are forwarded: one after the other, or as one batch whose BatchNorms see two."""

FOLLOWED = ("each", "mean")
"""How running statistics follow two views: one after the other, so twice, or once, half a step by each."""

Views = Callable[[PRNGKeyArray, Batch], tuple[Array, Array]]

PROFILES = {
    "reference": {"gent_views": "first_twice", "partial_batch": "as_is", "first_epoch_plain": True, "nesterov": False},
    "corrected": {"gent_views": "both", "partial_batch": "rescaled", "first_epoch_plain": False, "nesterov": True},
}
"""Options that a profile sets: quirks 1, 22, 4 and 3 of the reference."""


def two_view_losses(
    logits1: Array,
    logits2: Array,
    weights: Array | None,
    axis_name: str | None,
    *,
    nucnm: float,
    ent: float,
    gent: float,
    q: float,
    mse: float,
    epsilon: float,
    gent_views: str,
    partial_batch: str,
    activation: str = "softmax",
    slot: Array | None = None,
) -> dict[str, Array]:
    """The terms of the two-view loss, each times its rate, and their sum `total`; a rate of 0 leaves a term out."""
    losses = activation_losses(activation)
    zero = jnp.zeros((), logits1.dtype)
    both = (logits1, logits2)
    # As the reference codes it, the generalised entropy takes view 1 twice (quirk 1).
    gent_pair = both if gent_views == "both" else (logits1, logits1)

    def summed(rate: float, term: Callable[[Array], Array], pair: tuple[Array, Array]) -> Array:
        return rate * (term(pair[0]) + term(pair[1])) if rate > 0 else zero

    terms = {
        "nucnm": summed(nucnm, lambda z: losses.nuclear_norm(z, weights, axis_name), both),
        "entropy": summed(ent, lambda z: losses.entropy(z, weights, axis_name, epsilon=epsilon), both),
        "gent": summed(gent, lambda z: losses.generalised_entropy(z, weights, axis_name, q=q), gent_pair),
        "consistency": mse * losses.consistency(*both, weights, axis_name) if mse > 0 else zero,
    }
    if partial_batch == "rescaled" and weights is not None:
        # The column norm grows with the root of the rows: a partial batch is scaled as if it were full.
        terms["nucnm"] = terms["nucnm"] * root_of_missing_rows(weights, slot, axis_name)
    return {"total": sum(terms.values()), **terms}


def root_of_missing_rows(weights: Array, slot: Array | None, axis_name: str | None) -> Array:
    """Square root of all rows (that `slot` counts) over real ones: what a column norm of a padded batch lacks."""
    counted = jnp.full((), weights.size, weights.dtype) if slot is None else slot.sum()
    rows, real = total((counted, weights.sum()), axis_name)
    return jnp.sqrt(rows / real)


def two_view_method(
    name: str,
    classifier: Classifier,
    optimiser: optax.GradientTransformation,
    make_views: Views,
    view_losses: Callable[[Array, Array, Batch], dict[str, Array]],
    *,
    group: str,
    activation: str,
    axis_name: str | None,
    forward: str = "one_by_one",
    view_count: int = 2,
    follow: str = "each",
) -> Method:
    """A method that forwards two views in train mode, the first one first, and takes one step of scheduled SGD.

    Each view has its own batch statistics, so the running ones move twice. A step's prediction is the mean probability
    of both views before the update; `predict` runs the clip itself in evaluation mode.

    Args:
      name: the method's, for messages.
      classifier: the network.
      optimiser: of `tta.sgd.scheduled_sgd`.
      make_views: `(key, batch) -> (view 1, view 2)`.
      view_losses: `(logits 1, logits 2, batch) -> losses by name`; `total` is minimised.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      activation: "softmax" or "sigmoid".
      axis_name: the mapped axis over which the batch is spread.
      forward: "one_by_one", or "together" in one batch, equal but for rounding and for dropout: rows of view 2 have
        masks of their own in view 1's draw, and LayerDrop skips a block for both views.
      view_count: 1 forwards view 1 alone, which then is both views to the losses.
      follow: a name of `FOLLOWED`.

    Raises:
      BadInput: an unknown `forward` or `follow`, together on a mapped axis (where rows would not be those of one
        device), with one view or with `follow=mean`, another `view_count` than 1 or 2.
    """
    registry.check(f"forward of method {name}", forward, FORWARDS)
    registry.check(f"follow of method {name}", follow, FOLLOWED)
    if view_count not in (1, 2):
        raise BadInput(f"{name}: view_count={view_count}, expected 1 or 2")
    if forward == "together" and (view_count, follow) != (2, "each"):
        raise BadInput(f"{name}: forward=together is for two views that are followed each, expected forward=one_by_one")
    if forward == "together" and axis_name is not None:
        raise BadInput(f"{name}: forward=together has no axis to spread its batch over, expected forward=one_by_one")
    mean_prediction = activation_losses(activation).mean_prediction

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state(name, variables, optimiser, group)
        return state._replace(opt_state=with_steps_per_epoch(state.opt_state, info.steps_per_epoch))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        view_key, key1, key2 = jax.random.split(key, 3)
        pair = make_views(view_key, batch)

        def both_views(variables: Variables) -> tuple[list[Array], Any]:
            if forward == "together":
                outputs, stats = classifier.apply(
                    variables,
                    jnp.concatenate(pair),
                    mode=TRAIN._replace(norm=grouped_batch(2)),
                    weights=jnp.tile(batch.weights, 2),
                    rngs={"dropout": key1},
                )
                return jnp.split(outputs.logits, 2), stats
            logits, followed, began = [], [], variables
            for wave, dropout_key in list(zip(pair, (key1, key2), strict=True))[:view_count]:
                outputs, stats = classifier.apply(
                    began if follow == "mean" else variables,
                    wave,
                    mode=TRAIN,
                    weights=batch.weights,
                    rngs={"dropout": dropout_key},
                    axis_name=axis_name,
                )
                variables = {**variables, "batch_stats": stats}
                logits.append(outputs.logits)
                followed.append(stats)
            if follow == "mean":
                stats = jax.tree.map(lambda *each: sum(each) / len(each), *followed)
            return [logits[0], logits[-1]], stats

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = both_views(variables)
            terms = view_losses(*logits, batch)
            return terms["total"], Evaluated(terms, stats, mean_prediction(*logits))

        state, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(init, step, predict, adapts=group, passes=(view_count, view_count))


@declares(profiles=PROFILES, unsaid={"forward": "one_by_one", "view_count": 2, "follow": "each"})
def dhauds(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    backbone: float = 0.45,
    classifier_rate: float = 1.0,
    nucnm: float = 1.0,
    ent: float = 0.5,
    gent: float = 0.5,
    q: float = 1.1,
    mse: float = 0.1,
    epsilon: float = 1e-8,
    cardinality: int = 50,
    gamma: float = 30.0,
    threshold: int = 35,
    momentum: float = 0.9,
    weight_decay: float = 1e-3,
    limit: float = 0.17,
    group: str = "all",
    gent_views: str = "first_twice",
    partial_batch: str = "as_is",
    first_epoch_plain: bool = True,
    nesterov: bool = False,
    activation: str = "softmax",
    forward: str = "one_by_one",
    view_count: int = 2,
    follow: str = "each",
    views: Views | None = None,
    axis_name: str | None = None,
) -> Method:
    """Adapts all parameters so that two circularly shifted views agree, are confident, and spread over the classes.

    Per batch: view 1 is rolled right by `int(u * limit * L)` samples, view 2 left, fresh each time; both are forwarded
    in train mode, view 1 first (each with its own batch statistics, running ones updated twice); loss =
    `nucnm(1)+nucnm(2)` + `ent(1)+ent(2)` + generalised entropies + `mse * mean ||p1 - p2||`; one SGD step.
    A step's prediction is the mean softmax of both views before the update (as log-probabilities); `predict` runs the
    clip unshifted in evaluation mode.

    Args:
      classifier: the network.
      lr: learning rate; `backbone` and `classifier_rate` are factors on it for the encoder and the head.
      backbone: see `lr`.
      classifier_rate: see `lr`.
      nucnm: rate of the nuclear-norm term (`losses.nuclear_norm`).
      ent: rate of the entropies, with `epsilon` inside the logarithm.
      gent: rate of the generalised entropies of order `q`.
      q: order of the generalised entropy.
      mse: rate of the consistency term.
      epsilon: see `ent`.
      cardinality: epochs of the schedule (`tta.sgd.SGDOptions` has this and the next four).
      gamma: steepness of the schedule.
      threshold: epochs at the end of the schedule in which the rate stands still.
      momentum: SGD's momentum.
      weight_decay: SGD's coupled weight decay.
      limit: largest shift as a share of the clip, 0 to 1.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      gent_views: "first_twice" (quirk 1: as coded in 7 of 8 scripts) or "both".
      partial_batch: "as_is" (quirk 22: a partial batch has a smaller nuclear-norm term) or "rescaled".
      first_epoch_plain: quirk 4, no momentum and decay in epoch 0.
      nesterov: False is quirk 3.
      activation: "softmax", or "sigmoid" for multi-label networks (`tta.multilabel_losses`); the reference adapts even
        those through a softmax (quirk 24).
      forward: "one_by_one" or "together", see `two_view_method`; records name it where it is "together".
      view_count: 2, or 1 to ask what the second view is worth: the terms of view 1 alone, each twice, so that rates
        mean the same (the consistency is 0).
      follow: "each", or "mean" to ask what following twice is worth: running statistics follow once, half by each view.
      views: replaces the rolled views, `(key, batch) -> (view 1, view 2)`.
      axis_name: the mapped axis over which the batch is spread.

    Source: DHAuDS, arXiv 2511.18421; HuBERT/*/ttda.py, AuT/*/ttda.py, lib/loss.py, lib/lr_utils.py.
    """
    registry.check("gent_views of method dhauds", gent_views, ("first_twice", "both"))
    registry.check("partial_batch of method dhauds", partial_batch, ("as_is", "rescaled"))
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
    # Of one view the distance is 0 and so is its gradient; left out, it costs nothing.
    rates = dict(nucnm=nucnm, ent=ent, gent=gent, q=q, mse=mse if view_count == 2 else 0.0, epsilon=epsilon)
    make_views = views or (lambda key, batch: rolled_views(key, batch.wave, batch.index, limit))

    def view_losses(logits1: Array, logits2: Array, batch: Batch) -> dict[str, Array]:
        choices = dict(gent_views=gent_views, partial_batch=partial_batch, activation=activation, slot=batch.slot)
        return two_view_losses(logits1, logits2, batch.weights, axis_name, **rates, **choices)

    return two_view_method(
        "dhauds",
        classifier,
        optimiser,
        make_views,
        view_losses,
        group=group,
        activation=activation,
        axis_name=axis_name,
        forward=forward,
        view_count=view_count,
        follow=follow,
    )
