"""SHOT: information maximisation and centroid pseudo-labels, the classifier frozen."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import normalisers
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.neighbours import of_unit_length
from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd, with_steps_per_epoch
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Prediction, RunInfo, Variables


class Observed(NamedTuple):
    """What a look at the whole set keeps of each clip: (clips, classes) logits, (clips, features) embeddings."""

    logits: Float[Array, "clips classes"]
    embedding: Float[Array, "clips features"]


def centroid_scores(
    logits: Float[Array, "rows classes"],
    embedding: Float[Array, "rows features"],
    weights: Float[Array, " rows"] | None = None,
    axis_name: str | None = None,
    *,
    rounds: int = 2,
    threshold: int = 0,
    unit: bool = True,
) -> Float[Array, "rows classes"]:
    """How near each row is to the centroid of each class: cosines, or products with centroids of any length.

    With f the embedding and a constant 1, of unit length: `c_k = sum_i a_ik f_i / (1e-8 + sum_i a_ik)`, score
    `cos(f_i, c_k)`, or `f_i c_k` without `unit`; -inf for classes of `threshold` labels or fewer. In the first round a
    is the softmax; in later ones it is the one-hot of the last round's best scores.

    Args:
      logits: (rows, classes).
      embedding: (rows, features), the input of the last layer.
      weights: (rows,) 0 for padded rows.
      axis_name: the mapped axis over which the rows are spread.
      rounds: self-supervised rounds (the paper: 2), at least 1.
      threshold: classes with this many labels or fewer have no centroid; with none left, all have.
      unit: whether centroids are brought to unit length (SHOT does, CoNMix does not).

    Source: Liang et al., ICML 2020, arXiv 2002.08546, equations 4 to 6; object/image_target.py of its code.
    """
    classes = logits.shape[-1]
    w = jnp.ones((logits.shape[0], 1), logits.dtype) if weights is None else weights[:, None].astype(logits.dtype)
    features = of_unit_length(jnp.concatenate([embedding, jnp.ones_like(embedding[:, :1])], -1))
    share, labels = jax.nn.softmax(logits, -1), logits.argmax(-1)
    for _ in range(rounds):
        hard = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
        sums, mass, count = total(((w * share).T @ features, (w * share).sum(0), (w * hard).sum(0)), axis_name)
        centroids = sums / (1e-8 + mass[:, None])
        eligible = count > threshold
        eligible = eligible | ~eligible.any()
        scores = jnp.where(eligible[None], features @ (of_unit_length(centroids) if unit else centroids).T, -jnp.inf)
        labels = scores.argmax(-1)
        share = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    return scores


def centroid_labels(
    logits: Float[Array, "rows classes"],
    embedding: Float[Array, "rows features"],
    weights: Float[Array, " rows"] | None = None,
    axis_name: str | None = None,
    *,
    rounds: int = 2,
    threshold: int = 0,
) -> Int[Array, " rows"]:
    """The class whose centroid is nearest to each row by cosine distance (see `centroid_scores`)."""
    scores = centroid_scores(logits, embedding, weights, axis_name, rounds=rounds, threshold=threshold)
    return scores.argmax(-1).astype(jnp.int32)


def information_losses(
    logits: Array,
    labels: Array,
    weights: Array | None,
    axis_name: str | None,
    *,
    ent: float,
    pseudo: float,
    epsilon: float = 1e-5,
) -> dict[str, Array]:
    """`ent * (mean_b H(p_b) - H(mean_b p_b)) + pseudo * CE(p_b, label_b)`, its parts, and their sum `total`."""
    p = jax.nn.softmax(logits, -1)
    w = jnp.ones_like(p[:, :1]) if weights is None else weights[:, None]
    summed, count = total(((w * p).sum(0), w.sum()), axis_name)
    mean_p = summed / count
    terms = {
        "entropy": ent * losses.entropy(logits, weights, axis_name, epsilon=epsilon),
        "diversity": ent * (mean_p * jnp.log(mean_p + epsilon)).sum(),
        "pseudo": pseudo * losses.smoothed_cross_entropy(logits, labels, weights, axis_name, smoothing=0.0),
    }
    return {"total": sum(terms.values()), **terms}


@declares(unsaid={"schedule": "epoch"})
def shot(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    ent: float = 1.0,
    pseudo: float = 0.3,
    rounds: int = 2,
    threshold: int = 0,
    cardinality: int = 15,
    gamma: float = 10.0,
    schedule: str = "epoch",
    momentum: float = 0.9,
    weight_decay: float = 1e-3,
    group: str = "encoder",
    axis_name: str | None = None,
) -> Method:
    """Moves the encoder under a frozen head until predictions are confident, spread, and fit the cluster centroids.

    Loss of a batch: `ent * (mean_b H(p_b) - H(mean_b p_b)) + pseudo * CE(p_b, label_b)`; one step of SGD with Nesterov
    momentum; BatchNorm uses the batch's statistics and the running ones follow; dropout is off. Labels come from
    `centroid_labels` over the whole set in evaluation mode, anew before each epoch (`memory`: an int32 a clip, -1 where
    unknown). Protocols with one pass never look at the set: clips without a label get one from the centroids of their
    own batch. A step predicts before its update, from the same forward pass; `predict` is evaluation mode.

    The original's bottleneck layer (adapted) and classifier (frozen) are both in `head` here and both stay; and the
    rate falls epoch by epoch (`tta.sgd`), not batch by batch, unless `schedule` says so.

    Args:
      classifier: the network.
      lr: learning rate of the encoder (the original: 0.01, times 0.1 for the backbone).
      ent: rate of the information maximisation.
      pseudo: rate of the cross-entropy against the pseudo-labels.
      rounds: self-supervised rounds of the pseudo-labels.
      threshold: clips that a class must exceed to have a centroid.
      cardinality: epochs over which the rate falls by `(1 + gamma k / cardinality)^-0.75`.
      gamma: see `cardinality`.
      schedule: "epoch", the rate falls after each, or "batch", before each update as in the original: k is then the
        updates done, this one among them, over those of an epoch.
      momentum: SGD's Nesterov momentum.
      weight_decay: SGD's coupled weight decay.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: no round, or an unknown `schedule`.

    Source: Liang et al., ICML 2020, arXiv 2002.08546, equations 3 to 7.
    """
    if rounds < 1:
        raise BadInput(f"shot: rounds is {rounds}, expected at least 1 round of centroids")
    registry.check("schedule of method shot", schedule, ("epoch", "batch"))
    optimiser = scheduled_sgd(
        SGDOptions(
            lr=lr,
            cardinality=cardinality,
            gamma=gamma,
            threshold=0,
            momentum=momentum,
            weight_decay=weight_decay,
            first_epoch_plain=False,
            nesterov=True,
            per_update=schedule == "batch",
        )
    )
    adapting = Mode(dropout=False, norm=normalisers.batch)
    choices = dict(rounds=rounds, threshold=threshold)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("shot", variables, optimiser, group)
        opt_state = with_steps_per_epoch(state.opt_state, info.steps_per_epoch)
        return state._replace(opt_state=opt_state, memory=jnp.full((info.clips,), -1, jnp.int32))

    def observe(state: AdaptState, batch: Batch) -> Observed:
        outputs, _ = classifier.apply(state.variables, batch.wave, mode=EVAL)
        return Observed(outputs.logits, outputs.embedding)

    def begin_epoch(state: AdaptState, observed: Observed, key: PRNGKeyArray) -> AdaptState:
        return state._replace(memory=centroid_labels(observed.logits, observed.embedding, **choices))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return observe(state, batch).logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        known = state.memory[batch.index]

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            outputs, stats = classifier.apply(
                variables, batch.wave, mode=adapting, weights=batch.weights, axis_name=axis_name
            )
            seen = jax.lax.stop_gradient((outputs.logits, outputs.embedding))
            labels = jnp.where(known >= 0, known, centroid_labels(*seen, batch.weights, axis_name, **choices))
            terms = information_losses(outputs.logits, labels, batch.weights, axis_name, ent=ent, pseudo=pseudo)
            return terms["total"], Evaluated(terms, stats, outputs.logits)

        state, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
        return state, Prediction(evaluated.logits, evaluated.losses)

    return Method(
        init,
        step,
        predict,
        adapts=group,
        passes=(1, 1),
        begin_epoch=begin_epoch,
        observe=observe,
    )
