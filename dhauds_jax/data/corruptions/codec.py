"""CDC: a codec there and back, through libsndfile: MP3, Opus, Vorbis or mu-law, drawn with its rate and its quality.

Severity s lets a codec have the samples a second next below 24,000 / 3^s times U[0.7, 1.4) and below the clip's, of
`HERTZ`; and libsndfile's compression, of 0 to 1, grow with s times U[0.75, 1): MP3 (variable bit rate) to 0.9, Vorbis
to 1, Opus from 32 to 6 kbit a second, by factors. Mu-law has its rate alone. Codecs give a clip back without delay and
as long as it was; the energy is what they leave of it. A clip that would go beyond full scale in the codec, as
resampling alone can make it, is scaled to `PEAK` before and back behind: codecs are told nothing above it.

Samples depend on the version of libsndfile, which records name (`made_with`); draws do not.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.data.corruptions.base import Draw, Numbers, below
from dhauds_jax.data.corruptions.random_words import words
from dhauds_jax.data.corruptions.severity import between, on_axis, severity_of
from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.errors import BadInput

PEAK = 0.95
"""Largest sample that a codec is given: what lies between these goes beyond it, and decoders cut at 1."""
HERTZ = (8000, 12000, 16000, 24000, 48000)
"""Samples a second that every codec here takes."""


class Codec(NamedTuple):
    """A format of libsndfile, its subtype, and the most compression of it that is used; None: it has none."""

    format: str
    subtype: str
    most: float | None


CODECS = {
    "mp3": Codec("MP3", "MPEG_LAYER_III", 0.9),  # libsndfile 1.2.2 refuses 1
    "opus": Codec("OGG", "OPUS", 1.0),
    "vorbis": Codec("OGG", "VORBIS", 1.0),
    "mu_law": Codec("WAV", "ULAW", None),
}
"""By name, in the order of the choice `codec`."""
OPUS_KBPS = (32.0, 6.0)
"""At severities 0 and 1; libsndfile's compression goes from 256 to 6 kbit a second in equal steps."""


def choose(xp: ModuleType, bits: Numbers, severity: float, **_: Any) -> dict[str, Numbers]:
    """The codec, the most samples a second, the compression (of mu-law none)."""
    drawn = words(xp, bits, 3)
    codec = below(xp, drawn[..., 0], len(CODECS))
    spread = between(xp, drawn[..., 2], 0.75, 1.0) * xp.float32(severity)
    kbps = xp.float32(OPUS_KBPS[0]) * xp.float32(OPUS_KBPS[1] / OPUS_KBPS[0]) ** spread
    opus = 1 - (kbps - xp.float32(6)) / xp.float32(250)
    most = xp.asarray([codec_.most or 0.0 for codec_ in CODECS.values()], np.float32)[codec]
    return {
        "codec": codec,
        "most_hertz": between(xp, drawn[..., 1], 0.7, 1.4) * xp.float32(24000 / 3**severity),
        "compression": xp.where(codec == list(CODECS).index("opus"), opus, most * spread),
    }


def hertz(draw: Draw, sample_rate: int | None = None) -> int:
    """Samples a second in the codec, of a clip that has as many as `sample_rate`."""
    most = min(float(draw.choices["most_hertz"]), sample_rate or HERTZ[-1])
    return max([HERTZ[0], *(one for one in HERTZ if one <= most)])


def apply(wave: np.ndarray, draw: Draw, noise: None = None, *, sample_rate: int, **_: Any) -> np.ndarray:
    """Sends one clip, NumPy samples, through the codec."""
    wave = np.asarray(wave, np.float32)
    if draw.choices["severity"] == 0 or not wave.any():  # coders make a little noise of silence
        return wave
    codec, rate = list(CODECS.values())[int(draw.choices["codec"])], hertz(draw, sample_rate)
    compression = None if codec.most is None else float(draw.choices["compression"])
    sent = resample_wave(wave, sample_rate, rate)
    # libsndfile looks samples up in its table of mu-law unseen: one of 1.0001 would come back as -0.98
    scale = np.float32(max(np.abs(sent).max() / PEAK, 1.0))
    heard = through(sent / scale, rate, codec, compression) * scale
    back = resample_wave(heard, rate, sample_rate)[: len(wave)]
    return np.pad(back, (0, len(wave) - len(back)))


def through(wave: np.ndarray, rate: int, codec: Codec, compression: float | None) -> np.ndarray:
    """Encodes and decodes in memory.

    Args:
      wave: float32 (time,), at most `PEAK`.
      rate: samples a second, of `HERTZ`.
      codec: of `CODECS`.
      compression: libsndfile's, 0 to `codec.most`.

    Returns:
      float32 (time,).

    Raises:
      RuntimeError: what comes back is of another length or rate.
    """
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, wave, rate, codec.subtype, format=codec.format, compression_level=compression)
    file.seek(0)
    heard, found = soundfile.read(file, dtype="float32")
    if found != rate or len(heard) != len(wave):
        raise RuntimeError(f"CDC: {len(wave)} samples at {rate} Hz came back as {len(heard)} at {found} Hz")
    return heard


def describe(draw: Draw) -> dict[str, Any]:
    """The codec's name."""
    return {"codec": list(CODECS)[int(draw.choices["codec"])]}


def made_with() -> Mapping[str, str]:
    """The version of libsndfile."""
    import soundfile

    return {"libsndfile": soundfile.__libsndfile_version__}


def check(level: str) -> float:
    """The severity of a level; raises `BadInput` for another spelling, and where libsndfile lacks a codec."""
    import soundfile

    severity = severity_of(level)
    kinds = soundfile.available_formats()
    lacking = [
        n for n, c in CODECS.items() if c.format not in kinds or c.subtype not in soundfile.available_subtypes(c.format)
    ]
    if lacking:
        raise BadInput(
            f"CDC: libsndfile {soundfile.__libsndfile_version__} has no {', '.join(lacking)}, expected version 1.1 or "
            "later with all its codecs, as in the wheels of soundfile"
        )
    return severity


CODEC = on_axis(choose, apply, describe, host=True, made_with=made_with)._replace(check_level=check)
