"""Learners that train the whole network and a linear layer by gradients: `finetune`, `replay` and `joint`.

Shapes are fixed: a session's clips and what is kept lie in one pool, whose rows are drawn into batches by a key and
their `clip` numbers, so neither their order nor free places change a batch, and no step is spent on free places alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental.kept_rows import KeptRows, members
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.tta.losses import weighted_mean
from dhauds_jax.types import Classifier, LearnedHead, LearnerInfo, LearnerState, Linear, Variables

HEAD = "linear"
SCALE = 16.0
"""What products of unit embeddings with the linear layer's columns are multiplied by."""

AT_ONCE = 32
"""Clips that are embedded at once."""


class Tuning(NamedTuple):
    """How the network is trained in a session.

    Attributes:
      epochs: passes over the pool.
      lr: learning rate of AdamW, constant; its state begins anew in each session.
      weight_decay: decoupled, of all weights.
      batch: clips of a step.
    """

    epochs: int
    lr: float
    weight_decay: float
    batch: int


def checked(name: str, classifier: Classifier | None, how: Tuning) -> Classifier:
    """The network of a learner that trains it.

    Raises:
      BadInput: no network, since embeddings came from a file, or options that train nothing; `name` is the learner's.
    """
    for option, value in zip(how._fields, how):
        check_number(f"learner {name}: option {option}", value, 0, above=option in ("lr", "batch"))
    if classifier is None:
        raise BadInput(f"learner {name}: trains the network, and none is there, expected recordings and a checkpoint")
    return classifier


def begun(classifier: Classifier, variables: Variables, info: LearnerInfo, memory: Any) -> LearnerState:
    """The network as it is, a linear layer of zeros, nothing learnt."""
    if len(info.shape) != 1:
        raise BadInput(f"learners of waves: what is read has shape {info.shape}, expected (samples,)")
    wave = jax.ShapeDtypeStruct((1, info.shape[0]), jnp.float32)
    outputs = jax.eval_shape(lambda v, w: classifier.apply(v, w, mode=EVAL)[0], variables, wave)
    classes = info.max_classes
    head = Linear(jnp.zeros((outputs.embedding.shape[1], classes)), jnp.zeros(classes))
    params = jax.tree.map(jnp.asarray, dict(variables))
    return LearnerState(params, head, memory, jnp.zeros(classes), jnp.int32(0))


def logits_of(head: Linear, embedding: Float[Array, "rows width"]) -> Float[Array, "rows max_classes"]:
    """`16 (e / |e|) @ kernel + bias`."""
    return SCALE * jnp.matmul(unit_rows(embedding), head.kernel, precision="highest") + head.bias[None]


def embedded(classifier: Classifier, variables: Variables, waves: Array) -> Float[Array, "rows width"]:
    """Embeddings in evaluation, so many rows at a time that a whole training set goes through."""
    size = min(AT_ONCE, len(waves))
    spare = -len(waves) % size
    parts = jnp.concatenate([waves, jnp.zeros((spare, *waves.shape[1:]), waves.dtype)]).reshape(
        -1, size, waves.shape[1]
    )
    found = jax.lax.map(lambda part: classifier.apply(variables, part, mode=EVAL)[0].embedding, parts)
    return found.reshape(-1, found.shape[-1])[: len(waves)]


def predicted(classifier: Classifier, state: LearnerState, waves: Float[Array, "rows samples"]) -> dict[str, Array]:
    """Logits of the state's network, in evaluation."""
    embedding = classifier.apply(state.params, jnp.asarray(waves), mode=EVAL)[0].embedding
    return {HEAD: jnp.where(state.seen[None] > 0, logits_of(state.heads, embedding), -jnp.inf)}


def with_new_columns(classifier: Classifier, state: LearnerState, rows: KeptRows) -> LearnerState:
    """Columns of classes that come new are the means of their unit embeddings, of length 1 (weight imprinting)."""
    embedding = unit_rows(embedded(classifier, state.params, rows.inputs))
    belongs = members(rows.labels, rows.weights, len(state.seen), jnp.float32)
    means = unit_rows(jnp.matmul(belongs.T, embedding, precision="highest")).T
    there = (belongs.sum(0) > 0).astype(jnp.float32)
    kernel = jnp.where(((there > 0) & (state.seen == 0))[None], means, state.heads.kernel)
    return state._replace(heads=state.heads._replace(kernel=kernel), seen=jnp.maximum(state.seen, there))


def drawn_order(clip: Int[Array, " rows"], weights: Float[Array, " rows"], key: Array) -> Int[Array, " rows"]:
    """Positions of the rows in an order drawn by key and clip number, free places last."""
    drawn = jax.vmap(lambda number: jax.random.uniform(jax.random.fold_in(key, number)))(jnp.maximum(clip, 0))
    return jnp.argsort(jnp.where(weights > 0, drawn, jnp.inf), stable=True)


def trained(
    classifier: Classifier, how: Tuning, state: LearnerState, pool: KeptRows, key: Array
) -> tuple[LearnerState, dict[str, Array]]:
    """The state whose network and linear layer have been trained on the pool, and the mean loss of the last epoch.

    Cross-entropy over the classes seen so far; no step is made of free places alone.
    """
    optimiser = optax.adamw(how.lr, weight_decay=how.weight_decay)
    features, room = classifier.features(pool.inputs), len(pool.weights)
    size, clips = min(how.batch, room), pool.weights.sum()
    steps = (clips.astype(jnp.int32) + size - 1) // size
    update = _update_of(classifier, optimiser, state.seen)

    def one(index: Array, carry: tuple[_Moving, Array]) -> tuple[_Moving, Array]:
        epoch, place = index // steps, index % steps
        now = jax.random.fold_in(key, epoch)
        ranks = place * size + jnp.arange(size)
        chosen = drawn_order(pool.clip, pool.weights, now)[jnp.minimum(ranks, room - 1)]
        weights = pool.weights[chosen] * (ranks < room)
        batch = (features[chosen], pool.labels[chosen], weights)
        moving, loss = update(carry[0], batch, jax.random.fold_in(now, 1 + place))
        return moving, jnp.where(place == 0, 0.0, carry[1]) + loss * weights.sum() / clips

    leaves = {"net": state.params["params"], "head": state.heads}
    begun = _Moving(leaves, optimiser.init(leaves), state.params.get("batch_stats", {}))
    moving, loss = jax.lax.fori_loop(0, how.epochs * steps, one, (begun, jnp.zeros(())))
    params = {**state.params, "params": moving.leaves["net"], "batch_stats": moving.stats}
    return state._replace(params=params, heads=moving.leaves["head"]), {"loss": loss}


class _Moving(NamedTuple):
    """What a step changes: network and head, the optimiser's state, running statistics."""

    leaves: Any
    optimiser: Any
    stats: Any


def _update_of(
    classifier: Classifier, optimiser: optax.GradientTransformation, seen: Float[Array, " max_classes"]
) -> Callable[[_Moving, tuple[Array, Array, Array], Array], tuple[_Moving, Array]]:
    def loss_of(leaves: Any, stats: Any, batch: tuple[Array, Array, Array], key: Array) -> tuple[Array, Any]:
        features, labels, weights = batch
        variables = {"params": leaves["net"], "batch_stats": stats}
        outputs, stats = classifier.apply_features(
            variables, features, mode=TRAIN, weights=weights, rngs={"dropout": key}
        )
        logits = jnp.where(seen[None] > 0, logits_of(leaves["head"], outputs.embedding), -jnp.inf)
        hit = jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels[:, None], -1)[:, 0]
        return weighted_mean(jnp.where(weights > 0, -hit, 0.0), weights), stats

    def update(moving: _Moving, batch: tuple[Array, Array, Array], key: Array) -> tuple[_Moving, Array]:
        (loss, stats), slopes = jax.value_and_grad(loss_of, has_aux=True)(moving.leaves, moving.stats, batch, key)
        changes, kept = optimiser.update(slopes, moving.optimiser, moving.leaves)
        return _Moving(optax.apply_updates(moving.leaves, changes), kept, stats), loss

    return update


def bytes_held(state: LearnerState, clips: int = 0) -> int:
    """The network and the columns of classes that are known, and so many clips as 16-bit audio; on the host.

    Clips are as long as the learner's waves, which `clips` counts in samples.
    """
    net = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(state.params))
    return int(net + np.asarray(state.seen).sum() * (len(state.heads.kernel) + 1) * 4 + 2 * clips)


def samples_kept(kept: KeptRows) -> int:
    """Samples of all clips that are there; on the host."""
    return int(np.asarray(kept.weights).sum()) * kept.inputs.shape[1]


def as_head(state: LearnerState, head: str) -> LearnedHead:
    """The linear layer, over the state's own network."""
    params = {"kernel": state.heads.kernel, "bias": state.heads.bias}
    return LearnedHead("prototypes", {"unit": True, "scale": SCALE}, params)
