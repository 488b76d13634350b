"""The pipeline alone: corrupted, shifted log-mel features and labels as a plain `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import Quirks, corrupt, needs_noise
from dhauds_jax.data.corruptions.noise import NoiseBank, load_bank
from dhauds_jax.data.layout import lay_out, raw_clip
from dhauds_jax.data.pipeline.decoding import tensorflow
from dhauds_jax.data.pipeline.source import ClipBatch, ClipSplit, batches, epoch_order, open_split, to_float
from dhauds_jax.data.sets.base import multi_hot
from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.dsp.views import rolled_views


def feature_dataset(
    dataset: str | sets.DataSet,
    data_dir: Path | str | None,
    split: str,
    *,
    features: MelSpec | Callable[[Array], Array],
    sample_rate: int,
    length: int,
    key: PRNGKeyArray,
    corruption: str | None = None,
    level: str = "L2",
    seed: int = 0,
    profile: str | Quirks = "reference",
    noise_dir: Path | str | None = None,
    bank: NoiseBank | None = None,
    layout: str = "centre",
    limit: float = 0.17,
    epoch: int = 0,
    batch_size: int = 32,
    begin: int = 0,
    shard: tuple[int, int] = (0, 1),
    **opening: Any,
) -> Any:
    """One pass over a corrupted split, as what the offline protocol feeds to a two-view method in that epoch.

    Elements are dicts: `right` and `left`, float32 (batch, ...), the features of each clip rolled either way; `labels`,
    int32 (batch,), or float32 (batch, classes) for sets with several labels; `weights`, float32 (batch,), 0 for padded
    rows of the last batch; `index`, int32 (batch,), positions in the split. The corruption is drawn once from `seed`
    and computed anew in each pass. Order and shifts follow from `key`, `epoch` and `index` as in
    `tta.protocols.offline` with the method `dhauds`; the features are those of the jitted step within float32 rounding.

    Args:
      dataset: as of `open_split`.
      data_dir: likewise.
      split: likewise.
      features: `(batch, time) -> (batch, ...)`, a classifier's `features`, or the constants of a log-mel front end.
      sample_rate: Hz.
      length: samples of a clip.
      key: of the run.
      corruption: its name; None for none.
      level: its level.
      seed: of its draws.
      profile: "reference", "corrected" or a `Quirks` record.
      noise_dir: where the recordings of noise corruptions are, unless a `bank` is given.
      bank: recordings of a noise corruption at `sample_rate`.
      layout: what becomes of clips shorter than that, see `lay_out`.
      limit: largest shift as a share of the clip.
      epoch: which pass.
      batch_size: clips of a global batch.
      begin: batches left out at the start.
      shard: `(index, count)`, which part of every batch.
      opening: other options of `open_split`.

    Raises:
      BadInput: unknown names, missing noise, bad files.
    """
    tf = tensorflow()
    dataset = sets.get(dataset, data_dir) if isinstance(dataset, str) else dataset
    if corruption and needs_noise(corruption) and bank is None:
        bank = load_bank(noise_dir, corruption, level, sample_rate)
    # A faster clip is shorter: what comes after the clip's length is needed.
    width = length + length // 8
    source = open_split(dataset, data_dir, split, sample_rate=sample_rate, width=width, **opening)
    order_key, step_key = jax.random.split(key)
    order = epoch_order(jax.random.fold_in(order_key, 0), len(source.ids), epoch)
    epoch_key = jax.random.fold_in(step_key, epoch)
    spoil = _spoiler(source, dataset, corruption, level, seed, profile, bank, length, layout)
    views = _view_maker(features, limit)

    def elements() -> Iterator[dict[str, np.ndarray]]:
        for step, batch in enumerate(batches(source, order, batch_size, begin=begin, shard=shard), start=begin):
            view_key = jax.random.split(jax.random.fold_in(epoch_key, step), 3)[0]
            right, left = views(view_key, spoil(batch), batch.index)
            labels = multi_hot(dataset, batch.labels) if dataset.label_rows else batch.labels
            rest = {"labels": labels, "weights": batch.weights, "index": batch.index}
            yield {"right": np.asarray(right), "left": np.asarray(left), **rest}

    rows = batch_size // shard[1]
    shape = jax.eval_shape(views, key, jax.ShapeDtypeStruct((rows, length), "float32"), np.zeros(rows, np.int32))[0]
    return tf.data.Dataset.from_generator(
        elements,
        output_signature={
            "right": tf.TensorSpec(shape.shape, tf.float32),
            "left": tf.TensorSpec(shape.shape, tf.float32),
            "labels": tf.TensorSpec((rows, len(dataset.classes)), tf.float32)
            if dataset.label_rows
            else tf.TensorSpec((rows,), tf.int32),
            "weights": tf.TensorSpec((rows,), tf.float32),
            "index": tf.TensorSpec((rows,), tf.int32),
        },
    ).prefetch(1)


def _view_maker(features: MelSpec | Callable[[Array], Array], limit: float) -> Callable[..., tuple[Array, Array]]:
    """`(key, wave, index) -> (features of the right view, of the left view)`, jitted."""
    of = (lambda wave: log_mel(wave, features)) if isinstance(features, MelSpec) else features

    @jax.jit
    def views(key: Array, wave: Array, index: Array) -> tuple[Array, Array]:
        right, left = rolled_views(key, wave, index, limit)
        return of(right), of(left)

    return views


def _spoiler(
    source: ClipSplit,
    dataset: sets.DataSet,
    corruption: str | None,
    level: str,
    seed: int,
    profile: str | Quirks,
    bank: NoiseBank | None,
    length: int,
    layout: str,
) -> Callable[[ClipBatch], np.ndarray]:
    """`batch -> (batch, length)` corrupted waves; a clip's samples do not depend on its batch."""

    def clean(batch: ClipBatch) -> np.ndarray:
        rows = zip(np.asarray(to_float(batch.wave)), batch.lengths, strict=True)
        return np.stack([lay_out(raw_clip(row, int(n)), length, layout=layout) for row, n in rows])

    def spoilt(batch: ClipBatch) -> np.ndarray:
        # Padded rows repeat a clip, and each may be corrupted once.
        kept, first, place = np.unique(batch.index, return_index=True, return_inverse=True)
        waves, _ = corrupt(
            np.asarray(to_float(batch.wave[first])),
            [source.ids[i] for i in kept],
            dataset=dataset,
            corruption=corruption,
            level=level,
            seed=seed,
            profile=profile,
            bank=bank,
            sample_rate=source.sample_rate,
            length=length,
            lengths=batch.lengths[first],
            layout=layout,
        )
        return waves[place]

    return clean if corruption is None else spoilt
