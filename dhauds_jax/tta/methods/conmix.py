"""CoNMix: centroid pseudo-labels over the set, refined by their own past, and consistency with a changed clip."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import mel_image
from dhauds_jax.nets.mel_image import Moments, Statistics
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.parallel import total
from dhauds_jax.tta.batchwise import where
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.methods.conmix_labels import (
    ALPHA_TERMS,
    CLS_MODES,
    Rates,
    conmix_losses,
    refined_labels,
    soft_labels,
)
from dhauds_jax.tta.methods.conmix_parts import Ending, Labelling, Memory, Observed, Parts
from dhauds_jax.tta.methods.conmix_views import strong_features
from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd, with_steps_per_epoch
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables

INPUT_STATISTICS = ("evaluated_set", "checkpoint")
"""What normalises the images of nets that have some: the statistics of the very set (quirk 40), or their own."""

PROFILES = {
    "reference": {
        "alpha_term": "index",
        "stops_late": True,
        "input_statistics": "evaluated_set",
        "first_epoch_plain": True,
        "nesterov": False,
    },
    "corrected": {
        "alpha_term": "one_hot",
        "stops_late": False,
        "input_statistics": "checkpoint",
        "first_epoch_plain": False,
        "nesterov": True,
    },
}
"""Options that a profile sets: quirks 38, 37, 40, 4 and 3 of the reference."""


def _init(parts: Parts, variables: Variables, info: RunInfo) -> AdaptState:
    state = first_state("conmix", variables, parts.optimiser, parts.group)
    whole = parts.ending.drops and info.batch_size
    steps = max(1, info.clips // info.batch_size) if whole else info.steps_per_epoch
    memory = Memory(
        jnp.zeros((info.clips, info.classes), jnp.float32),
        jnp.zeros(info.clips, jnp.int32),
        jnp.zeros(info.classes, jnp.float32),
        jnp.zeros((), bool),
        jax.random.key_data(jax.random.key(0)),
        Statistics(jnp.zeros(1, jnp.float32), jnp.ones(1, jnp.float32)),
    )
    return state._replace(opt_state=with_steps_per_epoch(state.opt_state, steps), memory=memory)


def _predict(parts: Parts, state: AdaptState, batch: Batch) -> Array:
    return parts.classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits


def _observe(parts: Parts, state: AdaptState, batch: Batch) -> Observed:
    outputs, _ = parts.classifier.apply(state.variables, batch.wave, mode=EVAL)
    strong = Moments(*(jnp.zeros(len(batch.wave), jnp.float32) for _ in Moments._fields))
    if parts.own_statistics:
        key = jax.random.wrap_key_data(state.memory.rolls)
        strong = mel_image.moments(parts.strong_view(key, jax.random.fold_in(key, 2**31 - 1), batch))
    return Observed(outputs.logits, outputs.embedding, strong)


def _begin_epoch(parts: Parts, state: AdaptState, observed: Observed, key: PRNGKeyArray) -> AdaptState:
    """The state with labels of the whole set; the first look draws the key of every later roll."""
    old, labelling = state.memory, parts.labelling
    soft = soft_labels(observed.logits, observed.embedding, **labelling.centroids)
    labels = soft.argmax(-1).astype(jnp.int32)
    refined = soft
    if labelling.refinement is not None:
        later = refined_labels(old.previous, labels, soft, **labelling.refinement)
        refined = jnp.where(old.looked, later, soft)
    memory = Memory(
        refined,
        refined.argmax(-1).astype(jnp.int32),
        jax.nn.softmax(observed.logits, -1).mean(0),
        jnp.ones((), bool),
        jnp.where(old.looked, old.rolls, jax.random.key_data(key)),
        mel_image.pooled(observed.strong) if parts.own_statistics else old.strong,
    )
    return state._replace(memory=memory)


def _both_views(parts: Parts, state: AdaptState, batch: Batch, key: PRNGKeyArray) -> Array:
    """The clips' features, each weak one followed by its strong one."""
    memory = state.memory
    strong = parts.strong_view(jax.random.wrap_key_data(memory.rolls), key, batch)
    if parts.own_statistics:
        moved = mel_image.as_if(strong, memory.strong, mel_image.statistics_of(state.variables))
        strong = jnp.where(memory.looked, moved, strong)
    weak = parts.classifier.features(batch.wave)
    # Pairs side by side, so that a batch spread over devices has its rows in the order of one device.
    return jax.lax.stop_gradient(jnp.stack([weak, strong], 1).reshape(-1, *weak.shape[1:]))


def _pseudo_labels(parts: Parts, memory: Memory, batch: Batch, logits: Array, embedding: Array) -> tuple[Array, Array]:
    """The pseudo-labels of a batch and the set's mean prediction; before a look at the set, those of the batch."""
    weights = batch.weights
    here = soft_labels(logits, embedding, weights, parts.axis_name, **parts.labelling.centroids)
    summed, rows = total(((weights[:, None] * jax.nn.softmax(logits, -1)).sum(0), weights.sum()), parts.axis_name)
    soft = jnp.where(memory.looked, memory.soft[batch.index], here)
    return soft, jnp.where(memory.looked, memory.mean, summed / rows)


def _goes_on(parts: Parts, state: AdaptState, batch: Batch) -> Bool[Array, ""]:
    """Whether this batch changes the state."""
    go_on = jnp.ones((), bool)
    if parts.ending.last:
        go_on = state.opt_state.count // state.opt_state.steps_per_epoch < parts.ending.last
    if parts.ending.drops:
        missing = total((1 - batch.weights).sum(), parts.axis_name)
        go_on = go_on & (missing == 0)
    return go_on


def _step(parts: Parts, state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
    piece_key, dropout_key = jax.random.split(key)
    features = _both_views(parts, state, batch, piece_key)

    def loss(variables: Variables) -> tuple[Array, Evaluated]:
        outputs, stats = parts.classifier.apply_features(
            variables,
            features,
            mode=TRAIN,
            weights=jnp.repeat(batch.weights, 2),
            rngs={"dropout": dropout_key},
            axis_name=parts.axis_name,
        )
        weak, strong = outputs.logits[::2], outputs.logits[1::2]
        seen = jax.lax.stop_gradient((weak, outputs.embedding[::2]))
        labels = _pseudo_labels(parts, state.memory, batch, *seen)
        terms = conmix_losses(weak, strong, *labels, parts.rates, batch.weights, parts.axis_name)
        return terms["total"], Evaluated(terms, stats, weak)

    after, evaluated = gradient_update(state, loss, parts.optimiser, parts.group, parts.axis_name)
    if parts.ending.last or parts.ending.drops:
        after = where(_goes_on(parts, state, batch), after, state)
    return after, Prediction(evaluated.logits, evaluated.losses)


@declares(profiles=PROFILES)
def conmix(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-4,
    backbone: float = 0.1,
    classifier_rate: float = 1.0,
    cls: float = 0.2,
    cls_mode: str = "logsoft_nll",
    nucnm: float = 6.0,
    const: float = 0.2,
    plr: bool = True,
    alpha: float = 0.9,
    alpha_term: str = "index",
    initc_num: int = 1,
    pl_threshold: int = 0,
    semitones: int = 4,
    shift: float = 0.25,
    cardinality: int = 50,
    gamma: float = 30.0,
    momentum: float = 0.9,
    weight_decay: float = 1e-3,
    early_stop: int = 15,
    stops_late: bool = True,
    drop_last: bool = False,
    input_statistics: str = "evaluated_set",
    first_epoch_plain: bool = True,
    nesterov: bool = False,
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """Teaches the network its own refined cluster labels, spread over the classes, and consistency with changed clips.

    Before each epoch the set is looked at in evaluation mode: soft labels from class centroids
    (`conmix_labels.soft_labels`), from the second epoch on refined by which classes exchanged clips since the last
    (`conmix_labels.refined_labels`). A batch holds every clip twice, as it is ("weak") and with its pitch raised,
    rolled (drawn once for each clip; the first epoch's statistics of the changed images come from other rolls) and,
    for nets over images, cut to a random piece ("strong"); one forward pass in train mode over all of it
    (BatchNorm statistics over both, running ones follow, dropout on); the losses of `conmix_labels.conmix_losses`; one
    SGD step. A step predicts before its update, the weak clips in train mode; `predict` is evaluation mode. Protocols
    with one pass never look at the set: labels and the mean prediction then are those of the batch.

    Args:
      classifier: the network.
      lr: learning rate; `backbone` and `classifier_rate` are factors on it for the encoder and the head.
      backbone: see `lr`.
      classifier_rate: see `lr`.
      cls: rate of the cross-entropy of weak clips against the pseudo-labels.
      cls_mode: "logsoft_nll", "logsoft_ce" or "soft_ce" (quirk 43: a double softmax).
      nucnm: rate of the fast batch nuclear norm over both views.
      const: rate of the consistency term.
      plr: whether pseudo-labels are refined.
      alpha: of the refinement, see `conmix_labels.refined_labels`.
      alpha_term: "index" (quirk 38: alpha weighs a number that the softmax does not see) or "one_hot".
      initc_num: rounds of the centroids with hard assignments.
      pl_threshold: clips that a class must be predicted for to have a centroid.
      semitones: by which the strong view's pitch is raised.
      shift: largest roll of the strong view as a share of the clip; each clip's roll is drawn once.
      cardinality: epochs of the schedule `lr (1 + gamma k / cardinality)^-0.75`, k epochs behind.
      gamma: see `cardinality`.
      momentum: SGD's momentum.
      weight_decay: SGD's coupled weight decay.
      early_stop: epochs after which nothing changes any more; 0 for never.
      stops_late: quirk 37, one epoch later than `early_stop` says.
      drop_last: whether a partial last batch changes nothing (TTA-in-AC).
      input_statistics: "evaluated_set" (quirk 40: strong images are normalised with statistics of their own; those of
        the weak ones are in the variables, where whoever starts the run has put the set's) or "checkpoint" (all images
        with those in the variables). Nets without images do not care.
      first_epoch_plain: quirk 4, no momentum and decay in epoch 0.
      nesterov: False is quirk 3 (DHAuDS misspells the flag; TTA-in-AC does not, quirk 75).
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, or a negative `initc_num`.

    Source: CoNMix/*/STDA.py of DHAuDS, arXiv 2511.18421, after Kumar et al., WACV 2023, arXiv 2211.01840.
    """
    registry.check("cls_mode of method conmix", cls_mode, CLS_MODES)
    registry.check("alpha_term of method conmix", alpha_term, ALPHA_TERMS)
    registry.check("input_statistics of method conmix", input_statistics, INPUT_STATISTICS)
    if initc_num < 0:
        raise BadInput(f"conmix: initc_num is {initc_num}, expected 0 or more rounds of centroids")
    schedule = SGDOptions(
        lr=lr,
        backbone=backbone,
        classifier=classifier_rate,
        cardinality=cardinality,
        gamma=gamma,
        threshold=0,
        momentum=momentum,
        weight_decay=weight_decay,
        first_epoch_plain=first_epoch_plain,
        nesterov=nesterov,
        first_call=1,
    )
    over_images = mel_image.spec_of(classifier.config.front_end) is not None
    refinement = {"alpha": alpha, "alpha_term": alpha_term} if plr else None
    parts = Parts(
        classifier=classifier,
        strong_view=strong_features(classifier, semitones, shift),
        own_statistics=over_images and input_statistics == "evaluated_set",
        labelling=Labelling({"initc_num": initc_num, "threshold": pl_threshold}, refinement),
        rates=Rates(cls, nucnm, const, cls_mode),
        optimiser=scheduled_sgd(schedule),
        group=group,
        ending=Ending(early_stop + int(stops_late) if early_stop > 0 else 0, drop_last),
        axis_name=axis_name,
    )
    init, step, predict, begin_epoch, observe = (
        functools.partial(function, parts) for function in (_init, _step, _predict, _begin_epoch, _observe)
    )
    looks = {"begin_epoch": begin_epoch, "observe": observe}
    needs = ("input_norm",) if parts.own_statistics else ()
    return Method(init, step, predict, adapts=group, passes=(2, 2), needs=needs, **looks)
