"""Which statistics normalise the images of a run's sets (quirk 40): the checkpoint's, or those of the very set."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.nets import mel_image
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.types import Variables

OWN = "evaluated_set"
"""The rule of the reference; the other one is "checkpoint"."""


def rule_of(config: ClassifierConfig, variables: Variables, profile: str, options: dict[str, Any]) -> str | None:
    """The rule of a run: the method's option where it has one, else the profile's.

    None for nets without images, and for those of a user's own whose variables hold no statistics: nothing is replaced.
    """
    if mel_image.spec_of(config.front_end) is None or not mel_image.has_statistics(variables):
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


class InputStatistics(NamedTuple):
    """The rule of a cell and what it measured on each of the sets of its target; None where the checkpoint's serve.

    Attributes:
      rule: of `rule_of`; it stands in the record.
      waves: of the set that is adapted to.
      evaluation: of the draw that is reported, where it is another one.
      clean: of the uncorrupted clips, where they are looked at.
    """

    rule: str | None = None
    waves: mel_image.Statistics | None = None
    evaluation: mel_image.Statistics | None = None
    clean: mel_image.Statistics | None = None

    def of(self, name: str, tree: Any) -> Any:
        """Variables, or a method's whole state, that normalise the images of the set `name` as the rule wants."""
        return normalising(tree, getattr(self, name))


def of_sets(config: ClassifierConfig, rule: str | None, **sets: np.ndarray | None) -> InputStatistics:
    """The statistics of sets (clips, time), by their names in `InputStatistics`."""
    return InputStatistics(rule, **{name: measured(config, rule, waves) for name, waves in sets.items()})
