"""RoTTA: robust BatchNorm, a memory that weighs class, age and uncertainty, and a slow teacher."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.nets import masks
from dhauds_jax.nets.normalisers import EVAL, batch_moments
from dhauds_jax.parallel import whole_batch
from dhauds_jax.tta import losses, memory
from dhauds_jax.tta.augment import Augmentation, augmented, checked
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


class Bank(NamedTuple):
    """What category-balanced sampling knows of each slot: predicted class, clips seen since, entropy in nats."""

    labels: Int[Array, " slots"]
    ages: Int[Array, " slots"]
    uncertainty: Float[Array, " slots"]


class RottaMemory(NamedTuple):
    """Memory of RoTTA: the clips, what is known of them, and the student (moving leaves, BatchNorm statistics)."""

    waves: Float[Array, "slots time"]
    bank: Bank
    student: Any
    student_stats: Any
    seen: Int[Array, ""]
    every: Int[Array, ""]
    loss: Float[Array, ""]


@functools.lru_cache
def robust(alpha: float) -> Normaliser:
    """Robust BatchNorm: running statistics moved to `(1 - alpha) old + alpha batch` (biased variance) normalise.

    Gradients flow through the batch's share.

    Source: Yuan et al., CVPR 2023, arXiv 2303.13899, section 3.2 (robust batch normalization).
    """

    def moved(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        mean, var, _ = batch_moments(x, weights, axis_name)
        mean, var = ((1 - alpha) * old + alpha * new for old, new in zip(running, (mean, var), strict=True))
        centre, scale = (jnp.broadcast_to(v, x.shape) for v in (mean, jax.lax.rsqrt(var + epsilon)))
        return (x - centre) * scale, jax.lax.stop_gradient(Running(mean, var))

    return moved


def slot_scores(bank: Bank, classes: int, lambda_t: float, lambda_u: float) -> Float[Array, " slots"]:
    """How much each slot should make room: `lambda_t / (1 + exp(-age / slots)) + lambda_u entropy / log classes`.

    Source: Yuan et al., CVPR 2023, arXiv 2303.13899, section 3.2.
    """
    ages = bank.ages.astype(bank.uncertainty.dtype) / bank.ages.shape[0]
    return lambda_t * jax.nn.sigmoid(ages) + lambda_u * bank.uncertainty / math.log(max(classes, 2))


def timely_slot(
    bank: Bank,
    label: Int[Array, ""],
    uncertainty: Float[Array, ""],
    *,
    classes: int,
    lambda_t: float,
    lambda_u: float,
) -> Int[Array, ""]:
    """Where category-balanced sampling with timeliness and uncertainty puts a clip (the number of slots: nowhere).

    A class may hold `slots / classes` clips. Below that, the clip takes the first empty slot, or, in a full memory, the
    place of the clip with the highest score among the classes that hold most; otherwise that of its own class. It comes
    in only if its own score (age 0) is lower.

    Args:
      bank: what is known of the slots.
      label: class predicted for the clip.
      uncertainty: entropy of its prediction in nats.
      classes: classes of the classifier.
      lambda_t: weight of age in the score.
      lambda_u: weight of entropy in the score.

    Source: Yuan et al., CVPR 2023, arXiv 2303.13899, algorithm 1 (CSTU).
    """
    slots = bank.labels.shape[0]
    held = memory.per_class(bank.labels, classes)
    room = held[label] < slots / classes
    empty = bank.labels == memory.EMPTY
    among = jnp.where(room, (held == held.max())[bank.labels], bank.labels == label) & ~empty
    scores = jnp.where(among, slot_scores(bank, classes, lambda_t, lambda_u), -jnp.inf)
    own = slot_scores(Bank(label[None], jnp.zeros(1, jnp.int32), uncertainty[None]), classes, lambda_t, lambda_u)[0]
    exchanged = jnp.where(scores.max() > own, jnp.argmax(scores), slots)
    return jnp.where(room & empty.any(), jnp.argmax(empty), exchanged).astype(jnp.int32)


def timeliness(ages: Float[Array, " slots"]) -> Float[Array, " slots"]:
    """`exp(-a) / (1 + exp(-a))` of ages counted in memories (clips seen since / slots), the paper's E(A)."""
    return jax.nn.sigmoid(-ages)


def remembered(
    kept: RottaMemory, batch: Batch, logits: Array, lambda_t: float, lambda_u: float, axis_name: str | None
) -> RottaMemory:
    """The memory after a batch: every real clip offered in turn, all clips in the memory one older after each."""
    return taken(kept, offered(batch, logits, axis_name), logits.shape[-1], lambda_t, lambda_u)


class Offered(NamedTuple):
    """The whole batch as the memory sees it: clips, (predicted class, entropy) of each, weights."""

    wave: Float[Array, "batch time"]
    rows: tuple[Int[Array, " batch"], Float[Array, " batch"]]
    weights: Float[Array, " batch"]


def offered(batch: Batch, logits: Array, axis_name: str | None) -> Offered:
    """A batch, from all devices, with what its predictions say of each clip."""
    rows = (jnp.argmax(logits, -1).astype(jnp.int32), losses.entropy_rows(logits, 0.0))
    return Offered(*whole_batch((batch.wave, rows, batch.weights), axis_name))


def taken(kept: RottaMemory, batch: Offered, classes: int, lambda_t: float, lambda_u: float) -> RottaMemory:
    """The memory after the clips of weight above 0 were offered in turn."""
    slots, (wave, rows, weights) = kept.bank.labels.shape[0], batch

    def decide(bank: Bank, row: tuple[Array, Array]) -> tuple[Bank, Array]:
        label, uncertainty = row
        slot = timely_slot(bank, label, uncertainty, classes=classes, lambda_t=lambda_t, lambda_u=lambda_u)
        news = Bank(label, jnp.zeros((), jnp.int32), uncertainty)
        bank = jax.tree.map(lambda old, new: old.at[slot].set(new, mode="drop"), bank, news)
        return bank._replace(ages=bank.ages + 1), slot

    bank, origin = memory.filled_by(decide, kept.bank, rows, weights, slots)
    waves = memory.moved_in("rotta", kept.waves, wave, origin)
    return kept._replace(waves=waves, bank=bank, seen=kept.seen + (weights > 0).sum(dtype=jnp.int32))


@declares(unsaid={"mid_batch": False})
def rotta(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    alpha: float = 0.05,
    nu: float = 1e-3,
    lambda_t: float = 1.0,
    lambda_u: float = 1.0,
    capacity: int = 64,
    every: int = 64,
    shift: float = 0.1,
    gain_db: float = 0.0,
    noise: float = 0.02,
    mid_batch: bool = False,
    group: str = "batch_norm",
    axis_name: str | None = None,
) -> Method:
    """A student learns, on remembered clips, to say of a changed copy what a slow teacher says of the clip itself.

    Each batch is predicted by the teacher in evaluation mode, before the update; its clips are offered to the memory
    (`timely_slot`). Whenever another `every` clips have been seen, teacher and student are run over the memory with
    `robust` BatchNorm (each with its own statistics, which move), the teacher on the clips (weak view), the student on
    shifted copies with a little noise (strong view; the original has colours, crops and flips of images); one Adam step
    on `mean_i E(a_i) (-sum_c p_teacher log p_student)`, E the `timeliness`, moves the student, and the teacher follows:
    `(1 - nu) teacher + nu student`. The state's variables are the teacher's. The memory starts empty; its free slots
    carry weight 0. A step without an update repeats the last loss.

    Args:
      classifier: the network; its `config.length` is the length of the clips in the memory.
      lr: Adam's learning rate.
      alpha: weight of the memory's statistics in the running ones.
      nu: weight of the student in the teacher.
      lambda_t: weight of age in the choice of the clip that makes room.
      lambda_u: weight of entropy in it.
      capacity: clips in the memory.
      every: clips between two updates, at most those of the set; a batch is followed by one update at most (but see
        `mid_batch`).
      shift: strong view: largest circular shift, as a share of the clip.
      gain_db: strong view: largest gain or loss in dB.
      noise: strong view: noise as a share of the clip's root mean square.
      mid_batch: whether an update comes as soon as its clip has been offered, in the middle of a batch too and before
        the batch's other clips are, as in the original; else it waits for the batch's end. The batch's predictions are
        made before either.
      group: parameters that move, a name of `nets.masks.GROUPS`; the network then needs no BatchNorm.
      axis_name: the mapped axis over which the batch is spread; every device then keeps the whole memory.

    Source: Yuan et al., CVPR 2023, arXiv 2303.13899, section 3.2 (alpha, nu, lambdas, lr, capacity are its values).
    """
    memory.check_sizes("rotta", capacity, every)
    strong = checked("rotta", Augmentation(shift, gain_db, noise))
    optimiser = optax.adam(lr)
    adapting = Mode(dropout=False, norm=robust(alpha))

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        labels = memory.empty_labels(capacity)
        dtype = float_type(variables)
        kept = RottaMemory(
            memory.empty_waves(classifier, capacity, dtype),
            Bank(labels, jnp.zeros_like(labels), jnp.zeros((capacity,), dtype)),
            student=jax.tree.map(jnp.copy, masks.split(variables["params"], group)[0]),
            student_stats=jax.tree.map(jnp.copy, variables["batch_stats"]),
            seen=jnp.zeros((), jnp.int32),
            every=jnp.asarray(min(every, info.clips), jnp.int32),
            loss=jnp.zeros((), dtype),
        )
        return first_state("rotta", variables, optimiser, group)._replace(memory=kept)

    def predict(state: AdaptState, batch: Batch) -> Array:
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def update(state: AdaptState, key: PRNGKeyArray) -> AdaptState:
        kept, teacher = state.memory, state.variables
        filled = (kept.bank.labels != memory.EMPTY).astype(kept.loss.dtype)
        importance = timeliness(kept.bank.ages.astype(kept.loss.dtype) / capacity)
        wanted, teacher_stats = classifier.apply(teacher, kept.waves, mode=adapting, weights=filled)
        wanted = jax.nn.softmax(wanted.logits)
        copies = augmented(key, kept.waves, jnp.arange(capacity, dtype=jnp.int32), strong)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            outputs, stats = classifier.apply(variables, copies, mode=adapting, weights=filled)
            rows = -(wanted * jax.nn.log_softmax(outputs.logits)).sum(-1)
            value = losses.weighted_mean(importance * rows, filled)
            return value, Evaluated({"total": value}, stats, outputs.logits)

        slow, frozen = masks.split(teacher["params"], group)
        student = {**teacher, "params": masks.merge(kept.student, frozen), "batch_stats": kept.student_stats}
        after, evaluated = gradient_update(state._replace(variables=student), loss, optimiser, group)
        fast = masks.split(after.variables["params"], group)[0]
        slow = jax.tree.map(lambda t, s: (1 - nu) * t + nu * s, slow, fast)
        kept = kept._replace(student=fast, student_stats=after.variables["batch_stats"], loss=evaluated.losses["total"])
        teacher = {**teacher, "params": masks.merge(slow, frozen), "batch_stats": teacher_stats}
        return after._replace(variables=teacher, memory=kept)

    def idle(state: AdaptState, key: PRNGKeyArray) -> AdaptState:
        return state._replace(step=state.step + 1)

    def in_turn(state: AdaptState, whole: Offered, classes: int, key: PRNGKeyArray) -> AdaptState:
        """The clips up to each multiple of `every`, then its update; a batch holds `parts - 1` multiples at most."""
        begun, parts = state.memory, len(whole.weights) // every + 2
        mine = (begun.seen + jnp.cumsum(whole.weights > 0) - 1) // begun.every - begun.seen // begun.every

        def part(now: AdaptState, given: tuple[Array, PRNGKeyArray]) -> tuple[AdaptState, None]:
            before, some = now.memory, whole._replace(weights=whole.weights * (mine == given[0]))
            kept = taken(before, some, classes, lambda_t, lambda_u)
            due = memory.update_due(before.seen, kept.seen - before.seen, before.every)
            return jax.lax.cond(due, update, idle, now._replace(memory=kept), given[1]), None

        later = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(1, parts))
        after, _ = jax.lax.scan(part, state, (jnp.arange(parts), jnp.concatenate([key[None], later])))
        return after._replace(step=state.step + 1)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        logits = predict(state, batch)
        before = state.memory
        if mid_batch:
            state = in_turn(state, offered(batch, logits, axis_name), logits.shape[-1], key)
            return state, Prediction(logits, {"total": state.memory.loss})
        kept = remembered(before, batch, logits, lambda_t, lambda_u, axis_name)
        due = memory.update_due(before.seen, kept.seen - before.seen, before.every)
        state: Any = jax.lax.cond(due, update, idle, state._replace(memory=kept), key)
        return state, Prediction(logits, {"total": state.memory.loss})

    return Method(init, step, predict, adapts=group, passes=(3, 1))
