"""Mean and deviation of filter banks, measured over a training split, for the config of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.data.pipeline import ClipBatch, ClipSplit, batches, to_device, to_float
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import mel_image, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.progress import progress_bar
from dhauds_jax.train.request import STATISTICS
from dhauds_jax.train.views import clean_view

NAMES = ("mean", "std", "std_factor")
"""The constants of a front end that are meant."""


def with_statistics_of(config: ClassifierConfig, found: ClassifierConfig, choice: str) -> ClassifierConfig:
    """The config of a network that starts from the weights of another: with that one's statistics for "checkpoint"."""
    if choice != "checkpoint" or {found.front_end["kind"], config.front_end["kind"]} != {"kaldi_fbank"}:
        return config
    return config.replace(front_end={**config.front_end, **{name: found.front_end[name] for name in NAMES}})


def with_measured_statistics(
    config: ClassifierConfig,
    clips: ClipSplit,
    choice: str,
    view: Callable[[Array, ClipBatch], Array] | None = None,
    batch_size: int = 100,
) -> ClassifierConfig:
    """The config with the mean and the deviation of all filter-bank values of the clips ("train_set"), or as it is.

    Padding after a clip's end counts as it does for the network: as silence of the clip, or as zeros behind it.

    Args:
      config: of a network on Kaldi filter banks.
      clips: rows as long as the config's clips; longer ones need a `view`.
      choice: of `STATISTICS`; "checkpoint" and "preset" leave the config as it is.
      view: `(key, batch) -> wave`, the clips at the config's length, such as training's "clean" view.
      batch_size: clips at a time.

    Raises:
      BadInput: an unknown choice, or another front end.
    """
    if choice not in STATISTICS:
        raise BadInput(f"--input_statistics={choice}: expected one of {', '.join(STATISTICS)}")
    if choice != "train_set":
        return config
    if config.front_end["kind"] != "kaldi_fbank":
        raise BadInput(
            f"--input_statistics=train_set: the front end of {config.net} is {config.front_end['kind']}, expected a "
            "net on Kaldi filter banks such as ssast_tiny"
        )
    bare = config.replace(front_end={**config.front_end, "mean": 0.0, "std": 1.0, "std_factor": 1.0})
    features = zoo.front_end(bare)

    @jax.jit
    def sums(batch):
        batch = batch._replace(wave=to_float(batch.wave))
        values = features(batch.wave if view is None else view(jax.random.key(0), batch))
        weights = jnp.asarray(batch.weights)[:, None, None]
        return (weights * values).sum(), (weights * values**2).sum(), weights.sum() * values[0].size

    found = np.zeros(3)
    steps = -(-len(clips.ids) // batch_size)
    for batch in progress_bar(to_device(batches(clips, np.arange(len(clips.ids)), batch_size)), "statistics", steps):
        found += np.array([float(x) for x in sums(batch)])
    mean = found[0] / found[2]
    std = float(np.sqrt(found[1] / found[2] - mean**2))
    return config.replace(front_end={**config.front_end, "mean": round(float(mean), 6), "std": round(std, 6)})


def of_clips(config: ClassifierConfig, clips: ClipSplit, options: Any) -> mel_image.Statistics | None:
    """The statistics of the training clips, which their checkpoint keeps; None for nets without images.

    Each clip is at the network's length as the "clean" view has it, not rolled, its image whole.

    Args:
      config: of the network.
      clips: the training split.
      options: the recipe, a `train.request.TrainOptions`.
    """
    spec = mel_image.spec_of(config.front_end)
    if spec is None:
        return None
    view = clean_view(config, clips, options)
    measure = jax.jit(lambda batch: mel_image.moments(mel_image.images(view(jax.random.key(0), batch), spec)))
    found = []
    for batch in to_device(batches(clips, np.arange(len(clips.ids)), min(mel_image.CLIPS, len(clips.ids)))):
        found.append([np.asarray(values) for values in measure(batch._replace(wave=to_float(batch.wave)))])
    each = (jnp.asarray(np.concatenate(values)[: len(clips.ids)]) for values in zip(*found, strict=True))
    return mel_image.pooled(mel_image.Moments(*each))
