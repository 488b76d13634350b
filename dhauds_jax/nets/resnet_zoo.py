"""Sizes and presets of TTA-in-AC's networks: ResNets with an auxiliary head, the small CNN, a tiny ResNet for tests."""

from __future__ import annotations

from typing import Any

from jax.typing import DTypeLike

from dhauds_jax import class_names
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.family import Family, Preset, preset
from dhauds_jax.nets.front_ends import log_mel
from dhauds_jax.nets.resnet import AuxHead, ResNet, SmallCNN

RESNET_GEOMETRY = ("widths", "blocks", "pool", "aux_classes")
"""The sizes of a ResNet, see `ResNet`; `aux_classes` are those of the auxiliary head, 0 for none."""

CNN_GEOMETRY = ("channels",)
"""The sizes of a small CNN, see `SmallCNN`."""


def _image_size(config: ClassifierConfig) -> tuple[int, int]:
    """Mels and frames of a clip."""
    front_end = config.front_end
    if front_end["kind"] != "log_mel":
        raise BadInput(f"config: family {config.family!r} has front end {front_end['kind']!r}, expected 'log_mel'")
    return front_end["n_mels"], front_end.get("frames") or 1 + config.length // front_end["hop"]


def build_resnet(config: ClassifierConfig, dtype: DTypeLike | None = None) -> ResNet:
    """The encoder that a config's `geometry` describes; `dtype` is that of the convolutions.

    Raises:
      BadInput: a size is missing or foreign, or the spectrogram cannot be halved and pooled evenly.
    """
    sizes = take(config.geometry, RESNET_GEOMETRY, "config geometry of family 'resnet'")
    mels, frames = _image_size(config)
    half = 2 ** (len(sizes["widths"]) - 1)
    if mels % half or frames % half or min(mels, frames) // half < sizes["pool"]:
        raise BadInput(
            f"config: the spectrogram has {mels} mels and {frames} frames, expected multiples of {half}, at least "
            f"{half * sizes['pool']}: choose another length, hop or n_mels"
        )
    return ResNet(tuple(sizes["widths"]), sizes["blocks"], sizes["pool"], sizes["aux_classes"] > 0, dtype)


def whole_frames(config: ClassifierConfig) -> ClassifierConfig:
    """The config with frames that can be halved and pooled evenly: the clip's, and empty ones after its end."""
    sizes = config.geometry
    half = 2 ** (len(sizes["widths"]) - 1)
    _, frames = _image_size(config)
    frames = max(half * -(-frames // half), half * sizes["pool"])
    return config.replace(front_end={**config.front_end, "frames": frames})


def build_aux(config: ClassifierConfig) -> AuxHead | None:
    """The auxiliary head of a ResNet's config, None where it has none."""
    sizes = config.geometry
    if not sizes["aux_classes"]:
        return None
    return AuxHead(sizes["widths"][-1], sizes["blocks"], sizes["pool"], sizes["aux_classes"])


def build_cnn(config: ClassifierConfig, dtype: DTypeLike | None = None) -> SmallCNN:
    """The encoder that a config's `geometry` describes; `dtype` is that of the convolutions.

    Raises:
      BadInput: a size is missing or foreign, or the front end is no spectrogram.
    """
    _image_size(config)
    sizes = take(config.geometry, CNN_GEOMETRY, "config geometry of family 'cnn'")
    return SmallCNN(tuple(sizes["channels"]), dtype)


def counted_twice(config: ClassifierConfig) -> int:
    """Parameters of the shared extractor, which the published totals of nets with an auxiliary head count twice."""
    if not config.geometry["aux_classes"]:
        return 0
    widths, blocks = config.geometry["widths"][:-1], config.geometry["blocks"]
    count, before = 9 * widths[0], widths[0]
    for width in widths:
        for _ in range(blocks):
            count += 2 * before + 9 * before * width + 2 * width + 9 * width * width
            before = width
    return count


# Data set: (class names, Hz, hop of the CNN, hop of the ResNet); all clips are 1 s.
_SETS: dict[str, tuple[tuple[str, ...], int, int, int]] = {
    "am": (class_names.AUDIO_MNIST, 48000, 512, 505),
    "sc1": (class_names.SPEECH_COMMANDS_V1, 16000, 512, 253),
}
# The CNN's double softmax (quirk 63) is what its published weights were trained with.
_HEADS = {name: {"kind": "linear", "softmax_output": name == "cnn"} for name in ("cnn", "resnet")}
_CNN = {"channels": [8, 16, 32, 64]}


def _resnet(blocks: int, aux_classes: int = 3) -> dict[str, Any]:
    return {"widths": [16, 32, 64], "blocks": blocks, "pool": 8, "aux_classes": aux_classes}


def _front_end(rate: int, n_fft: int, hop: int, mels: int) -> dict[str, Any]:
    return {**log_mel(rate, n_fft, n_fft, hop, mels, "htk"), "divisor": 1.0}


def _preset(
    name: str, family: str, sizes: dict[str, Any], front_end: dict[str, Any], length: int, names: tuple[str, ...] | None
) -> Preset:
    return preset(name, family, names, sizes, _HEADS[family], front_end, length)


def _presets() -> tuple[dict[str, Preset], dict[str, Preset]]:
    """Those of the ResNets and those of the CNNs."""
    resnets, cnns = {}, {}
    for place, (names, rate, cnn_hop, hop) in _SETS.items():
        name = f"tta_in_ac_cnn_{place}"
        cnns[name] = _preset(name, "cnn", _CNN, _front_end(rate, 1024, cnn_hop, 64), rate, names)
        for depth in (20, 26, 50):
            name = f"tta_in_ac_resnet{depth}_{place}"
            sizes = _resnet((depth - 2) // 6)
            resnets[name] = _preset(name, "resnet", sizes, _front_end(rate, 1024, hop, 64), rate, names)
    # As many mels as frames, for an auxiliary head that tells the four rotations of the spectrogram.
    names, rate, _, hop = _SETS["am"]
    name = "tta_in_ac_resnet26_rotation_am"
    resnets[name] = _preset(name, "resnet", _resnet(4, aux_classes=4), _front_end(rate, 1024, hop, 96), rate, names)
    tiny = {"widths": [4, 4, 8], "blocks": 1, "pool": 2, "aux_classes": 3}
    # For recordings of one's own on a CPU: the CNN of `sc1` over 5 s, without the double softmax.
    head, front_end = {**_HEADS["cnn"], "softmax_output": False}, _front_end(16000, 1024, 512, 64)
    cnns["cnn_small"] = preset("cnn_small", "cnn", None, _CNN, head, front_end, 80_000)
    resnets["resnet_tiny"] = _preset("resnet_tiny", "resnet", tiny, _front_end(16000, 512, 256, 16), 4000, None)
    return resnets, cnns


_RESNETS, _CNNS = _presets()

RESNET = Family(build_resnet, ("dtype",), _RESNETS, build_aux, counted_twice, whole_frames)
CNN = Family(build_cnn, ("dtype",), _CNNS)
