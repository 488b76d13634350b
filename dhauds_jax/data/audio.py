"""Safe reading of audio files: every failure is a `ValueError` that names the file."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

MAX_CHANNELS = 32
"""A file with more channels is taken for a broken header."""
MAX_SECONDS = 4 * 3600
"""A longer recording (seconds) is taken for a broken header; the longest noise recordings last about two hours."""
MIN_RATE, MAX_RATE = 1_000, 384_000
"""Admitted sample rates in Hz."""
BLOCK_SECONDS = 30
"""Longer recordings are resampled in blocks of this many seconds, so memory stays flat."""

_OGG_PAGE = 65_536  # no page is longer (bytes)
_STREAMED = (0, 0xFFFFFFFF)  # sizes that a writer leaves when it could not seek back to the header


def read_audio(path: Path | str, sample_rate: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a wav, flac or ogg file as one channel at the rate asked for.

    Args:
      path: the file.
      sample_rate: wanted rate in Hz.

    Returns:
      `(wave, notices)`: float32 (time,), PCM scaled to [-1, 1]; what had to be done to it, as sentences without the
      file's name (so that equal ones can be counted): channels mixed down, rate changed.

    Raises:
      ValueError: the file is missing, empty, truncated, unreadable, not finite, or outside the limits above.
    """
    import soundfile

    path = Path(path)
    _check_size(path)
    try:
        with soundfile.SoundFile(str(path)) as file:
            _check_header(path, file.samplerate, file.channels, file.frames)
            rate, promised = file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError) as error:
        raise ValueError(f"{path}: cannot be read ({error}), expected a wav, flac or ogg file") from error
    if len(samples) < promised:
        raise ValueError(f"{path}: truncated, its header promises {promised} samples and {len(samples)} could be read")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(f"{path}: {bad} of {samples.size} samples are NaN or infinite, expected finite numbers")
    notices = []
    channels = samples.shape[1]
    wave = samples[:, 0]
    if channels > 1:
        wave = samples.mean(axis=1, dtype=np.float32)
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
    """Raises for a missing or empty file, and for a wav that is shorter than its header says."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path}: empty (0 bytes), expected a wav, flac or ogg file")
    with path.open("rb") as file:
        kind = file.read(4)
        if kind == b"OggS":
            file.seek(max(0, size - _OGG_PAGE))
            _check_last_page(path, file.read())
        if kind != b"RIFF":
            return
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                # libsndfile silently shortens such a file, and the missing end would pass for a short clip.
                if length not in _STREAMED and file.tell() + length > size:
                    found = size - file.tell()
                    raise ValueError(
                        f"{path}: truncated, its header promises {length} bytes of audio and {found} exist"
                    )
                return
            file.seek(length + length % 2, 1)
    raise ValueError(f"{path}: truncated, a RIFF header without audio ({size} bytes)")


def _check_last_page(path: Path, tail: bytes) -> None:
    """Raises unless an Ogg file ends with a whole page that closes the stream (its header's third flag)."""
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) <= 26 or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments):
        raise ValueError(f"{path}: truncated, its Ogg stream does not end with a closing page")


def _check_header(path: Path, rate: int, channels: int, frames: int) -> None:
    if frames <= 0:
        raise ValueError(f"{path}: holds no samples, expected at least one")
    if not 1 <= channels <= MAX_CHANNELS:
        raise ValueError(f"{path}: {channels} channels, expected 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"{path}: sample rate {rate} Hz, expected {MIN_RATE} to {MAX_RATE} Hz")
    if frames > MAX_SECONDS * rate:
        raise ValueError(f"{path}: {frames / rate:.0f} s long, expected at most {MAX_SECONDS} s")
