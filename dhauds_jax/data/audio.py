"""Safe reading of audio files: every failure is a `BadFile`, a `BadInput` that names the file.

Only numpy is imported here; soundfile when a file is read, JAX when one is resampled.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.requests import ON_BAD_FILE

MAX_CHANNELS = 32
"""A file with more channels is taken for a broken header."""
MAX_SECONDS = 4 * 3600
"""A longer recording (seconds) is taken for a broken header; the longest noise recordings last about two hours."""
MIN_RATE, MAX_RATE = 1_000, 384_000
"""Admitted sample rates in Hz."""
BLOCK_SECONDS = 30
"""Longer recordings are resampled in blocks of this many seconds, so memory stays flat."""

_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")  # libsndfile's names; of others a missing end would go unnoticed
_BLOCK = 1 << 22  # samples decoded at once over all channels: a header that lies cannot ask for more memory
_OGG_PAGE = 65_536  # no page is longer (bytes)
_STREAMED = (0, 0xFFFFFFFF)  # sizes that a writer leaves when it could not seek back to the header
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
        return f"{self.path}: {self.reason}"


class Decoded(NamedTuple):
    """A file as it was stored: float32 (time,) wave, channels mixed down; its rate in Hz, its number of channels."""

    wave: np.ndarray
    sample_rate: int
    channels: int


def check_on_bad_file(on_bad_file: str) -> None:
    """Raises `BadInput` unless it is "stop" or "skip"."""
    if on_bad_file not in ON_BAD_FILE:
        raise BadInput(f"--on_bad_file={on_bad_file}: expected {' or '.join(ON_BAD_FILE)}")


def decode(path: Path | str) -> Decoded:
    """Reads a wav, flac or ogg file at its own rate, the mean of its channels.

    PCM of b bits is divided by 2^(b-1) (8-bit wav: less 128 first), so it lies in [-1, 1); floats stay as they are.

    Args:
      path: the file.

    Raises:
      BadFile: the file is missing, empty, truncated, unreadable, not finite, or outside the limits above.
    """
    import soundfile

    path = Path(path)
    blocks, finite = [], 0
    try:
        _check_size(path)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            rate, channels, promised = file.samplerate, file.channels, file.frames
            _check_header(path, file.format, rate, channels, promised)
            while sum(map(len, blocks)) < promised:
                block = file.read(_BLOCK // channels, dtype="float32", always_2d=True)
                if not len(block):
                    break
                finite += int(np.isfinite(block).sum())
                blocks.append(block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32))
    except BadFile:
        raise
    except OSError as error:
        raise BadFile(path, f"cannot be opened ({error.strerror or error})") from error
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")  # libsndfile's words without the path
        raise BadFile(path, f"cannot be read ({reason}), expected a wav, flac or ogg file") from error
    wave = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    if len(wave) < promised:
        raise BadFile(path, f"truncated, its header promises {promised} samples and {len(wave)} could be read")
    if bad := len(wave) * channels - finite:
        raise BadFile(path, f"{bad} of {len(wave) * channels} samples are NaN or infinite, expected finite numbers")
    return Decoded(wave, rate, channels)


def read_audio(path: Path | str, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a wav, flac or ogg file as one channel at the rate asked for.

    Args:
      path: the file.
      sample_rate: wanted rate in Hz.

    Returns:
      `(wave, notices)`: float32 (time,), PCM scaled to [-1, 1); what had to be done to it, as sentences without the
      file's name (so that equal ones can be counted): channels mixed down, rate changed.

    Raises:
      BadFile: as `decode`.
    """
    wave, rate, channels = decode(path)
    notices = []
    if channels > 1:
        notices.append(f"{channels} channels mixed down to one")
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


def _check_size(path: Path) -> None:
    """Raises for a missing or empty file, and for a wav or ogg that is shorter than its header says."""
    if not path.is_file():
        raise BadFile(path, "no such file", "missing")
    size = path.stat().st_size
    if size == 0:
        raise BadFile(path, "empty (0 bytes), expected a wav, flac or ogg file", "empty")
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            file.seek(max(0, size - _OGG_PAGE))
            _check_last_page(path, file.read())
        elif kind in (b"RIFF", b"RF64"):
            _check_data_chunk(path, file, size)


def _check_data_chunk(path: Path, file: BinaryIO, size: int) -> None:
    """Raises unless a wav holds as many bytes of audio as it says; `size` is the file's.

    libsndfile silently shortens such a file, and the missing end would pass for a short clip.
    """
    long_length = 0  # an RF64 file tells its length beyond 4 GiB apart
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        if name == b"data":
            promised = long_length if long_length and length == 0xFFFFFFFF else length
            found = size - file.tell()
            if promised not in _STREAMED and promised > found:
                raise BadFile(path, f"truncated, its header promises {promised} bytes of audio and {found} exist")
            return
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            long_length = struct.unpack("<QQ", sizes)[1]
            file.seek(-16, os.SEEK_CUR)
        file.seek(length + length % 2, os.SEEK_CUR)
    raise BadFile(path, f"truncated, a RIFF header without audio ({size} bytes)")


def _check_last_page(path: Path, tail: bytes) -> None:
    """Raises unless an Ogg file ends with a whole page that closes the stream (its header's third flag)."""
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) <= 26 or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments):
        raise BadFile(path, "truncated, its Ogg stream does not end with a closing page")


def _check_header(path: Path, kind: str, rate: int, channels: int, frames: int) -> None:
    if kind not in _FORMATS:
        raise BadFile(path, f"is in format {kind}, expected a wav, flac or ogg file")
    if frames <= 0:
        raise BadFile(path, "holds no samples, expected at least one", "empty")
    if not 1 <= channels <= MAX_CHANNELS:
        raise BadFile(path, f"{channels} channels, expected 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise BadFile(path, f"sample rate {rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
    if frames == _UNKNOWN:
        raise BadFile(path, "its header does not say how long it is, expected a finished file")
    if frames > MAX_SECONDS * rate:
        raise BadFile(path, f"{frames / rate:.0f} s long, expected at most {MAX_SECONDS} s")
