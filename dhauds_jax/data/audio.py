"""Safe reading of audio files: every failure is a `BadFile`, a `BadInput` that names the file.

Only numpy is imported here; soundfile when a file is read, JAX when one is resampled.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import formats, headers
from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.data.notices import CANCELLING, LOUD, Notice
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.requests import ON_BAD_FILE

MAX_CHANNELS = 32
"""A file with more channels is taken for a broken header."""
MAX_SECONDS = 4 * 3600
"""A longer recording (seconds) is taken for a broken header; the longest noise recordings last about two hours."""
MIN_RATE, MAX_RATE = 1_000, 384_000
"""Admitted sample rates in Hz."""
BLOCK_SECONDS = 30
"""Longer recordings are resampled in blocks of this many seconds, so memory stays flat."""

FULL_SCALE = 1.5
"""Samples beyond it are said: decoders of lossy formats overshoot 1 a little, floats on another scale by far."""

_BLOCK = 1 << 22  # samples decoded at once over all channels: a header that lies cannot ask for more memory
_UNKNOWN = (1 << 63) - 1  # libsndfile's number of samples for a FLAC stream that does not say


class BadFile(BadInput):
    """A file that cannot be used.

    Attributes:
      path: the file.
      reason: what is wrong with it, as a sentence without its name.
      kind: "missing", "empty" or "unreadable".
      skippable: whether `on_bad_file="skip"` leaves it out where it came up; commands that have that flag say so.
    """

    skippable = False

    def __init__(self, path: Path | str, reason: str, kind: str = "unreadable"):
        super().__init__(path, reason, kind)
        self.path, self.reason, self.kind = Path(path), reason, kind

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


class Decoded(NamedTuple):
    """A file as it was stored.

    Attributes:
      wave: float32 (time,), channels mixed down.
      sample_rate: Hz.
      channels: how many the file has.
      peak: the largest absolute sample of all channels.
      cancels: whether the channels cancel when they are mixed down (see `mixdown.CANCELLED`).
    """

    wave: np.ndarray
    sample_rate: int
    channels: int
    peak: float = 0.0
    cancels: bool = False


def check_on_bad_file(on_bad_file: str) -> None:
    """Raises `BadInput` unless it is "stop" or "skip"."""
    if on_bad_file not in ON_BAD_FILE:
        raise BadInput(f"--on_bad_file={on_bad_file}: expected {' or '.join(ON_BAD_FILE)}")


def decode(path: Path | str) -> Decoded:
    """Reads a file in one of `formats.CONTENTS` at its own rate, the mean of its channels.

    PCM of b bits is divided by 2^(b-1) (8-bit wav: less 128 first), so it lies in [-1, 1); floats stay as they are.

    Args:
      path: the file.

    Raises:
      BadFile: the file is missing, empty, truncated, unreadable, not finite, or outside the limits above.
    """
    import soundfile

    path = Path(path)
    look = _looked(path)
    try:
        with _opened(path, look) as file:
            rate, channels, promised = file.samplerate, file.channels, file.frames
            kind = file.format
            _check_header(path, look, kind, rate, channels, promised)
            mixed = Mixdown(channels)
            for block in _blocks(file, promised, channels):
                mixed.add(block)
                if mixed.samples > MAX_SECONDS * rate:
                    raise BadFile(path, f"longer than {MAX_SECONDS} s, expected at most that")
    except BadFile:
        raise
    except OSError as error:
        raise BadFile(path, f"cannot be opened ({error.strerror or error})") from error
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
        raise BadFile(path, _why(path, look, error)) from error
    told = promised != _UNKNOWN and kind != "MP3"  # of an MP3 the number may be a guess
    if told and mixed.samples < promised:
        raise BadFile(path, f"truncated, its header promises {promised} samples and {mixed.samples} could be read")
    if not mixed.samples:
        raise BadFile(path, "holds no samples, expected at least one", "empty")
    if bad := mixed.samples * channels - mixed.finite:
        raise BadFile(path, f"{bad} of {mixed.samples * channels} samples are NaN or infinite, expected finite numbers")
    return Decoded(mixed.wave(), rate, channels, mixed.peak, mixed.cancels())


def measure(path: Path) -> tuple[int, int]:
    """A file's rate in Hz and number of samples; all of it is read only where the header does not say.

    Raises:
      BadFile: a header that cannot be read.
    """
    import soundfile

    with contextlib.suppress(soundfile.LibsndfileError, soundfile.SoundFileRuntimeError):
        info = soundfile.info(os.fsencode(path))
        if 0 < info.frames < _UNKNOWN and info.format in formats.CONTENTS:
            return info.samplerate, info.frames
    read = decode(path)
    return read.sample_rate, len(read.wave)


def read_audio(path: Path | str, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a file as one channel at the rate asked for.

    Args:
      path: the file.
      sample_rate: wanted rate in Hz.

    Returns:
      `(wave, notices)`: float32 (time,), PCM scaled to [-1, 1); what had to be done to it, as sentences without the
      file's name (so that equal ones can be counted, see `notices.Said`): channels mixed down, which cancel then, rate
      changed, samples far beyond full scale.

    Raises:
      BadFile: as `decode`.
    """
    wave, rate, channels, peak, cancels = decode(path)
    notices = []
    if channels > 1:
        notices.append(f"{channels} channels mixed down to one")
    if cancels:
        notices.append(Notice(CANCELLING))
    if peak > FULL_SCALE:
        notices.append(Notice(LOUD, peak))
    if rate != sample_rate:
        wave = resample_wave(wave, rate, sample_rate)
        notices.append(f"resampled from {rate} Hz to {sample_rate} Hz")
    return np.ascontiguousarray(wave, np.float32), tuple(notices)


def resample_wave(wave: np.ndarray, orig_rate: int, new_rate: int) -> np.ndarray:
    """Resamples one host waveform of any length with few compilations and flat memory.

    Windowed-sinc resampling looks at a short neighbourhood only and takes silence beyond both ends, so the wave is
    padded with zeros to whole seconds (one compiled program per number of seconds, not per length) and long ones go
    block by block with enough context on both sides.

    Args:
      wave: float32 (time,).
      orig_rate, new_rate: rates in Hz.

    Returns:
      float32 (ceil(new_rate * time / orig_rate),).
    """
    if orig_rate == new_rate:
        return wave
    out_length = -(-new_rate * len(wave) // orig_rate)
    if len(wave) <= BLOCK_SECONDS * orig_rate:
        padded = np.zeros(max(1, math.ceil(len(wave) / orig_rate)) * orig_rate, np.float32)
        padded[: len(wave)] = wave
        return np.array(_resample(padded, orig_rate, new_rate))[:out_length]
    # Context of a whole second: far more than the filter's reach, and it keeps both rates in step.
    out = np.zeros(-(-out_length // new_rate) * new_rate, np.float32)
    for second in range(0, len(out) // new_rate, BLOCK_SECONDS - 2):
        block = np.zeros(BLOCK_SECONDS * orig_rate, np.float32)
        left = (second - 1) * orig_rate
        part = wave[max(left, 0) : left + len(block)]
        offset = max(-left, 0)
        block[offset : offset + len(part)] = part
        piece = np.asarray(_resample(block, orig_rate, new_rate))[new_rate : (BLOCK_SECONDS - 1) * new_rate]
        target = out[second * new_rate : second * new_rate + len(piece)]
        target[:] = piece[: len(target)]
    return out[:out_length]


def _resample(wave: np.ndarray, orig_rate: int, new_rate: int):
    import jax.numpy as jnp

    from dhauds_jax.dsp.resample import resample

    return resample(jnp.asarray(wave), orig_rate, new_rate)


def _looked(path: Path) -> headers.Look:
    """What the header says; raises `BadFile` for a missing or empty file, and for one that is shorter than it says."""
    try:
        if not path.is_file():
            raise BadFile(
                path, "a link to a file that is not there" if path.is_symlink() else "no such file", "missing"
            )
        if path.stat().st_size == 0:
            raise BadFile(path, f"empty (0 bytes), {formats.EXPECTED}", "empty")
        look = headers.look(path)
    except OSError as error:
        raise BadFile(path, f"cannot be opened ({error.strerror or error})") from error
    if look.missing:
        raise BadFile(path, f"truncated, {look.missing}")
    return look


def _opened(path: Path, look: headers.Look):
    """The file for reading; one whose header libsndfile does not understand from memory, under another."""
    if look.header is None:
        return _one_way()(os.fsencode(path))
    return _one_way()(io.BytesIO(look.header + path.read_bytes()[look.begin :]))


@functools.cache
def _one_way() -> type:
    import soundfile

    class OneWay(soundfile.SoundFile):
        """Read from its beginning to its end: seeking fails at the end of a FLAC stream of no stated length."""

        def seekable(self) -> bool:
            return False

    return OneWay


def _blocks(file, promised: int, channels: int) -> Iterator[np.ndarray]:
    """float32 (time, channels) blocks of an opened file until its end."""
    read = 0
    while read < promised:
        wanted = min(_BLOCK // channels, promised - read)
        block = file.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            return
        read += len(block)
        yield block if len(block) == wanted else block.copy()  # what was set aside for the rest goes


def _why(path: Path, look: headers.Look, error: Exception) -> str:
    """Why libsndfile could not read a file."""
    if look.doubt:
        return f"truncated, {look.doubt}"
    with path.open("rb") as file:
        kind = formats.unread_kind(file.read(16))
    if kind:
        ending = path.suffix or ".wav"
        return f"is {kind}, which cannot be read, {formats.EXPECTED}; convert with ffmpeg -i NAME{ending} NEW.wav"
    said = getattr(error, "error_string", str(error)).rstrip(".")  # libsndfile's words without the path
    return f"cannot be read ({said}), {formats.EXPECTED}"


def _check_header(path: Path, look: headers.Look, kind: str, rate: int, channels: int, frames: int) -> None:
    if kind == "RAW":  # guessed by libsndfile from the ending alone
        raise BadFile(path, f"cannot be read (Format not recognised), {formats.EXPECTED}")
    if kind not in formats.CONTENTS:
        convert = f"convert with ffmpeg -i NAME{path.suffix} NEW.wav"
        raise BadFile(path, f"is in format {kind}, {formats.EXPECTED}; {convert}")
    if frames <= 0:
        reason = f"truncated, {look.doubt}" if look.doubt else "holds no samples, expected at least one"
        raise BadFile(path, reason, "unreadable" if look.doubt else "empty")
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadFile(path, f"{channels} channels, expected 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BadFile(path, f"sample rate {rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
    if frames > MAX_SECONDS * rate and frames != _UNKNOWN:
        raise BadFile(path, f"{frames / rate:.0f} s long, expected at most {MAX_SECONDS} s")
