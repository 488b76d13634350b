"""A strict reader of wav files in memory: it can neither hang nor take more memory than the body's length allows.

libsndfile hangs at some headers of 157 bytes (libsndfile#1118), so what comes from a network and is plain PCM or float
never reaches it. Of a file only `fmt ` and `data` count. What is read has the samples of `data.audio.decode`, to the
bit, and sizes that pipes leave behind are taken as there.
"""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import headers
from dhauds_jax.data.audio import Decoded
from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.data.opening import MAX_CHANNELS, MAX_RATE, MIN_RATE
from dhauds_jax.serve.failures import Failure

KINDS = "8, 16, 24 or 32 bit PCM, or 32 or 64 bit float"
"""What the samples of a wav may be."""

MOST_CHUNKS = 1_000
"""A file with more chunks before its audio is taken for a broken header."""

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID = bytes.fromhex("000000001000800000aa00389b71")  # what follows the format's number in an extensible header
_BLOCK = 1 << 18  # frames that are converted at once


class Format(NamedTuple):
    """What the chunk `fmt ` says.

    Attributes:
      float: whether samples are floats.
      channels: how many there are.
      sample_rate: Hz.
      width: bytes of a sample.
    """

    float: bool
    channels: int
    sample_rate: int
    width: int


def is_wav(body: bytes) -> bool:
    """Whether a body begins as a wav does."""
    return body[:4] == b"RIFF" and body[8:12] == b"WAVE"


def read(body: bytes, longest: float) -> Decoded:
    """Reads a wav.

    Args:
      body: all of it.
      longest: seconds that it may last at the most.

    Raises:
      Failure: it is cut short, its header lies, it holds nothing, what is not finite, too much, or another kind.
    """
    form, begin, end = _found(body)
    check(form.channels, form.sample_rate)
    frame = form.width * form.channels
    frames = (end - begin) // frame
    if not frames:
        raise Failure("empty", "the wav holds no samples", "at least one")
    check_length(frames / form.sample_rate, longest)
    mixed, found = Mixdown(form.channels), []
    for first in range(0, frames, _BLOCK):
        count = min(_BLOCK, frames - first)
        raw = memoryview(body)[begin + first * frame : begin + (first + count) * frame]
        found.append(mixed.add(_samples(raw, form).reshape(count, form.channels)))
    if bad := frames * form.channels - mixed.finite:
        raise Failure("not_finite", f"{bad} of {frames * form.channels} samples are NaN or infinite", "finite numbers")
    return Decoded(np.concatenate(found), form.sample_rate, form.channels, mixed.peak, mixed.cancels())


def samples(body: bytes, longest: float) -> int:
    """Samples that `read` gives, or those of `longest` seconds, whichever are fewer; raises as `read` at the header."""
    form, begin, end = _found(body)
    check(form.channels, form.sample_rate)
    return min((end - begin) // (form.width * form.channels), int(longest * form.sample_rate))


def check(channels: int, sample_rate: int) -> None:
    """Raises `Failure` for a number of channels or a rate that is not taken."""
    if channels > MAX_CHANNELS:
        raise Failure("channels", f"{channels} channels", f"1 to {MAX_CHANNELS}")
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise Failure("rate", f"sample rate {sample_rate} Hz", f"{MIN_RATE} to {MAX_RATE} Hz")


def check_length(seconds: float, longest: float) -> None:
    """Raises `Failure` for a recording that is too long."""
    if seconds > longest:
        raise Failure("too_long", f"{seconds:.1f} s long", f"at most {longest:g} s; cut it into pieces")


def _found(body: bytes) -> tuple[Format, int, int]:
    """What the header says, and between which bytes the audio lies."""
    file, form = io.BytesIO(body), None
    for number, (name, size, begin) in enumerate(headers.riff_chunks(file)):
        if number >= MOST_CHUNKS:
            raise Failure("bad_header", f"more than {MOST_CHUNKS} chunks before the audio", "a wav with a header")
        if name == b"fmt " and begin + min(size, 16) > len(body):
            break
        if name == b"fmt ":
            form = _format(body[begin : begin + min(size, 64)], size)
        elif name == b"data":
            if form is None:
                raise Failure("bad_header", "the wav's audio comes before its format", "a chunk `fmt ` first")
            return form, begin, _end(file, size, begin, len(body))
    raise Failure("truncated", f"a wav header without audio ({len(body)} bytes)", "the whole file")


def _end(file: io.BytesIO, size: int, begin: int, length: int) -> int:
    """Where audio ends that begins at a byte of a body, and is `size` bytes long as its header has it."""
    if size == 0 and not headers.piped(file, begin, length):
        return begin
    if headers.streamed(size):
        return min(begin + size, length) if size else length
    if begin + size > length:
        held = f"its header promises {size} bytes of audio and {length - begin} came"
        raise Failure("truncated", f"the wav is cut short: {held}", "the whole file")
    return begin + size


def _format(chunk: bytes, size: int) -> Format:
    if size < 16 or len(chunk) < 16:
        raise Failure("bad_header", f"the wav's chunk `fmt ` has {min(size, len(chunk))} bytes", "at least 16")
    kind, channels, rate, _, frame, bits = struct.unpack("<HHIIHH", chunk[:16])
    if kind == _EXTENSIBLE and len(chunk) >= 40 and chunk[26:40] == _GUID:
        kind = struct.unpack("<H", chunk[24:26])[0]
    width = bits // 8
    if (kind, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise Failure("format", f"a wav of kind {kind} with samples of {bits} bit", f"{KINDS}, a flac or an ogg file")
    if channels == 0 or frame != width * channels:
        said = f"{channels} channels of {bits} bit in frames of {frame} bytes"
        raise Failure("bad_header", f"the wav's header contradicts itself: {said}", "frames of all channels")
    return Format(kind == _FLOAT, channels, rate, width)


def _samples(raw: memoryview, form: Format) -> np.ndarray:
    """float32 (samples,): PCM of b bits divided by 2^(b-1)."""
    if form.float:
        with np.errstate(over="ignore"):  # a double beyond float32 is infinite, and said
            return np.frombuffer(raw, f"<f{form.width}").astype(np.float32)
    if form.width == 1:
        return (np.frombuffer(raw, np.uint8).astype(np.float32) - 128) / np.float32(128)
    if form.width == 3:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4")[:, 0].astype(np.float32) * np.float32(2.0**-31)
    bits = 8 * form.width
    return np.frombuffer(raw, f"<i{form.width}").astype(np.float32) * np.float32(2.0 ** (1 - bits))
