"""CoTTA: pseudo-labels of a slow teacher, averaged over copies where the source is unsure, and some forgetting."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, augmented, checked
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, between, first_state, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Prediction, RunInfo, Variables


def cross_entropy_rows(
    logits: Float[Array, "batch classes"], wanted: Float[Array, "batch classes"]
) -> Float[Array, " batch"]:
    """`-sum_c softmax(wanted)_c log softmax(logits)_c` of each row."""
    return -(jax.nn.softmax(wanted) * jax.nn.log_softmax(logits)).sum(-1)


LOSSES = {
    "cross_entropy": cross_entropy_rows,
    "symmetric": lambda logits, wanted: 0.5 * (cross_entropy_rows(logits, wanted) + cross_entropy_rows(wanted, logits)),
}
OPTIMISERS = {"adam": optax.adam, "sgd": lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True)}


class CottaMemory(NamedTuple):
    """Memory of CoTTA: the moving leaves of the student and of the source."""

    student: Any
    source: Any


def restore_masks(key: PRNGKeyArray, leaves: Any, share: float) -> Any:
    """Which numbers of `leaves` go back to the source: each with probability `share`."""
    flat, structure = jax.tree.flatten(leaves)
    keys = jax.tree.unflatten(structure, list(jax.random.split(key, len(flat))))
    return jax.tree.map(lambda k, now: jax.random.bernoulli(k, share, now.shape), keys, leaves)


def restored(key: PRNGKeyArray, leaves: Any, source: Any, share: float) -> Any:
    """Stochastic restore: the numbers of `leaves` that `restore_masks` picks go back to the source's.

    Source: Wang et al., CVPR 2022, arXiv 2203.13591, equations 7 and 8.
    """
    back = restore_masks(key, leaves, share)
    return jax.tree.map(lambda b, now, then: jnp.where(b, then, now), back, leaves, source)


def unsure_rows(
    logits: Float[Array, "batch classes"],
    weights: Float[Array, " batch"],
    p_th: float,
    confidence: str,
    axis_name: str | None,
) -> Bool[Array, " batch"]:
    """Which clips' pseudo-labels are averaged: those whose largest probability (or its mean) is below `p_th`.

    Args:
      logits: (batch, classes) of the source.
      weights: (batch,) 0 for padded rows.
      p_th: threshold, 0 to 1.
      confidence: "batch" compares the mean over the batch, "clip" each clip.
      axis_name: the mapped axis over which the batch is spread.
    """
    rows = jax.nn.softmax(logits, -1).max(-1)
    if confidence == "batch":
        rows = jnp.broadcast_to(losses.weighted_mean(rows, weights, axis_name), rows.shape)
    return rows < p_th


AUTHORS = {
    "teacher_momentum": 0.999,
    "augmentations": 32,
    "confidence": "batch",
    "group": "weights_and_biases",
    "evaluate": "batch",
}
"""What the authors' two recipes share."""


@declares(
    contract_options={"group": "norm"},
    because="Adam makes whole steps of the rounding errors in a gradient that is 0 (a bias before BatchNorm)",
    unsaid={"optimiser": "adam", "loss": "cross_entropy"},
    recipes={
        "authors_cifar": {
            **AUTHORS,
            "optimiser": "adam",
            "lr": 1e-3,
            "loss": "cross_entropy",
            "p_th": 0.92,
            "restore": 0.01,
        },
        "authors_imagenet": {
            **AUTHORS,
            "optimiser": "sgd",
            "lr": 0.01,
            "loss": "symmetric",
            "p_th": 0.1,
            "restore": 1e-3,
        },
    },
)
def cotta(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    optimiser: str = "adam",
    loss: str = "cross_entropy",
    teacher_momentum: float = 0.999,
    p_th: float = 0.92,
    restore: float = 0.01,
    augmentations: int = 8,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    confidence: str = "batch",
    evaluate: str = "running",
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """A student follows the pseudo-labels of its own slow average; now and then single weights return to the source.

    Per batch, all with the batch's statistics and without dropout: the source's confidence; the teacher's logits, or,
    where the source is less sure than `p_th`, their mean over augmented copies (computed only if it is needed); one
    Adam step of the student on `mean_b (-sum_c p_teacher log p_student)` over the clips themselves; teacher =
    `m teacher + (1 - m) student`; each moving number of the student goes back to the source with probability `restore`.
    A step's prediction is that pseudo-label, before the update. The state's variables are the teacher's, with running
    statistics that follow the batches.

    Args:
      classifier: the network.
      lr: learning rate (the paper's for its CIFAR networks; large for all weights of a transformer).
      optimiser: "adam", or "sgd" with Nesterov's momentum of 0.9, the authors' on ImageNet.
      loss: "cross_entropy" as above, or "symmetric", the mean of it and of the one with both sides exchanged, the
        authors' on ImageNet.
      teacher_momentum: m, the share of the old teacher.
      p_th: confidence of the source below which copies are averaged (the paper's for CIFAR-10; 0: never, 2: always).
      restore: probability that a number returns to the source.
      augmentations: copies that are averaged (32 in the paper; 8 here, for the cost grows with them).
      shift: largest circular shift of a copy, as a share of the clip (images: colours, affine maps, flips).
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      confidence: "batch" compares the batch's mean confidence, as the paper's code; "clip" each clip's, as its text.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Source: Wang et al., CVPR 2022, arXiv 2203.13591, equations 1 to 5, 7, 8 and algorithm 1.
    """
    augmentation = checked("cotta", Augmentation(shift, gain_db, noise))
    _check_options(augmentations, confidence, evaluate)
    registry.check("optimiser of method cotta", optimiser, OPTIMISERS)
    registry.check("loss of method cotta", loss, LOSSES)
    rule, rows_of = OPTIMISERS[optimiser](lr), LOSSES[loss]
    following, fixed = (Mode(dropout=False, norm=n) for n in (normalisers.batch, normalisers.batch_frozen))
    evaluating = normalisers.EVAL if evaluate == "running" else fixed

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("cotta", variables, rule, group)
        moving = masks.split(variables["params"], group)[0]
        return state._replace(memory=CottaMemory(*(jax.tree.map(jnp.copy, moving) for _ in range(2))))

    def forward(variables: Variables, batch: Batch, mode: Mode) -> tuple[Array, Any]:
        outputs, stats = classifier.apply(variables, batch.wave, mode=mode, weights=batch.weights, axis_name=axis_name)
        return outputs.logits, stats

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state.variables, batch, evaluating)[0]

    def pseudo_labels(teacher: Variables, source: Variables, batch: Batch, key: PRNGKeyArray) -> Array:
        unsure = unsure_rows(forward(source, batch, fixed)[0], batch.weights, p_th, confidence, axis_name)
        plain = forward(teacher, batch, fixed)[0]

        def averaged() -> Array:
            def add(summed: Array, k: PRNGKeyArray) -> tuple[Array, None]:
                copy = augmented(k, batch.wave, batch.index, augmentation)
                return summed + forward(teacher, batch._replace(wave=copy), fixed)[0], None

            summed, _ = jax.lax.scan(add, jnp.zeros_like(plain), jax.random.split(key, augmentations))
            return jnp.where(unsure[:, None], summed / augmentations, plain)

        some = total((batch.weights * unsure).sum(), axis_name) > 0
        return jax.lax.cond(some, averaged, lambda: plain)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        copy_key, restore_key = jax.random.split(key)
        slow, frozen = masks.split(state.variables["params"], group)
        kept = state.memory
        student, source = ({**state.variables, "params": masks.merge(leaves, frozen)} for leaves in kept)
        wanted = pseudo_labels(state.variables, source, batch, copy_key)

        def distance(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = forward(variables, batch, following)
            value = losses.weighted_mean(rows_of(logits, wanted), batch.weights, axis_name)
            return value, Evaluated({"total": value}, stats, logits)

        after, evaluated = gradient_update(state._replace(variables=student), distance, rule, group, axis_name)
        fast = masks.split(after.variables["params"], group)[0]
        slow = between(teacher_momentum, slow, fast)
        fast = restored(restore_key, fast, kept.source, restore)
        teacher = {**after.variables, "params": masks.merge(slow, frozen)}
        return after._replace(variables=teacher, memory=kept._replace(student=fast)), Prediction(
            wanted, evaluated.losses
        )

    return Method(init, step, predict, adapts=group, passes=(3 + augmentations, 1))


def _check_options(augmentations: int, confidence: str, evaluate: str) -> None:
    if augmentations < 1:
        raise BadInput(f"cotta: augmentations is {augmentations}, expected at least 1")
    registry.check("confidence of method cotta", confidence, ("batch", "clip"))
    registry.check("evaluate of method cotta", evaluate, ("running", "batch"))
