"""Named classifiers of the AMAuT family: sizes, front ends and class names (DHAuDS and AMAuT repositories)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dhauds_jax import class_names
from dhauds_jax.nets.config import ClassifierConfig

AUDIO_HEAD = {"kind": "audio_classifier", "hidden": 2048, "features": 256}
FCE_HEAD = {"kind": "fce"}


def log_mel(
    rate: int, n_fft: int, win: int, hop: int, mels: int, scale: str = "slaney", frames: int | None = None
) -> dict[str, Any]:
    """A log-mel front end of the AMAuT kind: power, 80 dB floor per clip, divided by 40 (lengths in samples)."""
    return {
        "kind": "log_mel",
        "sample_rate": rate,
        "n_fft": n_fft,
        "win_length": win,
        "hop": hop,
        "n_mels": mels,
        "f_min": 0.0,
        "f_max": rate / 2,
        "scale": scale,
        "norm": None,
        "power": 2.0,
        "pad_mode": "reflect",
        "amin": 1e-10,
        "top_db": 80.0,
        "divisor": 40.0,
        "frames": frames,
    }


def amaut(
    name: str,
    classes: tuple[str, ...],
    front_end: dict[str, Any],
    length: int,
    width: int,
    stages: tuple[int, ...],
    head: dict[str, Any],
    **sizes: Any,
) -> ClassifierConfig:
    """An AMAuT's record; `sizes` replace the published base sizes."""
    base = {"embed": 768, "depth": 12, "heads": 12, "mlp": 3072, "token_dropout": 0.15, "mlp_norm": "discarded"}
    geometry = {"width": width, "stages": stages, **base, **sizes}
    return ClassifierConfig(name, "amaut", geometry, head, front_end, front_end["sample_rate"], length, classes)


_SPEECH = log_mel(16000, 1024, 400, 155, 80)
_SMALL = {"embed": 192, "depth": 4, "heads": 4, "mlp": 384}
_SMALL_HEAD = {"kind": "audio_classifier", "hidden": 256, "features": 64}
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
    "amaut_tiny": (None, log_mel(16000, 512, 400, 250, 24), 4000, 8, (0, 0), _TINY_HEAD, _TINY),
}


def _preset(name: str) -> Callable[[tuple[str, ...] | None], ClassifierConfig]:
    names, front_end, length, width, stages, head, sizes = _AMAUT[name]

    def make(classes: tuple[str, ...] | None) -> ClassifierConfig:
        chosen = classes or names
        if chosen is None:
            raise ValueError(f"net {name!r} has no classes of its own, expected their names in order")
        return amaut(name, chosen, front_end, length, width, stages, head, **sizes)

    return make


PRESETS = {name: _preset(name) for name in _AMAUT}
"""Name -> a function from class names (None: the published ones) to the classifier's record."""
