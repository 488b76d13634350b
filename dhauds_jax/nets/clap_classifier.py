"""CLAP's audio tower as a classifier: of named classes without training, or with a last layer to be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.clap_zoo import PRESETS, build_encoder
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.family import Family, Preset
from dhauds_jax.nets.prototypes import with_prototypes
from dhauds_jax.nets.swin import Compute
from dhauds_jax.types import Classifier, Variables

NAME = "clap"
"""The family's name in `names.FAMILIES`."""

FUSION = ("crops", "fusion")
"""What fusion adds to the patch embedding; a classifier hears windows of its own length, which never reach it."""


def config_of(config: AudioTextConfig, classes: Sequence[str]) -> ClassifierConfig:
    """The record of an audio tower with a last layer for some classes over its projection."""
    head = {"kind": "projected_tokens", "hidden": config.projection["hidden"], "features": config.projection["width"]}
    audio = {**config.audio, "fusion": None}
    clip = (config.front_end, config.sample_rate, config.length)
    return ClassifierConfig(config.net, NAME, audio, head, *clip, tuple(classes), config.source)


def as_classifier(
    config: AudioTextConfig,
    variables: Variables,
    kernel: Float[Array | np.ndarray, "features classes"],
    bias: Float[Array | np.ndarray, " classes"],
    classes: Sequence[str],
    *,
    scale: float | None = None,
    **compute: Any,
) -> tuple[Classifier, Variables]:
    """An audio tower as a `Classifier`: logits = scale (a . kernel) + bias, a the unit embedding of a window.

    Args:
      config: of the towers.
      variables: theirs; those of the text tower are left behind.
      kernel: (features, classes), unit text anchors or other prototypes as columns.
      bias: (classes,), already scaled: -scale tau b for a background profile b subtracted with weight tau.
      classes: their names.
      scale: of the cosines, None for the checkpoint's own.
      compute: how to compute it (`zoo.build`).

    Raises:
      BadInput: prototypes that do not fit, or no audio tower.
    """
    if "audio" not in variables.get("params", {}):
        raise BadInput("audio-text model: has no audio tower, expected params with an entry 'audio'")
    scale = float(np.exp(np.asarray(variables["params"]["scale"]["audio"]))) if scale is None else scale
    audio, stats = variables["params"]["audio"], variables["batch_stats"]["audio"]
    trained = {
        "params": {"encoder": _without_fusion(audio["encoder"]), "head": {"projection": audio["projection"]}},
        "batch_stats": {"encoder": _without_fusion(stats["encoder"])},
    }
    made, variables = with_prototypes(config_of(config, classes), trained, kernel, bias, classes, scale=scale)
    return zoo.build(made, **compute), variables


def _without_fusion(encoder: Mapping[str, Any]) -> dict[str, Any]:
    embed = {name: leaf for name, leaf in encoder.get("patch_embed", {}).items() if name not in FUSION}
    kept = {name: leaf for name, leaf in encoder.items() if name != "patch_embed"}
    return {**kept, "patch_embed": embed} if embed else kept


def _preset(config: AudioTextConfig) -> Preset:
    def make(classes: tuple[str, ...] | None) -> ClassifierConfig:
        if classes is None:
            raise BadInput(f"net {config.net!r} has no classes of its own, expected their names in order")
        return config_of(config, classes)

    return make


FAMILY = Family(
    build_encoder,
    Compute._fields,
    {name: _preset(config) for name, config in PRESETS.items() if config.audio["fusion"] is None},
)
