"""NOTE: instance-aware BatchNorm and a prediction-balanced memory, for streams whose classes come in runs."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.nets.normalisers import batch_moments
from dhauds_jax.parallel import whole_batch
from dhauds_jax.tta import losses, memory
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state, float_type, gradient_update
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Method,
    Mode,
    Normaliser,
    Prediction,
    RunInfo,
    Running,
    Variables,
)


class NoteMemory(NamedTuple):
    """Memory of NOTE: clips with the class predicted when each came, and how often each class was predicted so far."""

    waves: Float[Array, "slots time"]
    labels: Int[Array, " slots"]
    predicted: Int[Array, " classes"]
    seen: Int[Array, ""]
    every: Int[Array, ""]
    loss: Float[Array, ""]


def soft_shrink(x: Float[Array, "..."], threshold: Float[Array, "..."]) -> Float[Array, "..."]:
    """`sign(x) max(|x| - threshold, 0)`."""
    return jax.nn.relu(x - threshold) - jax.nn.relu(-x - threshold)


@functools.lru_cache
def instance_aware(k: float, momentum: float | None = None) -> Normaliser:
    """Instance-aware BatchNorm (IABN): a clip's own statistics count as far as they cannot be chance.

    With m, v the mean and variance of the layer and m_b, v_b those of clip b over its L positions (unbiased),
    `m + shrink(m_b - m, k sqrt(v / L))` and `v + shrink(v_b - v, k v sqrt(2 / (L - 1)))` normalise clip b; a large k
    is plain BatchNorm. m, v are the running statistics, or, with a `momentum`, the batch's (unbiased), which the
    running ones then follow: `(1 - momentum) old + momentum new`. Inputs without positions keep m and v.

    Source: Gong et al., NeurIPS 2022, arXiv 2208.05117, section 3.1; unbiased variances and epsilon as its code.
    """

    def corrected(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        mean, var, kept = running.mean, running.var, running
        if momentum is not None:
            mean, biased, count = batch_moments(x, weights, axis_name)
            var = biased * count / jnp.maximum(count - 1, 1)
            kept = Running(
                (1 - momentum) * running.mean + momentum * mean, (1 - momentum) * running.var + momentum * var
            )
        mean, var = (jnp.expand_dims(v, tuple(range(x.ndim - 1))) for v in (mean, var))
        positions = x[0, ..., 0].size
        if positions > 1:
            axes = tuple(range(1, x.ndim - 1))
            own_mean, own_var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True, ddof=1)
            chance = k * (var + epsilon)
            mean = mean + soft_shrink(own_mean - mean, k * jnp.sqrt((var + epsilon) / positions))
            var = jax.nn.relu(var + soft_shrink(own_var - var, chance * (2 / (positions - 1)) ** 0.5))
        return (x - mean) * jax.lax.rsqrt(var + epsilon), jax.lax.stop_gradient(kept)

    return corrected


def balanced_slot(
    key: PRNGKeyArray, label: Int[Array, ""], labels: Int[Array, " slots"], predicted: Int[Array, " classes"]
) -> Int[Array, ""]:
    """Where prediction-balanced reservoir sampling puts a clip (the number of slots: nowhere).

    While there is room: the first empty slot. Then, if the clip's class is not among those with most slots, a random
    slot of one of these; else, with probability slots of the class / times it was predicted, a random slot of its own.

    Args:
      key: random key.
      label: class predicted for the clip.
      labels: (slots,) classes in the memory, -1 for empty.
      predicted: (classes,) how often each class was predicted, this clip included.

    Source: Gong et al., NeurIPS 2022, arXiv 2208.05117, algorithm 1.
    """
    class_key, slot_key, chance_key = jax.random.split(key, 3)
    held = memory.per_class(labels, predicted.shape[0])
    most = held == held.max()
    victim = jnp.where(most[label], label, memory.random_slot(class_key, most))
    slot = memory.random_slot(slot_key, labels == victim)
    taken = ~most[label] | (jax.random.uniform(chance_key, (), jnp.float32) * predicted[label] <= held[label])
    slot = jnp.where(taken, slot, labels.shape[0])
    return jnp.where((labels == memory.EMPTY).any(), jnp.argmax(labels == memory.EMPTY), slot).astype(jnp.int32)


def remembered(kept: NoteMemory, batch: Batch, logits: Array, key: PRNGKeyArray, axis_name: str | None) -> NoteMemory:
    """The memory after a batch: every real clip offered in turn, with the class just predicted for it."""
    slots = kept.labels.shape[0]
    wave, labels, weights = whole_batch((batch.wave, jnp.argmax(logits, -1), batch.weights), axis_name)

    def decide(state: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        label, row_key = row
        held, predicted = state
        predicted = predicted.at[label].add(1)
        slot = balanced_slot(row_key, label, held, predicted)
        return (held.at[slot].set(label, mode="drop"), predicted), slot

    rows = (labels.astype(jnp.int32), jax.random.split(key, labels.shape[0]))
    (held, predicted), origin = memory.filled_by(decide, (kept.labels, kept.predicted), rows, weights, slots)
    waves = memory.moved_in("note", kept.waves, wave, origin)
    arrived = (weights > 0).sum(dtype=jnp.int32)
    return kept._replace(waves=waves, labels=held, predicted=predicted, seen=kept.seen + arrived)


ENTROPIES = {
    "exact": lambda logits, weights: losses.entropy(logits, weights, epsilon=0.0),
    "code": lambda logits, weights: losses.entropy(logits, weights, epsilon=1e-6) / logits.shape[-1],
}
"""The loss over the memory: the mean entropy, or that of the authors' code, over clips and classes and with 1e-6."""


AUTHORS = {"lr": 1e-4, "entropy": "code", "k": 4.0, "momentum": 0.01, "capacity": 64, "every": 64}


@declares(unsaid={"entropy": "exact"}, recipes={"authors_cifar": AUTHORS})
def note(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-4,
    entropy: str = "exact",
    k: float = 4.0,
    momentum: float = 0.01,
    capacity: int = 64,
    every: int = 64,
    group: str = "batch_norm",
    axis_name: str | None = None,
) -> Method:
    """Entropy minimisation on a memory that is balanced over predicted classes, with instance-aware BatchNorm.

    Each batch is predicted with `instance_aware` over the running statistics, before the update; its clips are offered
    to the memory (`balanced_slot`); whenever another `every` clips have been seen, one Adam step on the mean entropy of
    the memory's clips moves scales and shifts, and running statistics follow the memory's. The memory starts empty;
    its free slots carry weight 0. A step without an update repeats the last loss. The paper trains its source networks
    with IABN too; here it comes in at test time alone (the paper's ablation of plain BatchNorm is a large k).

    Args:
      classifier: the network; its `config.length` is the length of the clips in the memory.
      lr: Adam's learning rate.
      entropy: the loss, "exact", or "code": `-p log(p + 1e-6)`, the mean over clips and classes, as the authors' HLoss;
        Adam makes nearly the same steps of both.
      k: how many standard errors an instance's statistics must lie apart to count.
      momentum: weight of the memory's statistics in the running ones.
      capacity: clips in the memory.
      every: clips between two updates, at most those of the set; a batch is followed by one update at most.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread; every device then keeps the whole memory.

    Source: Gong et al., NeurIPS 2022, arXiv 2208.05117 (k, momentum, lr, capacity and rhythm are its values).
    """
    memory.check_sizes("note", capacity, every)
    registry.check("entropy of method note", entropy, ENTROPIES)
    optimiser = optax.adam(lr)
    adapting = Mode(dropout=False, norm=instance_aware(k, momentum))
    evaluating = Mode(dropout=False, norm=instance_aware(k))

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        zero, dtype = jnp.zeros((), jnp.int32), float_type(variables)
        kept = NoteMemory(
            memory.empty_waves(classifier, capacity, dtype),
            memory.empty_labels(capacity),
            predicted=jnp.zeros((info.classes,), jnp.int32),
            seen=zero,
            every=jnp.asarray(min(every, info.clips), jnp.int32),
            loss=jnp.zeros((), dtype),
        )
        return first_state("note", variables, optimiser, group)._replace(memory=kept)

    def predict(state: AdaptState, batch: Batch) -> Array:
        outputs, _ = classifier.apply(
            state.variables, batch.wave, mode=evaluating, weights=batch.weights, axis_name=axis_name
        )
        return outputs.logits

    def update(state: AdaptState) -> AdaptState:
        filled = (state.memory.labels != memory.EMPTY).astype(state.memory.loss.dtype)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            outputs, stats = classifier.apply(variables, state.memory.waves, mode=adapting, weights=filled)
            value = ENTROPIES[entropy](outputs.logits, filled)
            return value, Evaluated({"total": value}, stats, outputs.logits)

        state, evaluated = gradient_update(state, loss, optimiser, group)
        return state._replace(memory=state.memory._replace(loss=evaluated.losses["total"]))

    def idle(state: AdaptState) -> AdaptState:
        return state._replace(step=state.step + 1)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        logits = predict(state, batch)
        before = state.memory
        kept = remembered(before, batch, logits, key, axis_name)
        due = memory.update_due(before.seen, kept.seen - before.seen, before.every)
        state: Any = jax.lax.cond(due, update, idle, state._replace(memory=kept))
        return state, Prediction(logits, {"total": state.memory.loss})

    return Method(init, step, predict, adapts=group, passes=(2, 1), needs=("batch_norm",))
