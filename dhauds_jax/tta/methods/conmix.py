"""CoNMix: centroid pseudo-labels over the set, refined by their own past, and consistency with a changed clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from dhauds_jax.dsp.stretch import pitch_shift
from dhauds_jax.dsp.views import random_roll
from dhauds_jax.nets import mel_image
from dhauds_jax.nets.mel_image import Moments, Statistics
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.parallel import total
from dhauds_jax.tta.methods.conmix_labels import (
    ALPHA_TERMS,
    CLS_MODES,
    Rates,
    conmix_losses,
    refined_labels,
    soft_labels,
)
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


class Memory(NamedTuple):
    """What the method keeps of the whole set.

    Attributes:
      soft: (clips, classes) pseudo-labels.
      previous: (clips,) classes of the pseudo-labels.
      mean: (classes,) mean softmax over the set.
      looked: whether the set was looked at (protocols with one pass never do).
      rolls: data of the key of every clip's roll, drawn before the first epoch.
      strong: statistics of the changed clips' images.
    """

    soft: Float[Array, "clips classes"]
    previous: Int[Array, " clips"]
    mean: Float[Array, " classes"]
    looked: Bool[Array, ""]
    rolls: UInt32[Array, "..."]
    strong: Statistics


class Observed(NamedTuple):
    """What a look at the whole set keeps of each clip; `strong` is zeros for nets without images."""

    logits: Float[Array, "clips classes"]
    embedding: Float[Array, "clips features"]
    strong: Moments


def _raised(wave: Float[Array, "batch time"], sample_rate: int, semitones: int) -> Float[Array, "batch time"]:
    """Pitch shift as torchaudio's; clips of 512 samples or fewer take a shorter transform than its 512."""
    n_fft = 512
    while n_fft >= wave.shape[-1] and n_fft > 16:
        n_fft //= 2
    return pitch_shift(wave, sample_rate, semitones, n_fft=n_fft, hop=n_fft // 4)


def strong_features(
    classifier: Classifier, semitones: int, shift: float
) -> Callable[[PRNGKeyArray, PRNGKeyArray, Batch], Array]:
    """`(key of the rolls, key of the pieces, batch) -> features` of the changed clips.

    Each clip's pitch is raised, then it is rolled by `int((2u - 1) shift time)` samples; nets over images take a random
    piece of the result's larger image (`mel_image.cropped_images`). Source: CoNMix/*/STDA.py of DHAuDS.
    """
    spec = mel_image.spec_of(classifier.config.front_end)

    def features(roll_key: PRNGKeyArray, piece_key: PRNGKeyArray, batch: Batch) -> Array:
        wave = _raised(batch.wave, classifier.config.sample_rate, semitones) if semitones else batch.wave
        wave = random_roll(roll_key, wave, batch.index, shift)
        if spec is None:
            return classifier.features(wave)
        return mel_image.cropped_images(piece_key, wave, batch.index, spec)

    return features


def _chosen(go_on: Bool[Array, ""], new: AdaptState, old: AdaptState) -> AdaptState:
    return jax.tree.map(lambda a, b: jnp.where(go_on, a, b), new, old)


def _check(**choices: tuple[str, tuple[str, ...]]) -> None:
    for name, (value, known) in choices.items():
        if value not in known:
            raise ValueError(f"conmix: unknown {name} {value!r}, expected one of {', '.join(known)}")


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
      group: parameters that move, a name of `tta.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      ValueError: an unknown choice.

    Source: CoNMix/*/STDA.py of DHAuDS, arXiv 2511.18421, after Kumar et al., WACV 2023, arXiv 2211.01840.
    """
    _check(
        cls_mode=(cls_mode, CLS_MODES),
        alpha_term=(alpha_term, ALPHA_TERMS),
        input_statistics=(input_statistics, INPUT_STATISTICS),
    )
    optimiser = scheduled_sgd(
        SGDOptions(
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
    )
    rates, choices = Rates(cls, nucnm, const, cls_mode), {"initc_num": initc_num, "threshold": pl_threshold}
    over_images = mel_image.spec_of(classifier.config.front_end) is not None
    own_statistics = over_images and input_statistics == "evaluated_set"
    strong_view = strong_features(classifier, semitones, shift)
    last_epoch = early_stop + int(stops_late) if early_stop > 0 else 0

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("conmix", variables, optimiser, group)
        steps = max(1, info.clips // info.batch_size) if drop_last and info.batch_size else info.steps_per_epoch
        memory = Memory(
            jnp.zeros((info.clips, info.classes)),
            jnp.zeros(info.clips, jnp.int32),
            jnp.zeros(info.classes),
            jnp.zeros((), bool),
            jax.random.key_data(jax.random.key(0)),
            Statistics(jnp.zeros(1), jnp.ones(1)),
        )
        return state._replace(opt_state=with_steps_per_epoch(state.opt_state, steps), memory=memory)

    def observe(state: AdaptState, batch: Batch) -> Observed:
        outputs, _ = classifier.apply(state.variables, batch.wave, mode=EVAL)
        none = Moments(*(jnp.zeros(len(batch.wave)) for _ in Moments._fields))
        if own_statistics:
            key = jax.random.wrap_key_data(state.memory.rolls)
            none = mel_image.moments(strong_view(key, jax.random.fold_in(key, 2**31 - 1), batch))
        return Observed(outputs.logits, outputs.embedding, none)

    def begin_epoch(state: AdaptState, observed: Observed, key: PRNGKeyArray) -> AdaptState:
        old = state.memory
        soft = soft_labels(observed.logits, observed.embedding, **choices)
        labels = soft.argmax(-1).astype(jnp.int32)
        refined = soft
        if plr:
            later = refined_labels(old.previous, labels, soft, alpha=alpha, alpha_term=alpha_term)
            refined = jnp.where(old.looked, later, soft)
        memory = Memory(
            refined,
            refined.argmax(-1).astype(jnp.int32),
            jax.nn.softmax(observed.logits, -1).mean(0),
            jnp.ones((), bool),
            jnp.where(old.looked, old.rolls, jax.random.key_data(key)),
            mel_image.pooled(observed.strong) if own_statistics else old.strong,
        )
        return state._replace(memory=memory)

    def predict(state: AdaptState, batch: Batch) -> Array:
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def both_views(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> Array:
        """The clips' features, each weak one followed by its strong one."""
        memory = state.memory
        strong = strong_view(jax.random.wrap_key_data(memory.rolls), key, batch)
        if own_statistics:
            moved = mel_image.as_if(strong, memory.strong, mel_image.statistics_of(state.variables))
            strong = jnp.where(memory.looked, moved, strong)
        weak = classifier.features(batch.wave)
        # Pairs side by side, so that a batch spread over devices has its rows in the order of one device.
        return jax.lax.stop_gradient(jnp.stack([weak, strong], 1).reshape(-1, *weak.shape[1:]))

    def pseudo_labels(state: AdaptState, batch: Batch, logits: Array, embedding: Array) -> tuple[Array, Array]:
        """The pseudo-labels of a batch and the set's mean prediction; before a look at the set, those of the batch."""
        memory, weights = state.memory, batch.weights
        here = soft_labels(logits, embedding, weights, axis_name, **choices)
        summed, rows = total(((weights[:, None] * jax.nn.softmax(logits, -1)).sum(0), weights.sum()), axis_name)
        soft = jnp.where(memory.looked, memory.soft[batch.index], here)
        return soft, jnp.where(memory.looked, memory.mean, summed / rows)

    def goes_on(state: AdaptState, batch: Batch) -> Bool[Array, ""]:
        go_on = jnp.ones((), bool)
        if last_epoch:
            go_on = state.opt_state.count // state.opt_state.steps_per_epoch < last_epoch
        if drop_last:
            missing = total((1 - batch.weights).sum(), axis_name)
            go_on = go_on & (missing == 0)
        return go_on

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        piece_key, dropout_key = jax.random.split(key)
        features = both_views(state, batch, piece_key)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            outputs, stats = classifier.apply_features(
                variables,
                features,
                mode=TRAIN,
                weights=jnp.repeat(batch.weights, 2),
                rngs={"dropout": dropout_key},
                axis_name=axis_name,
            )
            weak, strong = outputs.logits[::2], outputs.logits[1::2]
            seen = jax.lax.stop_gradient((weak, outputs.embedding[::2]))
            terms = conmix_losses(weak, strong, *pseudo_labels(state, batch, *seen), rates, batch.weights, axis_name)
            return terms["total"], Evaluated(terms, stats, weak)

        after, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
        if last_epoch or drop_last:
            after = _chosen(goes_on(state, batch), after, state)
        return after, Prediction(evaluated.logits, evaluated.losses)

    return Method(
        init,
        step,
        predict,
        adapts=group,
        passes=(2, 2),
        begin_epoch=begin_epoch,
        needs=("set_pass",),
        observe=observe,
    )
