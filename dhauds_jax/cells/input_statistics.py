"""Which statistics normalise the images of a run's sets (quirk 40): the checkpoint's, or those of the very set."""

from __future__ import annotations

from typing import Any

import numpy as np

from dhauds_jax.nets import mel_image
from dhauds_jax.nets.config import ClassifierConfig

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
