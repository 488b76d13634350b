"""GTTA: labelled source clips mixed with test clips of their kind, then the sure test clips themselves."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import normalisers
from dhauds_jax.parallel import whole_batch
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import chosen_mean, kept_share, norm_passes, sgd_or_adam, update_if_kept
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state, float_type, gradient_update
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Method,
    Mode,
    Prediction,
    RunInfo,
    SourceData,
    Variables,
)

FIXED = Mode(dropout=False, norm=normalisers.batch_frozen)

FIRST_CONFIDENCE = 0.9
"""What the average confidence begins with; each batch then weighs a tenth."""


class GttaMemory(NamedTuple):
    """What GTTA keeps: the moving average of the batches' mean confidence, and the labelled source clips."""

    confidence: Float[Array, ""]
    source: SourceData


def sure_rows(
    logits: Float[Array, "batch classes"],
    weights: Float[Array, " batch"],
    average: Float[Array, ""],
    axis_name: str | None = None,
) -> tuple[Float[Array, " batch"], Float[Array, ""]]:
    """(1 for real rows whose confidence is at least the root of the average, the average after this batch).

    Confidence is the largest probability; the average is 0.9 of the old one and 0.1 of the batch's mean.
    """
    confidence = jax.nn.softmax(logits, -1).max(-1)
    average = 0.9 * average + 0.1 * losses.weighted_mean(confidence, weights, axis_name)
    return weights * (confidence >= jnp.sqrt(average)), average


def partners(
    source: Float[Array, "clips classes"], test: Float[Array, "batch classes"], weights: Float[Array, " batch"]
) -> Int[Array, " clips"]:
    """For each source clip the real test clip whose probabilities have the largest product with its own."""
    products = jax.nn.softmax(source, -1) @ jax.nn.softmax(test, -1).T
    return jnp.where(weights[None] > 0, products, -jnp.inf).argmax(-1)


@declares(
    contract_options={"group": "norm"},
    because="Adam makes whole steps of the rounding errors in a gradient that is 0 (a bias before BatchNorm)",
    recipes={
        "authors_cifar": {"optimiser": "adam", "lr": 1e-5, "momentum": 0.9, "mixup": 1 / 3, "evaluate": "batch"},
    },
)
def gtta(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-5,
    momentum: float = 0.9,
    optimiser: str = "adam",
    mixup: float = 1 / 3,
    replay_clips: int = 64,
    evaluate: str = "running",
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """Two updates a batch: on source clips with test clips mixed in, then on the test clips that are sure.

    Per batch, everything with the statistics of the clips it is computed on: labels and confidences of the test clips
    (`sure_rows`); source clips s drawn anew, each mixed with its `partners` one, `mixup t + (1 - mixup) s`, and a step
    on their cross-entropy against the labels of s; then a step on the cross-entropy of the sure test clips against the
    labels found at the beginning (none, where no clip is sure). A step's prediction is taken between the two updates.
    Every device replays all source clips. This is the authors' mixing variant: the other one paints source images in
    the style of the test images by a network trained for it, which sounds have not.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" or "sgd".
      mixup: share of the test clip in a mixture, 0 to 1.
      replay_clips: source clips in a step (the authors: as many as the batch has).
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: impossible options, or no source clips.

    Source: Marsden, Döbler and Yang, arXiv 2208.07736; their code's gtta.py, which has no number for a batch without
      sure clips.
    """
    if not 0.0 <= mixup <= 1.0:
        raise BadInput(f"gtta: mixup is {mixup}, expected a share from 0 (source clips alone) to 1 (test clips alone)")
    if replay_clips < 1:
        raise BadInput(f"gtta: replay_clips is {replay_clips}, expected at least 1")
    passes = norm_passes("gtta", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("gtta", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        if info.source is None:
            raise BadInput("method gtta needs labelled source clips, and this run has none: give some")
        memory = GttaMemory(jnp.asarray(FIRST_CONFIDENCE, float_type(variables)), info.source)
        return first_state("gtta", variables, optimise, group)._replace(memory=memory)

    def of_source(variables: Variables, waves: Array) -> Array:
        return classifier.apply(variables, waves, mode=FIXED)[0].logits

    def mixtures_of(state: AdaptState, batch: Batch, logits: Array, key: PRNGKeyArray) -> tuple[Array, Array]:
        """Mixtures and their labels."""
        source = state.memory.source
        rows = jax.random.permutation(key, len(source.labels))[:replay_clips]
        clips, labels = source.waves[rows], source.labels[rows]
        wave, logits, weights = whole_batch((batch.wave, logits, batch.weights), axis_name)
        partner = partners(of_source(state.variables, clips), logits, weights)
        return mixup * wave[partner] + (1 - mixup) * clips, labels

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        first = passes.look(state.variables, batch.wave, batch.weights)
        labels = first.argmax(-1)
        sure, confidence = sure_rows(first, batch.weights, state.memory.confidence, axis_name)
        mixtures, wanted = mixtures_of(state, batch, first, key)

        def on_source(variables: Variables) -> tuple[Array, Evaluated]:
            value = losses.smoothed_cross_entropy(of_source(variables, mixtures), wanted, smoothing=0.0)
            return value, Evaluated({"source": value}, variables["batch_stats"], first)

        def on_test(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            rows = -jnp.take_along_axis(jax.nn.log_softmax(logits, -1), labels[:, None], -1)[:, 0]
            value = chosen_mean(rows, sure, axis_name)
            kept = kept_share(sure, batch.weights, axis_name)
            return value, Evaluated({"test": value, "kept": kept}, stats, logits)

        count = state.step + 1
        state, source = gradient_update(state, on_source, optimise, group, axis_name)
        state, prediction = update_if_kept(state, on_test, optimise, group, axis_name)
        terms = {**source.losses, **prediction.losses}
        terms["total"] = terms["source"] + terms["test"]
        memory = state.memory._replace(confidence=confidence)
        return state._replace(memory=memory, step=count), Prediction(prediction.logits, terms)

    return Method(init, step, passes.predict, adapts=group, passes=(4, 2), needs=("source_data",))
