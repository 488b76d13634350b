"""What a family of networks is, and what a preset is: the records that every `*_zoo.py` fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig

Preset = Callable[[tuple[str, ...] | None], ClassifierConfig]
"""From class names in the order of the logits (None: the published ones) to the classifier's record."""


def no_auxiliary_head(config: ClassifierConfig) -> None:
    """The `build_aux` of a family whose networks have one head."""


def nothing_dead(config: ClassifierConfig) -> int:
    """The `dead` of a family whose trees hold all that published totals count."""
    return 0


def any_length(config: ClassifierConfig) -> ClassifierConfig:
    """The `fitted` of a family whose encoders take any number of frames: the config as it is."""
    return config


class Family(NamedTuple):
    """One family of networks: everything that `zoo.build` needs to make a classifier of a record.

    Attributes:
      build_encoder: `(config, **compute)` -> the encoder, a linen module called `(features, *, mode, weights,
        axis_name) -> tokens` (batch, tokens, width); with an auxiliary head, `-> (tokens, what that head takes)`.
      compute: names of the options that `build_encoder` takes beside the config: how to compute, not what.
      presets: name -> `Preset`.
      build_aux: config -> the auxiliary head, called as an encoder, whose `begun(variables)` makes the first variables
        of drawn ones; None where a config has none.
      dead: config -> what published totals count beyond the tree: parameters that nothing reads, or twice.
      fitted: a config whose length is not its preset's -> one whose front end gives what the encoder can take.
    """

    build_encoder: Callable[..., nn.Module]
    compute: tuple[str, ...] = ()
    presets: Mapping[str, Preset] = MappingProxyType({})
    build_aux: Callable[[ClassifierConfig], nn.Module | None] = no_auxiliary_head
    dead: Callable[[ClassifierConfig], int] = nothing_dead
    fitted: Callable[[ClassifierConfig], ClassifierConfig] = any_length


def preset(
    name: str,
    family: str,
    classes: tuple[str, ...] | None,
    geometry: Mapping[str, Any],
    head: Mapping[str, Any],
    front_end: Mapping[str, Any],
    length: int,
    sample_rate: int | None = None,
) -> Preset:
    """A named network of `family` whose clips have `length` samples.

    Args:
      classes: the published names, None for a network that has none of its own.
      geometry: as in `ClassifierConfig`.
      head: likewise.
      front_end: likewise.
      sample_rate: Hz, None for the front end's.
    """
    rate = front_end["sample_rate"] if sample_rate is None else sample_rate

    def make(chosen: tuple[str, ...] | None) -> ClassifierConfig:
        chosen = chosen or classes
        if chosen is None:
            raise BadInput(f"net {name!r} has no classes of its own, expected their names in order")
        return ClassifierConfig(name, family, dict(geometry), dict(head), dict(front_end), rate, length, chosen)

    return make
