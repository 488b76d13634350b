"""From a waveform to what an encoder takes, by the `kind` of a config's `front_end`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp import kaldi, mel, vggish
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import clap_mel, mel_image
from dhauds_jax.nets.audio_text_config import AudioTextConfig
from dhauds_jax.nets.config import ClassifierConfig, constants, find_kind, take


class FrontEnd(NamedTuple):
    """One kind of front end.

    Attributes:
      required: the constants that a config's `front_end` must have; `build` may take more.
      build: (`config.constants` of the record, the config's rate in Hz) -> a function from waveforms (batch, time) to
        what the encoder takes, (batch, ...).
    """

    required: tuple[str, ...]
    build: Callable[[Mapping[str, Any], int], Callable[[Array], Array]]


def front_end(config: ClassifierConfig | AudioTextConfig) -> Callable[[Array], Array]:
    """The function from waveforms (batch, time) to what the encoder takes.

    Raises:
      BadInput: a constant of the front end is missing or foreign, or its rate is not the config's.
    """
    kind = find_kind("front_end", config.front_end)
    return kind.build(constants(config.front_end), config.sample_rate)


WAVE_EPSILON = 1e-5
"""What is added to the variance of a clip where the config names nothing else."""


def normalise_wave(wave: Float[Array, "batch time"], epsilon: float = WAVE_EPSILON) -> Float[Array, "batch time"]:
    """Every clip with mean 0 and variance 1 (biased, + `epsilon`), as HuBERT large and x-large want it."""
    centred = wave - wave.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)


def log_mel(
    rate: int, n_fft: int, win: int, hop: int, mels: int, scale: str = "slaney", frames: int | None = None
) -> dict[str, Any]:
    """The record of a log-mel front end of the AMAuT kind: power, 80 dB floor per clip, divided by 40.

    `rate` is in Hz; `n_fft`, `win` and `hop` are in samples.
    """
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


FEW_SHOT_SETS = {
    "ls100": (16000, 32000, 400, 160),
    "nsynth100": (16000, 64000, 2048, 1024),
    "fsc89": (44100, 44100, 2048, 1024),
}
"""LS-100, NSynth-100 and FSC-89: rate (Hz), samples of a clip, of a window and between frames (201, 63, 44 frames)."""


def few_shot_log_mel(name: str) -> dict[str, Any]:
    """The record of the front end that EDE and MAR have for one of `FEW_SHOT_SETS`: (dB + 4.26) / 9.14, no floor.

    The constants are AST's for AudioSet's filter banks, which are natural logarithms; decibels are 4.3 times as large.
    Source: YongjieSi/EDE, utils/inc_net.py:196-265 (torchlibrosa's filters: Slaney's scale and norm).
    """
    rate, _, window, hop = FEW_SHOT_SETS[name]
    record = log_mel(rate, window, window, hop, 128)
    return {**record, "norm": "slaney", "top_db": None, "divisor": 2 * 4.57, "offset": 4.26}


def _without_default(spec: type) -> tuple[str, ...]:
    return tuple(name for name in spec._fields if name not in spec._field_defaults)


def _check_rate(spec: mel.MelSpec | kaldi.FbankSpec, rate: int) -> None:
    if spec.sample_rate != rate:
        raise BadInput(f"config: front_end.sample_rate is {spec.sample_rate} Hz, sample_rate {rate} Hz")


def _spectrogram(spec: type, compute: Callable[[Array, Any], Array]) -> FrontEnd:
    """The front end whose constants are the fields of `spec`."""

    def build(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
        made = spec(**take({**spec._field_defaults, **constants}, spec._fields, "config front_end"))
        _check_rate(made, rate)
        return lambda wave: compute(wave, made)

    return FrontEnd(_without_default(spec), build)


def _build_mel_image(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
    spec = mel_image.spec_of({"kind": mel_image.KIND, **constants})
    _check_rate(spec.mel, rate)
    return lambda wave: mel_image.images(wave, spec)


def _build_clap_mel(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
    spec = clap_mel.spec_of({"kind": clap_mel.KIND, **constants})
    _check_rate(spec.mel, rate)
    return lambda wave: clap_mel.features(wave, spec)


def _build_wave(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
    values = take({"epsilon": WAVE_EPSILON, **constants}, ("normalise", "epsilon"), "config front_end")
    return functools.partial(normalise_wave, epsilon=values["epsilon"]) if values["normalise"] else lambda wave: wave


def _build_vggish(constants: Mapping[str, Any], rate: int) -> Callable[[Array], Array]:
    take(constants, (), "config front_end")
    if rate != vggish.SAMPLE_RATE:
        raise BadInput(f"config: front end 'vggish' at sample_rate {rate} Hz, expected {vggish.SAMPLE_RATE} Hz")
    return vggish.examples


CLAP_MEL = FrontEnd(clap_mel.REQUIRED, _build_clap_mel)
LOG_MEL = _spectrogram(mel.MelSpec, mel.log_mel)
KALDI_FBANK = _spectrogram(kaldi.FbankSpec, kaldi.fbank)
MEL_IMAGE = FrontEnd((*_without_default(mel.MelSpec), *mel_image.ImageSpec._fields[1:]), _build_mel_image)
VGGISH = FrontEnd((), _build_vggish)
WAVE = FrontEnd(("normalise",), _build_wave)
