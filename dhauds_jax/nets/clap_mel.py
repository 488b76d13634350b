"""CLAP's front end: a log-mel spectrogram in decibels without a floor, of samples that may have passed through int16.

The fused models have HTK mel bands without norm (torchaudio's), the others Slaney's scale and norm (torchlibrosa's);
LAION's code sends every clip through 16-bit integers first, which cuts towards zero, Hugging Face's does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.dsp.mel import MelSpec, log_mel, mel_filters
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import constants, take

KIND = "clap_mel"
"""`front_end.kind` of a config with this front end."""

REQUIRED = ("scale", "norm", "quantise")
"""What a record must say: in these the published models differ."""

FULL_SCALE = 32767
"""What a sample of 1 becomes as an integer."""

DEFAULTS: Mapping[str, Any] = {
    **MelSpec._field_defaults,
    "sample_rate": 48_000,
    "n_fft": 1024,
    "win_length": 1024,
    "hop": 480,
    "n_mels": 64,
    "f_min": 50.0,
    "f_max": 14_000.0,
    "top_db": None,
}
"""The constants of all published models, which a record may leave out."""


class ClapMel(NamedTuple):
    """Every constant of the front end.

    Attributes:
      mel: of the spectrogram.
      quantise: whether samples pass through 16-bit integers (see `quantise`).
    """

    mel: MelSpec
    quantise: bool


def record(*, fused: bool, quantise: bool, **changes: Any) -> dict[str, Any]:
    """The record of a published front end, as it stands in a config.

    Args:
      fused: HTK bands without norm, as the models for long clips have them; else Slaney's scale and norm.
      quantise: the step through int16, LAION's; Hugging Face's code leaves it out.
      **changes: other constants.
    """
    bands = {"scale": "htk", "norm": None} if fused else {"scale": "slaney", "norm": "slaney"}
    read = {"layout": "repeat_pad", "resampler": "soxr_hq"}
    return {"kind": KIND, **DEFAULTS, **bands, "quantise": quantise, **read, **changes}


def spec_of(front_end: Mapping[str, Any]) -> ClapMel | None:
    """The constants of a config's `front_end`; None where it is of another kind.

    Raises:
      BadInput: a constant is missing, foreign or impossible.
    """
    if front_end["kind"] != KIND:
        return None
    values = take({**DEFAULTS, **constants(front_end)}, (*MelSpec._fields, "quantise"), "config front_end")
    step = values.pop("quantise")
    if not isinstance(step, bool):
        raise BadInput(f"config front_end: quantise is {step!r}, expected true or false")
    return ClapMel(MelSpec(**values), step)


def filters(front_end: Mapping[str, Any]) -> Float[np.ndarray, "bins mels"]:
    """The table of mel filters of a config's `front_end`; empty where it is of another kind.

    Raises:
      BadInput: a constant is missing, foreign or impossible.
    """
    spec = spec_of(front_end)
    return np.zeros((0, 0)) if spec is None else mel_filters(spec.mel)


def quantise(wave: Float[Array, "*batch time"]) -> Float[Array, "*batch time"]:
    """Samples as 16-bit integers would hold them: clipped to [-1, 1], times 32767, cut towards zero, divided again.

    Args:
      wave: (..., time) samples.

    Source: LAION-AI/CLAP, training/data.py (`float32_to_int16`).
    """
    return jnp.trunc(jnp.clip(wave, -1.0, 1.0) * FULL_SCALE) / FULL_SCALE


def features(wave: Float[Array, "*batch time"], spec: ClapMel) -> Float[Array, "*batch frames mels"]:
    """The log-mel spectrogram of each clip, dB / divisor, as `dsp.mel.log_mel` of the (quantised) samples."""
    return log_mel(quantise(wave) if spec.quantise else wave, spec.mel)
