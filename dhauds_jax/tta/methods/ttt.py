"""TTT: before a clip is classified, the shared layers learn from it how its copies were shifted or rotated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import own_rows, whole_batch
from dhauds_jax.tta.aux_tasks import SHIFT, TASKS, check_head, random_labels
from dhauds_jax.tta.update import Evaluated, gradients
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Prediction, RunInfo, Variables

GROUP = "aux_path"
ADAPTING = Mode(dropout=False, norm=normalisers.batch, aux=normalisers.running)


def aux_loss(
    classifier: Classifier,
    variables: Variables,
    views: Float[Array, "classes ..."],
    counts: Float[Array, " classes"],
    task: str = "time_shift",
) -> tuple[Float[Array, ""], Evaluated]:
    """Mean cross-entropy of the auxiliary head over copies of one clip, each class as often as `counts` says.

    `-sum_c counts_c log p(c | view_c) / sum_c counts_c`. Copies with one label are equal, so the views weighted by
    their counts give the loss, the gradients and the BatchNorm statistics of all the copies.

    Args:
      classifier: a network with an auxiliary head.
      variables: its variables.
      views: features of the clip under each class of the task.
      counts: copies of each view.
      task: a name of `aux_tasks.TASKS`.

    Returns:
      The loss, and what it evaluated: of the BatchNorm statistics, those of the shared extractor are new.

    Raises:
      BadInput: an auxiliary head of another task.
    """
    outputs, stats = classifier.apply_features(variables, views, mode=ADAPTING, weights=counts)
    check_head("method ttt", task, outputs.aux.shape[-1])
    rows = optax.softmax_cross_entropy_with_integer_labels(outputs.aux, jnp.arange(len(counts)))
    value = (counts * rows).sum() / counts.sum()
    _, others = masks.split(variables["batch_stats"], GROUP)
    stats = masks.merge(masks.split(stats, GROUP)[0], others)
    return value, Evaluated({"total": value}, stats, outputs.logits)


def ttt(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    threshold: float = 0.99,
    copies: int = 42,
    updates: int = 1,
    shift: float = SHIFT,
    task: str = "time_shift",
    axis_name: str | None = None,
) -> Method:
    """Test-time training online: clip by clip, SGD on an auxiliary task, then the clip's class; never reset.

    If the auxiliary head gives a clip as it is less than `threshold` for "no shift" (or "no rotation"), `updates` steps
    of plain SGD descend its mean cross-entropy over `copies` copies of the clip, each shifted left, right or not at all
    (or its spectrogram rotated by 0 to 3 quarter turns) by a random label (`aux_loss`). The shared extractor and the
    auxiliary head move; the extractor's BatchNorm uses the copies' statistics and its running ones follow, the head's
    uses the running ones and keeps them. Then the clip is classified, in evaluation mode, with the extractor as it is
    now, and the next clip starts from there. Clips of a batch are taken in order; padded ones are passed over. Dropout,
    which the reference's networks have not, is off.

    A step's predictions are thus taken after the update for each clip and before those for the clips behind it.
    `passes` counts a clip that is adapted to, its three (four) different copies as three (four).

    Args:
      classifier: a network whose auxiliary head was trained on this task (`experiments.train --aux_task=TASK`).
      lr: learning rate.
      threshold: probability of "no shift" from which on a clip is left alone; 1 adapts to nearly every clip.
      copies: copies of a clip in a step.
      updates: steps for a clip, on the same copies (10 in what TTA-in-AC calls offline).
      shift: of the copies, as a share of the clip (nothing to rotations).
      task: "time_shift" or "rotation".
      axis_name: the mapped axis over which the batch is spread; every device then works on the whole batch.

    Raises:
      BadInput: impossible options.

    Source: Sun et al., ICML 2020, arXiv 1909.13231, section 2 (online version); TTA-in-AC, ttt/time_shift_analysis.py
    and ttt/angle_shift_analysis.py.
    """
    _check(threshold, copies, updates, shift, task)
    classes = len(TASKS[task].classes)

    def evaluated(variables: Variables, features: Array) -> tuple[Array, Array]:
        """Logits, and the probability that a clip is as it was recorded."""
        outputs, _ = classifier.apply_features(variables, features, mode=EVAL)
        return outputs.logits[0], jax.nn.softmax(outputs.aux[0])[0]

    def learn(variables: Variables, views: Array, key: PRNGKeyArray, index: Array) -> tuple[Variables, Array]:
        labels = random_labels(key, index[None], copies, classes)[0]
        counts = (labels[:, None] == jnp.arange(classes)[None]).sum(0).astype(jnp.float32)

        def update(variables: Variables, _: Any) -> tuple[Variables, Array]:
            grads, found = gradients(variables, lambda v: aux_loss(classifier, v, views, counts, task), GROUP)
            moving, frozen = masks.split(variables["params"], GROUP)
            moved = jax.tree.map(lambda p, g: p - lr * g, moving, grads)
            params = masks.merge(moved, frozen)
            return {**variables, "params": params, "batch_stats": found.batch_stats}, found.losses["total"]

        variables, losses = jax.lax.scan(update, dict(variables), length=updates)
        return variables, losses[-1]

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return AdaptState(variables, (), (), jnp.zeros((), jnp.int32))

    def predict(state: AdaptState, batch: Batch) -> Array:
        outputs, _ = classifier.apply(
            state.variables, batch.wave, mode=EVAL, weights=batch.weights, axis_name=axis_name
        )
        return outputs.logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        features = TASKS[task].views(classifier, batch.wave, shift)

        def clip(variables: Variables, row: tuple[Array, Array, Array]) -> tuple[Variables, tuple[Array, ...]]:
            views, weight, index = row
            logits, unshifted = evaluated(variables, views[:1])
            due = (unshifted < threshold) & (weight > 0)

            def adapted(variables: Variables) -> tuple[Variables, Array, Array]:
                variables, loss = learn(variables, views, key, index)
                return variables, evaluated(variables, views[:1])[0], loss

            left_alone = lambda variables: (variables, logits, jnp.zeros((), jnp.float32))  # noqa: E731
            variables, logits, loss = jax.lax.cond(due, adapted, left_alone, variables)
            return variables, (logits, loss, due)

        clips = whole_batch((features, batch.weights, batch.index), axis_name)
        variables, (logits, losses, due) = jax.lax.scan(clip, dict(state.variables), clips)
        count, real = due.sum(), clips[1].sum()
        terms = {"total": losses.sum() / jnp.maximum(count, 1), "adapted": count / jnp.maximum(real, 1.0)}
        state = AdaptState(variables, (), (), state.step + 1)
        return state, Prediction(own_rows(logits, batch.wave.shape[0], axis_name), terms)

    passes = (2 + classes * updates, classes * updates)
    return Method(init, step, predict, adapts=GROUP, passes=passes, needs=("aux_head",))


def _check(threshold: float, copies: int, updates: int, shift: float, task: str) -> None:
    registry.check("task of method ttt", task, TASKS)
    if not 0.0 <= threshold <= 1.0:
        raise BadInput(f"ttt: threshold is {threshold}, expected a probability from 0 to 1")
    if copies < 1 or updates < 1:
        raise BadInput(f"ttt: copies is {copies} and updates {updates}, expected at least 1 of each")
    if not 0.0 < shift < 1.0:
        raise BadInput(f"ttt: shift is {shift}, expected a share of the clip between 0 and 1")
