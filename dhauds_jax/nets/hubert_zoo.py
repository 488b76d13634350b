"""HuBERT's sizes and presets: base, large and x-large with the heads of each data set, and two small ones."""

from __future__ import annotations

from typing import Any

from dhauds_jax import class_names
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.family import Family, Preset, preset
from dhauds_jax.nets.hubert import Compute, Hubert
from dhauds_jax.nets.layers import check_activations

WAV2VEC2_CONVS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""Taps and stride of the published front end: 20 ms a frame at 16 kHz."""

GEOMETRY = (
    "convs",
    "conv_bias",
    "conv_norm",
    "width",
    "depth",
    "heads",
    "feed_forward",
    "pre_norm",
    "positional_taps",
    "positional_groups",
    "projection_dropout",
    "attention_dropout",
    "inner_dropout",
    "dropout",
    "layer_drop",
)
"""The keys of a HuBERT's geometry; `geometry` explains them."""

LAYER_SUMS = ("none", "blocks", "states")
OPTIONAL = {"activation": "gelu", "conv_activation": "gelu", "epsilon": 1e-5, "layer_sum": "none"}
"""What a geometry may hold besides, with what holds where it is absent, as in every published network.

`activation` is of the feed-forward, `conv_activation` of the front end and the positional convolution, `epsilon` of the
layer norms (not of the front end's). `layer_sum` gives the head a learned sum of the blocks' input and of every block's
output, the last one as it is ("blocks") or after the final norm ("states"), and not the last hidden state.
"""


def geometry(
    *,
    width: int,
    depth: int,
    heads: int,
    feed_forward: int,
    pre_norm: bool,
    conv_norm: str,
    channels: int = 512,
    convs: tuple[tuple[int, int, int], ...] | None = None,
    conv_bias: bool = False,
    positional_taps: int = 128,
    positional_groups: int = 16,
    projection_dropout: float = 0.0,
    attention_dropout: float = 0.0,
    inner_dropout: float = 0.0,
    dropout: float = 0.0,
    layer_drop: float = 0.0,
) -> dict[str, Any]:
    """The sizes of a HuBERT as a plain dict, for `ClassifierConfig.geometry`.

    Args:
      width: of the transformer blocks.
      depth: their number.
      heads: of their attention.
      feed_forward: width inside them.
      pre_norm: layer norms before attention and feed-forward (large, x-large), not after (base).
      conv_norm: "group" (one group per channel, over time, after the first convolution) or "layer" (after each).
      channels: of every convolution of the front end, where `convs` is not given.
      convs: (channels, taps, stride) of each convolution.
      conv_bias: whether the convolutions have a bias.
      positional_taps: of the positional convolution.
      positional_groups: likewise.
      projection_dropout: after the projection to `width`.
      attention_dropout: on attention weights.
      inner_dropout: after the feed-forward's GELU.
      dropout: after attention, feed-forward and the positional sum.
      layer_drop: chance that a block is skipped by the whole batch.
    """
    convs = convs or tuple((channels, taps, stride) for taps, stride in WAV2VEC2_CONVS)
    values = dict(locals())
    return {key: [list(c) for c in convs] if key == "convs" else values[key] for key in GEOMETRY}


BASE_DROPOUTS = {"projection_dropout": 0.1, "attention_dropout": 0.1, "dropout": 0.1, "layer_drop": 0.05}
BASE = geometry(width=768, depth=12, heads=12, feed_forward=3072, pre_norm=False, conv_norm="group", **BASE_DROPOUTS)
LARGE = geometry(width=1024, depth=24, heads=16, feed_forward=4096, pre_norm=True, conv_norm="layer")
XLARGE = geometry(width=1280, depth=48, heads=16, feed_forward=5120, pre_norm=True, conv_norm="layer")
SMALL = geometry(
    width=192,
    depth=4,
    heads=4,
    feed_forward=768,
    pre_norm=True,
    conv_norm="layer",
    channels=96,
    positional_taps=32,
    **BASE_DROPOUTS,
)
"""For training from scratch on a CPU: 2,022,368 parameters, positional window 640 ms. Pre-norm, because post-norm needs
a long warm-up; waveforms normalised and a layer norm after each convolution, so that levels do not matter."""
TINY = geometry(
    width=24,
    depth=2,
    heads=2,
    feed_forward=48,
    pre_norm=False,
    conv_norm="group",
    channels=16,
    positional_taps=8,
    positional_groups=4,
    **BASE_DROPOUTS,
)
"""For tests: base's layout, made very small."""


AUDIO_HEAD = {"kind": "audio_classifier", "hidden": 2048, "features": 256}

# Data set: (class names, head, samples at 16 kHz)
_TASKS: dict[str, tuple[tuple[str, ...], dict[str, Any], int]] = {
    "sc2": (class_names.SPEECH_COMMANDS_V2, AUDIO_HEAD, 16000),
    "sc1": (class_names.SPEECH_COMMANDS_V1, AUDIO_HEAD, 16000),
    "rs": (class_names.REEF_SET, AUDIO_HEAD, 30080),
    "us8": (class_names.URBAN_SOUND_8K, {"kind": "hub_classifier", "stages": [2]}, 64000),
    "vs": (class_names.VOCAL_SOUND, {"kind": "hub_classifier", "stages": [2, 2]}, 160000),
    "vs_fce": (class_names.VOCAL_SOUND, {"kind": "fce", "pair": "first"}, 160000),
}
_SIZES = {"base": BASE, "large": LARGE, "xlarge": XLARGE}


def build_encoder(config: ClassifierConfig, **compute: Any) -> Hubert:
    """The encoder that a config's `geometry` describes; `compute` replaces fields of `hubert.Compute`.

    Raises:
      BadInput: a size is missing, foreign or out of its choices, or the front end is no waveform.
    """
    sizes = take({**OPTIONAL, **config.geometry}, (*GEOMETRY, *OPTIONAL), "config geometry of family 'hubert'")
    check_activations(sizes, ("activation", "conv_activation"))
    if sizes["layer_sum"] not in LAYER_SUMS:
        raise BadInput(f"config geometry: layer_sum is {sizes['layer_sum']!r}, expected one of {', '.join(LAYER_SUMS)}")
    if sizes["conv_norm"] not in ("group", "layer"):
        raise BadInput(f"config geometry: conv_norm is {sizes['conv_norm']!r}, expected 'group' or 'layer'")
    if sizes["width"] % sizes["heads"]:
        raise BadInput(f"config geometry: width {sizes['width']} is no multiple of {sizes['heads']} heads")
    if config.front_end["kind"] != "wave":
        raise BadInput(f"config: family 'hubert' has front end {config.front_end['kind']!r}, expected 'wave'")
    convs = tuple(tuple(conv) for conv in sizes["convs"])
    return Hubert(**{**sizes, "convs": convs}, compute=Compute(**compute))


def _preset(
    name: str,
    sizes: dict[str, Any],
    head: dict[str, Any],
    length: int,
    classes: tuple[str, ...] | None,
    normalise: bool,
) -> Preset:
    front_end = {"kind": "wave", "normalise": normalise}
    return preset(name, "hubert", classes, sizes, head, front_end, length, sample_rate=16000)


def _presets() -> dict[str, Preset]:
    table = {}
    for size, sizes in _SIZES.items():
        for task, (names, head, length) in _TASKS.items():
            name = f"hubert_{size}_{task}"
            # The large and x-large checkpoints were made from waveforms of mean 0 and variance 1, base was not.
            table[name] = _preset(name, sizes, head, length, names, normalise=size != "base")
        table[f"hubert_{size}"] = table[f"hubert_{size}_sc2"]
    small_head = {"kind": "audio_classifier", "hidden": 256, "features": 64}
    tiny_head = {"kind": "audio_classifier", "hidden": 32, "features": 16}
    table["hubert_small"] = _preset("hubert_small", SMALL, small_head, 16000, None, True)
    table["hubert_tiny"] = _preset("hubert_tiny", TINY, tiny_head, 4000, None, False)
    return table


PRESETS = _presets()

FAMILY = Family(build_encoder, Compute._fields, PRESETS)
