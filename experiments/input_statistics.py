"""Which statistics normalise the images of a run's sets (quirk 40): the checkpoint's, or those of the very set."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.data.pipeline import ClipSplit, batches, to_device, to_float
from dhauds_jax.nets import mel_image
from dhauds_jax.nets.config import ClassifierConfig
from experiments.training_views import make_view

OWN = "evaluated_set"
"""The rule of the reference; the other one is "checkpoint"."""


def rule_of(config: ClassifierConfig, profile: str, options: dict[str, Any]) -> str | None:
    """The rule of a run, None for nets without images: the method's option where it has one, else the profile's."""
    if mel_image.spec_of(config.front_end) is None:
        return None
    return options.get("input_statistics", OWN if profile == "reference" else "checkpoint")


def measured(config: ClassifierConfig, rule: str | None, waves: np.ndarray | None) -> mel_image.Statistics | None:
    """The statistics that normalise a set (clips, time), None for those that the variables hold."""
    if rule != OWN or waves is None:
        return None
    return mel_image.set_statistics(waves, mel_image.spec_of(config.front_end))


def normalising(tree: Any, statistics: mel_image.Statistics | None) -> Any:
    """Variables, or a method's whole state, with these statistics."""
    return tree if statistics is None else mel_image.with_statistics(tree, statistics)


def of_clips(config: ClassifierConfig, clips: ClipSplit, options: Any) -> mel_image.Statistics | None:
    """The statistics of the training clips, which their checkpoint keeps; None for nets without images.

    Each clip is at the network's length as the "clean" view has it, not rolled, its image whole.

    Args:
      config: of the network.
      clips: the training split.
      options: the recipe, a `training.TrainOptions`.
    """
    spec = mel_image.spec_of(config.front_end)
    if spec is None:
        return None
    view = make_view("clean", options, None, bool(np.any(clips.lengths < clips.width)), config.length)
    measure = jax.jit(lambda batch: mel_image.moments(mel_image.images(view(jax.random.key(0), batch), spec)))
    found = []
    for batch in to_device(batches(clips, np.arange(len(clips.ids)), min(mel_image.CLIPS, len(clips.ids)))):
        found.append([np.asarray(values) for values in measure(batch._replace(wave=to_float(batch.wave)))])
    each = (jnp.asarray(np.concatenate(values)[: len(clips.ids)]) for values in zip(*found, strict=True))
    return mel_image.pooled(mel_image.Moments(*each))
