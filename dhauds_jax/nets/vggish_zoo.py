"""VGGish's sizes and presets: the published ones, and a quarter of them to train on a CPU.

`vggish` is the dog-sound classifier of team ADEE, whose fifteen classes it has where no others are given.
"""

from __future__ import annotations

from typing import Any

from jax.typing import DTypeLike

from dhauds_jax import class_names
from dhauds_jax.dsp import vggish
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CONVOLUTIONS
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.family import Family, preset
from dhauds_jax.nets.vggish import VGGish

NAME = "vggish"
"""The family's name in `names.FAMILIES`, and the kind of its front end."""

GEOMETRY = ("widths", "convs", "dense", "final_relu", "batch_norm")
"""The sizes of a VGGish, see `VGGish`."""

PUBLISHED: dict[str, Any] = {
    "widths": [64, 128, 256, 512],
    "convs": [1, 1, 2, 2],
    "dense": [4096, 4096, 128],
    "final_relu": True,
    "batch_norm": False,
}
"""torchvggish's: 72,141,184 weights."""

SMALL: dict[str, Any] = {
    "widths": [16, 32, 64, 128],
    "convs": [1, 1, 2, 2],
    "dense": [192, 128],
    "final_relu": False,
    "batch_norm": True,
}
"""A quarter of the widths and 3072-192-128 at the end: 0.9 M weights, 0.1 GFLOP an example."""

SAMPLE_RATE, LENGTH = vggish.SAMPLE_RATE, 80_000
"""Of the presets' clips, in Hz and samples: 5 s."""


def front_end() -> dict[str, Any]:
    """The record of VGGish's front end; recordings get its rate as the published code has it, by resampy's filter.

    A shorter one comes first and silence behind it, so that the mask of `attention_pool` finds the silence.
    """
    return {"kind": NAME, "layout": "start", "resampler": "kaiser_best"}


def build_encoder(config: ClassifierConfig, dtype: DTypeLike | None = None, convolution: str = "direct") -> VGGish:
    """The encoder that a config's `geometry` describes; `dtype` and `convolution` as of `VGGish`.

    Raises:
      BadInput: a size is missing, foreign or impossible, the front end gives no examples, or another convolution.
    """
    if convolution not in CONVOLUTIONS:
        raise BadInput(f"net: convolution is {convolution!r}, expected {' or '.join(map(repr, CONVOLUTIONS))}")
    sizes = take(config.geometry, GEOMETRY, "config geometry of family 'vggish'")
    kind = config.front_end["kind"]
    if kind != NAME:
        raise BadInput(f"config: family 'vggish' has front end {kind!r}, expected {NAME!r}")
    stages, most = len(sizes["widths"]), (vggish.EXAMPLE & -vggish.EXAMPLE).bit_length() - 1
    if not 1 <= stages <= most:
        raise BadInput(f"config geometry: {stages} widths, expected 1 to {most}, as often as 96 frames can be halved")
    if len(sizes["convs"]) != stages or min(sizes["convs"]) < 1 or not sizes["dense"]:
        raise BadInput(
            f"config geometry: convs is {sizes['convs']} and dense {sizes['dense']}, expected a number from 1 on for "
            f"each of {stages} widths, and at least one linear layer"
        )
    tuples = {name: tuple(sizes[name]) for name in ("widths", "convs", "dense")}
    return VGGish(**{**sizes, **tuples}, dtype=dtype, convolution=convolution)


HEAD = {"kind": "attention_pool", "heads": 4, "dropout": 0.1, "mask": "trailing_zeros"}
"""The head of the presets."""

PRESETS = {
    name: preset(name, NAME, classes, sizes, HEAD, front_end(), LENGTH, SAMPLE_RATE)
    for name, classes, sizes in (("vggish", class_names.TOMOFUN, PUBLISHED), ("vggish_small", None, SMALL))
}

FAMILY = Family(build_encoder, ("dtype", "convolution"), PRESETS)
