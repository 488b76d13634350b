"""Mel spectrograms in decibels; every constant stands in one `MelSpec`."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.stft import stft
from dhauds_jax.errors import BadInput


class MelSpec(NamedTuple):
    """Every constant of a log-mel front end; hashable, and JSON-able by `_asdict()`.

    Attributes:
      sample_rate: Hz.
      n_fft: transform length in samples.
      win_length: length of the periodic Hann window in samples, centred in `n_fft`.
      hop: distance of frames in samples.
      n_mels: number of mel bands.
      f_min: lowest band edge in Hz.
      f_max: highest band edge in Hz.
      scale: "slaney" (linear to 1 kHz, then logarithmic) or "htk" (2595 log10(1 + f / 700)).
      norm: None, or "slaney": every band divided by half its width in Hz.
      power: exponent of the magnitude, 2 for power.
      pad_mode: how the clip's ends are extended, as in `stft`.
      amin: the smallest power before the logarithm.
      top_db: floor in dB below the clip's maximum, or None.
      divisor: the dB are divided by it, `offset` added before.
      frames: number of frames wanted, or None. Longer ones are cut; shorter ones are right-padded with 0 *after* the dB
        (0 dB is louder than nearly every bin: a quirk of DHAuDS, lib/component.py, that trained weights depend on).
      offset: dB that are added before the division.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop: int
    n_mels: int
    f_min: float
    f_max: float
    scale: str
    norm: str | None = None
    power: float = 2.0
    pad_mode: str = "reflect"
    amin: float = 1e-10
    top_db: float | None = 80.0
    divisor: float = 1.0
    frames: int | None = None
    offset: float = 0.0


_SLANEY_STEP = 200.0 / 3.0
_SLANEY_EDGE = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def _to_mel(hz: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    above = _SLANEY_EDGE / _SLANEY_STEP + np.log(np.maximum(hz, 1e-9) / _SLANEY_EDGE) / _SLANEY_LOG_STEP
    return np.where(hz >= _SLANEY_EDGE, above, hz / _SLANEY_STEP)


def _to_hz(mel: np.ndarray, scale: str) -> np.ndarray:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    edge = _SLANEY_EDGE / _SLANEY_STEP
    return np.where(mel >= edge, _SLANEY_EDGE * np.exp(_SLANEY_LOG_STEP * (mel - edge)), mel * _SLANEY_STEP)


@functools.lru_cache
def mel_filters(spec: MelSpec) -> np.ndarray:
    """Triangular mel filters, (bins, mels), float64 on the host.

    Bands are equally spaced in mel between `f_min` and `f_max` Hz; bin frequencies run from 0 to `sample_rate // 2` Hz.

    Raises:
      BadInput: an unknown scale or norm, or band edges out of order.

    Sources: Slaney, Auditory Toolbox, 1998; HTK book; layout as torchaudio's `melscale_fbanks`.
    """
    if spec.scale not in ("slaney", "htk"):
        raise BadInput(f"MelSpec.scale is {spec.scale!r}, expected 'slaney' or 'htk'")
    if spec.norm not in (None, "slaney"):
        raise BadInput(f"MelSpec.norm is {spec.norm!r}, expected None or 'slaney'")
    if not 0 <= spec.f_min < spec.f_max <= spec.sample_rate / 2:
        raise BadInput(
            f"MelSpec has f_min {spec.f_min} and f_max {spec.f_max} Hz, expected 0 <= f_min < f_max <= "
            f"sample_rate / 2 = {spec.sample_rate / 2}"
        )
    bins = np.linspace(0, spec.sample_rate // 2, spec.n_fft // 2 + 1)
    low, high = _to_mel(np.array([spec.f_min, spec.f_max], np.float64), spec.scale)
    edges = _to_hz(np.linspace(low, high, spec.n_mels + 2), spec.scale)
    width = np.diff(edges)
    distance = edges - bins[:, None]
    filters = np.maximum(0.0, np.minimum(-distance[:, :-2] / width[:-1], distance[:, 2:] / width[1:]))
    if spec.norm == "slaney":
        filters = filters * (2.0 / (edges[2:] - edges[:-2]))
    filters.setflags(write=False)
    return filters


def mel_spectrogram(wave: Float[Array, "*batch time"], spec: MelSpec) -> Float[Array, "*batch frames mels"]:
    """Mel spectrogram `|STFT|^power @ filters`, as torchaudio's `MelSpectrogram`.

    Args:
      wave: (..., time) samples at `spec.sample_rate` Hz.
      spec: the constants.

    Returns:
      (..., 1 + time // hop, n_mels), not yet in decibels.

    Raises:
      BadInput: bad constants, or a clip too short to be reflected.
    """
    spectrum = stft(wave, n_fft=spec.n_fft, hop=spec.hop, win_length=spec.win_length, pad_mode=spec.pad_mode)
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    if spec.power != 2.0:
        # The power's derivative at 0 is infinite for exponents below 2: silent bins get none.
        loud = power > 0
        power = jnp.where(loud, jnp.where(loud, power, 1.0) ** (spec.power / 2), 0.0)
    filters = jnp.asarray(mel_filters(spec), power.dtype)
    return jnp.matmul(power, filters, precision=jax.lax.Precision.HIGHEST)


def decibels(
    power: Float[Array, "*batch frames mels"], *, amin: float, top_db: float | None
) -> Float[Array, "*batch frames mels"]:
    """Power in decibels, `10 log10(max(power, amin))`, floored `top_db` below each clip's own maximum.

    Args:
      power: (..., frames, mels); the last two axes are one clip.
      amin: the smallest power before the logarithm.
      top_db: floor in dB below the maximum of the clip, or None.
    """
    db = 10.0 * jnp.log10(jnp.maximum(power, amin))
    if top_db is None:
        return db
    return jnp.maximum(db, db.max((-2, -1), keepdims=True) - top_db)


def _normalised(db: Array, spec: MelSpec) -> Array:
    return (db + spec.offset if spec.offset else db) / spec.divisor


def log_mel(wave: Float[Array, "*batch time"], spec: MelSpec) -> Float[Array, "*batch frames mels"]:
    """Log-mel features: mel spectrogram, (dB + `offset`) / `divisor` of `spec`, cut or padded to `spec.frames`.

    Args:
      wave: (..., time) samples at `spec.sample_rate` Hz.
      spec: the constants.

    Returns:
      (..., frames, mels) (dB + offset) / divisor; padded frames hold 0.

    Raises:
      BadInput: bad constants, or a clip too short to be reflected.
    """
    features = _normalised(decibels(mel_spectrogram(wave, spec), amin=spec.amin, top_db=spec.top_db), spec)
    if spec.frames is None:
        return features
    features = features[..., : spec.frames, :]
    missing = spec.frames - features.shape[-2]
    return jnp.pad(features, [(0, 0)] * (features.ndim - 2) + [(0, missing), (0, 0)])


def ragged_log_mel(
    wave: Float[Array, "batch time"], lengths: Int[Array, " batch"], spec: MelSpec
) -> Float[Array, "batch frames mels"]:
    """Log-mel features of clips that were not padded: of each row's own samples, then frames of 0, in one program.

    Row by row `log_mel(wave[row, :lengths[row]], spec)`, extended with zeros to `spec.frames` (None: to the frames of a
    whole row), so that clips of any lengths share a compilation: a clip's reflection is written behind it.

    Args:
      wave: (batch, time) samples at `spec.sample_rate` Hz, each row its clip and then anything.
      lengths: (batch,) samples of each clip, more than `spec.n_fft // 2`, at most time.
      spec: the constants.

    Returns:
      (batch, frames, mels) (dB + offset) / divisor; frames behind a clip's end hold 0.

    Raises:
      BadInput: ends that are not reflected.
    """
    if spec.pad_mode != "reflect":
        raise BadInput(f"ragged_log_mel: pad_mode is {spec.pad_mode!r}, expected 'reflect'")
    time, lengths = wave.shape[-1], lengths[:, None]
    place = jnp.arange(time + spec.n_fft // 2)[None]
    source = jnp.where(place < lengths, place, 2 * (lengths - 1) - place)
    extended = jnp.take_along_axis(wave, jnp.clip(source, 0, time - 1), 1)
    power = mel_spectrogram(jnp.where(place < lengths + spec.n_fft // 2, extended, 0.0), spec)
    inside = (jnp.arange(power.shape[1])[None] <= lengths // spec.hop)[..., None]
    # Frames outside count as silence, which is never above a clip's maximum.
    db = decibels(jnp.where(inside, power, 0.0), amin=spec.amin, top_db=spec.top_db)
    features = jnp.where(inside, _normalised(db, spec), 0.0)
    wanted = spec.frames or 1 + time // spec.hop
    return jnp.pad(features[:, :wanted], [(0, 0), (0, max(0, wanted - features.shape[1])), (0, 0)])
