"""How the clips of a split reach the devices while training, and what a network says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

from dhauds_jax import parallel
from dhauds_jax.data.pipeline import ClipSplit, batches, to_device, to_float
from dhauds_jax.dsp.views import repeat_pad, roll
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.train.views import TrainBatch
from dhauds_jax.tta.feeding import padded
from dhauds_jax.types import Classifier, Variables


def fed(clips: ClipSplit, order: np.ndarray, batch_size: int, where: Parallel) -> Iterator[TrainBatch]:
    """The batches of a pass on the devices, one ahead of the one in use."""

    def put(batch: TrainBatch) -> TrainBatch:
        return parallel.put_rows(where, padded(batch, where.devices))

    return to_device(batches(clips, order, batch_size), put if where.kind != "jit" else None)


BATCH = 70
"""Validation clips in a batch: as many as in a batch of the recipes of adaptation, whose prediction is the same program
(`tta.evaluation.compiled`) and is then found in the compilation cache."""


def make_evaluator(
    classifier: Classifier,
    batch_size: int,
    where: Parallel = ONE,
    compiler_options: Mapping[str, Any] | None = None,
) -> Callable[[Variables, ClipSplit], np.ndarray]:
    """`(variables, clips) -> logits` in evaluation mode, compiled once; the clips are as long as the network's.

    `compiler_options` go to XLA (one device alone).
    """

    def predict(variables: Variables, wave: Array) -> Array:
        return classifier.apply(variables, wave, mode=EVAL, axis_name=where.axis_name)[0].logits

    def predict_placed(variables: Variables, rows: tuple[Array, Array]) -> Array:
        wave, lengths = rows
        width = wave.shape[-1]
        first = roll(wave, -((width - lengths) // 2))
        return predict(variables, repeat_pad(first, lengths, width) if layout == "repeat_pad" else first)

    layout = reading(classifier.config.front_end)["layout"]
    placed = layout != "centre"
    forward = parallel.spread_rows(where, predict_placed if placed else predict, compiler_options)

    def score(variables: Variables, clips: ClipSplit) -> np.ndarray:
        feed = fed(clips, np.arange(len(clips.ids)), batch_size, where)
        rows = ((to_float(batch.wave), batch.lengths) if placed else to_float(batch.wave) for batch in feed)
        logits = [forward(variables, row)[:batch_size] for row in rows]
        return np.concatenate([np.asarray(part) for part in logits])[: len(clips.ids)]

    return score
