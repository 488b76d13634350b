"""CoNMix's sizes and presets: the published hybrid for each data set, a small one to train on a CPU, a tiny one."""

from __future__ import annotations

from typing import Any

from dhauds_jax import class_names
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.conmix import DECODER, Compute, Hybrid
from dhauds_jax.nets.family import Family, preset
from dhauds_jax.nets.front_ends import log_mel
from dhauds_jax.nets.mel_image import KIND, spec_of

GEOMETRY = ("root", "units", "groups", "width", "depth", "heads", "mlp", "dropout", "features")
"""The keys of a CoNMix's geometry.

`root`, `units`, `groups`: of the ResNet (see `conmix.ResNet`). `width`, `depth`, `heads`, `mlp`: of the transformer.
`dropout`: after the projection and twice in every MLP. `features`: of the last linear layer of the encoder.
"""

BASE: dict[str, Any] = {
    "root": 64,
    "units": [3, 4, 9],
    "groups": 32,
    "width": 768,
    "depth": 12,
    "heads": 12,
    "mlp": 3072,
    "dropout": 0.1,
    "features": 2048,
}
"""R50 + ViT-B/16."""

SMALL: dict[str, Any] = {
    **BASE,
    "root": 16,
    "units": [1, 1, 1],
    "groups": 8,
    "width": 192,
    "depth": 4,
    "heads": 4,
    "mlp": 384,
    "features": 256,
}
"""For training from scratch on a CPU, with images of 96 by 96 pixels (36 tokens)."""

TINY: dict[str, Any] = {
    **BASE,
    "root": 4,
    "units": [1, 1, 1],
    "groups": 2,
    "width": 16,
    "depth": 2,
    "heads": 2,
    "mlp": 32,
    "features": 24,
}
"""For tests."""


def mel_image(rate: int, n_fft: int, hop: int, mels: int, image: int, resize: int) -> dict[str, Any]:
    """A front end of the CoNMix kind: HTK mels, dB with a floor of 80 per clip, not divided.

    The only published statistics are TTA-in-AC's of AudioMNIST (in dB): a network starts with them, and training
    writes its own set's into the checkpoint.
    """
    mel = {**log_mel(rate, n_fft, n_fft, hop, mels, "htk"), "divisor": 1.0}
    return {**mel, "kind": KIND, "image": image, "resize": resize, "mean": -52.9362, "deviation": 19.3889}


def build_encoder(config: ClassifierConfig, **compute: Any) -> Hybrid:
    """The encoder that a config's `geometry` describes; `compute` replaces fields of `conmix.Compute`.

    Raises:
      BadInput: a size is missing, foreign or impossible, or the front end is no image.
    """
    sizes = take(config.geometry, GEOMETRY, "config geometry of family 'conmix'")
    spec = spec_of(config.front_end)
    if spec is None:
        raise BadInput(f"config: family 'conmix' has front end {config.front_end['kind']!r}, expected {KIND!r}")
    if sizes["width"] % sizes["heads"]:
        raise BadInput(f"config geometry: width {sizes['width']} is no multiple of {sizes['heads']} heads")
    if sizes["root"] % sizes["groups"]:
        raise BadInput(f"config geometry: root {sizes['root']} is no multiple of {sizes['groups']} groups")
    sizes["units"] = tuple(sizes["units"])
    return Hybrid(**sizes, mean=spec.mean, deviation=spec.deviation, compute=Compute(**compute))


def dead_parameters(config: ClassifierConfig) -> int:
    """What published totals count beyond the tree: the decoder, which exists in the published size alone."""
    return DECODER if config.geometry["root"] == BASE["root"] else 0


# name: (class names or None, front end, samples, geometry, head's features)
_TASKS: dict[str, tuple[tuple[str, ...] | None, dict[str, Any], int, dict[str, Any], int]] = {
    "conmix_sc2": (class_names.SPEECH_COMMANDS_V2, mel_image(16000, 1024, 200, 81, 224, 256), 16000, BASE, 256),
    "conmix_sc1": (class_names.SPEECH_COMMANDS_V1, mel_image(16000, 1024, 200, 81, 224, 256), 16000, BASE, 256),
    "conmix_rs": (class_names.REEF_SET, mel_image(16000, 1024, 250, 123, 224, 256), 30080, BASE, 256),
    "conmix_am": (class_names.AUDIO_MNIST, mel_image(48000, 1024, 377, 128, 224, 256), 48000, BASE, 256),
    "conmix_small": (None, mel_image(16000, 1024, 200, 81, 96, 108), 16000, SMALL, 64),
    "conmix_tiny": (None, mel_image(16000, 512, 256, 16, 24, 27), 4000, TINY, 8),
}


PRESETS = {
    name: preset(name, "conmix", classes, sizes, {"kind": "bottleneck", "features": features}, front_end, length)
    for name, (classes, front_end, length, sizes, features) in _TASKS.items()
}

FAMILY = Family(build_encoder, Compute._fields, PRESETS, dead=dead_parameters)
