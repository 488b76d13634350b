"""AMAuT's sizes and presets: the published networks (DHAuDS and AMAuT repositories), and small ones."""

from __future__ import annotations

from typing import Any

from dhauds_jax import class_names
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.amaut import AMAuT, Compute
from dhauds_jax.nets.config import ClassifierConfig, take
from dhauds_jax.nets.family import Family, preset
from dhauds_jax.nets.front_ends import FEW_SHOT_SETS, few_shot_log_mel, log_mel

GEOMETRY = ("width", "stages", "embed", "depth", "heads", "mlp", "token_dropout", "mlp_norm")
"""The sizes of an AMAuT, see `AMAuT`."""

MLP_NORMS = ("discarded", "applied")

AUDIO_HEAD = {"kind": "audio_classifier", "hidden": 2048, "features": 256}
FCE_HEAD = {"kind": "fce"}


def build_encoder(config: ClassifierConfig, **compute: Any) -> AMAuT:
    """The encoder that a config's `geometry` describes; `compute` replaces fields of `Compute`.

    Raises:
      BadInput: a size is missing, foreign or out of its choices.
    """
    sizes = take(config.geometry, GEOMETRY, "config geometry of family 'amaut'")
    if sizes["mlp_norm"] not in MLP_NORMS:
        raise BadInput(f"config geometry: mlp_norm is {sizes['mlp_norm']!r}, expected one of {list(MLP_NORMS)}")
    if config.front_end["kind"] != "log_mel":
        raise BadInput(f"config: family 'amaut' has front end {config.front_end['kind']!r}, expected 'log_mel'")
    return AMAuT(**{**sizes, "stages": tuple(sizes["stages"])}, compute=Compute(**compute))


def dead_parameters(config: ClassifierConfig) -> int:
    """Parameters that the published totals count and that nothing reads: each block's discarded LayerNorm."""
    sizes = config.geometry
    return 2 * sizes["embed"] * sizes["depth"] if sizes["mlp_norm"] == "discarded" else 0


_SPEECH = log_mel(16000, 1024, 400, 155, 80)
_SMALL = {"embed": 192, "depth": 4, "heads": 4, "mlp": 384}
_SMALL_HEAD = {"kind": "audio_classifier", "hidden": 256, "features": 64}
_MINI = {"embed": 96, "depth": 1, "heads": 4, "mlp": 192}
_MINI_HEAD = {"kind": "audio_classifier", "hidden": 128, "features": 64}
_TINY = {"embed": 32, "depth": 1, "heads": 2, "mlp": 64}
_TINY_HEAD = {"kind": "audio_classifier", "hidden": 32, "features": 16}

# name: (class names or None, front end, samples, width, stages, head, other sizes)
_AMAUT: dict[str, tuple[Any, ...]] = {
    "amaut_sc2": (class_names.SPEECH_COMMANDS_V2, _SPEECH, 16000, 128, (6, 12), AUDIO_HEAD, {}),
    "amaut_sc1": (class_names.SPEECH_COMMANDS_V1, _SPEECH, 16000, 128, (6, 12), AUDIO_HEAD, {}),
    "amaut_rs": (class_names.REEF_SET, _SPEECH, 30080, 128, (6, 8), AUDIO_HEAD, {}),
    "amaut_us8": (
        class_names.URBAN_SOUND_8K,
        log_mel(44100, 2048, 800, 300, 64),
        176400,
        64,
        (6, 4, 8),
        AUDIO_HEAD,
        {},
    ),
    "amaut_vs": (
        class_names.VOCAL_SOUND,
        log_mel(16000, 1024, 400, 154, 64, frames=1040),
        160000,
        64,
        (6, 4, 8),
        FCE_HEAD,
        {},
    ),
    "amaut_audiomnist": (
        class_names.AUDIO_MNIST,
        log_mel(48000, 2048, 800, 302, 80, frames=160),
        48000,
        128,
        (6, 8),
        AUDIO_HEAD,
        {},
    ),
    "amaut_cochlscene": (
        class_names.COCHL_SCENE,
        log_mel(44100, 2048, 800, 300, 64),
        441000,
        64,
        (6, 4, 12),
        FCE_HEAD,
        {},
    ),
    "amaut_arabic15": (class_names.ARABIC_SPEECH_COMMANDS, _SPEECH, 16000, 32, (1, 1), _SMALL_HEAD, _SMALL),
    "amaut_small": (None, _SPEECH, 16000, 32, (1, 1), _SMALL_HEAD, _SMALL),
    # For clips of one's own on a CPU: longer steps, so that an epoch costs little more than with 1 s.
    "amaut_small_2s": (None, log_mel(16000, 1024, 640, 320, 64), 32000, 32, (1, 1), _SMALL_HEAD, _SMALL),
    "amaut_small_5s": (None, log_mel(16000, 2048, 1280, 640, 64), 80000, 32, (1, 1), _SMALL_HEAD, _SMALL),
    "amaut_small_10s": (None, log_mel(16000, 2048, 1600, 800, 64), 160000, 32, (1, 1), _SMALL_HEAD, _SMALL),
    **{
        f"amaut_small_{name}": (None, few_shot_log_mel(name), length, 32, (1, 1), _SMALL_HEAD, _SMALL)
        for name, (_, length, _, _) in FEW_SHOT_SETS.items()
    },
    "amaut_mini": (None, log_mel(16000, 512, 400, 250, 40), 16000, 16, (0,), _MINI_HEAD, _MINI),
    "amaut_tiny": (None, log_mel(16000, 512, 400, 250, 24), 4000, 8, (0, 0), _TINY_HEAD, _TINY),
}


_BASE = {"embed": 768, "depth": 12, "heads": 12, "mlp": 3072, "token_dropout": 0.15, "mlp_norm": "discarded"}


def _geometry(width: int, stages: tuple[int, ...], sizes: dict[str, Any]) -> dict[str, Any]:
    """The published base sizes, but for `sizes`."""
    return {"width": width, "stages": stages, **_BASE, **sizes}


PRESETS = {
    name: preset(name, "amaut", classes, _geometry(width, stages, sizes), head, front_end, length)
    for name, (classes, front_end, length, width, stages, head, sizes) in _AMAUT.items()
}

FAMILY = Family(build_encoder, Compute._fields, PRESETS, dead=dead_parameters)
