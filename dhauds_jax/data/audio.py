"""Safe reading of audio files: every failure is a `BadFile`, a `BadInput` that names the file.

Only numpy is imported here; soundfile when a file is read, JAX when one is resampled.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import formats
from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.data.notices import CANCELLING, LOUD, Notice
from dhauds_jax.data.opening import UNKNOWN, BadFile, blocks_of, check_header, looked, opened, why
from dhauds_jax.data.resampling import resample_blocks, resample_wave
from dhauds_jax.errors import BadInput
from dhauds_jax.requests import ON_BAD_FILE

MAX_SECONDS = 4 * 3600
"""A longer recording (seconds) is not read as a whole; the longest noise recordings last about two hours."""
LONGEST_SECONDS = 48 * 3600
"""A longer recording (seconds) is taken for a broken header, also where it is read block by block."""
_ENTERED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC")
"""Formats in which a sample is found without decoding those before it, to the bit."""
FULL_SCALE = 1.5
"""Samples beyond it are said: decoders of lossy formats overshoot 1 a little, floats on another scale by far."""


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


class Reading:
    """A file in one of `formats.CONTENTS`, read once, block by block, at its own rate, the mean of its channels.

    PCM of b bits is divided by 2^(b-1) (8-bit wav: less 128 first), so it lies in [-1, 1); floats stay as they are.

    Attributes:
      path: the file.
      sample_rate: Hz.
      channels: how many the file has.
      seconds: its length as its header has it; None where that does not say.

    Args:
      path: the file.
      longest: seconds that it may last at the most; `MAX_SECONDS` when not given.

    Raises:
      BadFile: (when made) the file is missing, empty, unreadable, truncated, or outside the limits above.
    """

    def __init__(self, path: Path | str, longest: float | None = None):
        self.path, self._longest = Path(path), MAX_SECONDS if longest is None else longest
        self._look = looked(self.path)
        with self._said():
            self._file = opened(self.path, self._look)
        with contextlib.ExitStack() as unless:
            unless.enter_context(self._file)
            self.sample_rate, self.channels, self._promised = (
                getattr(self._file, name) for name in ("samplerate", "channels", "frames")
            )
            self._kind = self._file.format
            facts = self._kind, self.sample_rate, self.channels, self._promised, self._longest
            check_header(self.path, self._look, *facts)
            unless.pop_all()
        self.seconds = None if self._promised == UNKNOWN else self._promised / self.sample_rate
        self._mixed = Mixdown(self.channels)

    def blocks(self) -> Iterator[np.ndarray]:
        """float32 (time,) blocks until the end; then `peak` and `cancels` are known, and the file is closed.

        Raises:
          BadFile: what can only be told now: an end too early, samples that are not finite, too many of them.
        """
        mixed = self._mixed
        with self._said(), self._file as file:
            for block in blocks_of(file, self._promised, self.channels):
                yield mixed.add(block)
                if mixed.samples > self._longest * self.sample_rate:
                    raise BadFile(self.path, f"longer than {self._longest:g} s, expected at most that")
        told = self._promised != UNKNOWN and self._kind != "MP3"  # of an MP3 the number may be a guess
        if told and mixed.samples < self._promised:
            held = f"its header promises {self._promised} samples and {mixed.samples} could be read"
            raise BadFile(self.path, f"truncated, {held}")
        if not mixed.samples:
            raise BadFile(self.path, "holds no samples, expected at least one", "empty")
        if bad := mixed.samples * self.channels - mixed.finite:
            every = mixed.samples * self.channels
            raise BadFile(self.path, f"{bad} of {every} samples are NaN or infinite, expected finite numbers")

    def part(self, first: int, beyond: int) -> np.ndarray:
        """float32 (time,): the samples from `first` on up to `beyond`, or to the end; the file is closed then.

        What lies behind them is not read, nor what lies before them where the format can be entered anywhere.

        Raises:
          BadFile: no sample lies there, or some that are not finite; the part cannot be read.
        """
        mixed, found = self._mixed, []
        with self._said(), self._file as file:
            at = first if self._kind in _ENTERED and first < self._promised < UNKNOWN else 0
            if at:
                file.seek(at)
            for block in blocks_of(file, min(self._promised, beyond) - at, self.channels):
                found.append(mixed.add(block)[max(first - at, 0) :])
                at += len(block)
        wave = np.concatenate(found) if found else np.zeros(0, np.float32)
        if not len(wave):
            raise BadFile(self.path, f"holds {at} samples and none from sample {first} on, expected some", "empty")
        if bad := int((~np.isfinite(wave)).sum()):
            raise BadFile(self.path, f"{bad} of {len(wave)} samples are NaN or infinite, expected finite numbers")
        return wave

    @property
    def peak(self) -> float:
        """The largest absolute sample of all channels so far."""
        return self._mixed.peak

    @property
    def cancels(self) -> bool:
        """Whether the channels cancel when they are mixed down (see `mixdown.CANCELLED`)."""
        return self._mixed.cancels()

    def notices(self, sample_rate: int) -> tuple[str, ...]:
        """What had to be done to the file, or is wrong with it, for this rate: sentences (see `read_audio`)."""
        return done_to(self.sample_rate, self.channels, self.peak, self.cancels, sample_rate)

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """What soundfile and the system raise, as `BadFile`."""
        import soundfile

        try:
            yield
        except BadFile:
            raise
        except OSError as error:
            raise BadFile(self.path, f"cannot be opened ({error.strerror or error})") from error
        except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError, ValueError) as error:
            raise BadFile(self.path, why(self.path, self._look, error)) from error


def done_to(sample_rate: int, channels: int, peak: float, cancels: bool, wanted: int) -> tuple[str, ...]:
    """What has to be done to a recording, or is wrong with it, for a network at `wanted` Hz: sentences."""
    found = []
    if channels > 1:
        found.append(f"{channels} channels mixed down to one")
    if cancels:
        found.append(Notice(CANCELLING))
    if peak > FULL_SCALE:
        found.append(Notice(LOUD, peak))
    if sample_rate != wanted:
        found.append(f"resampled from {sample_rate} Hz to {wanted} Hz")
    return tuple(found)


def decode(path: Path | str) -> Decoded:
    """Reads a file as a whole (see `Reading`).

    Args:
      path: the file.

    Raises:
      BadFile: the file is missing, empty, truncated, unreadable, not finite, or outside the limits above.
    """
    reading = Reading(path)
    wave = np.concatenate(list(reading.blocks()))
    return Decoded(wave, reading.sample_rate, reading.channels, reading.peak, reading.cancels)


def measure(path: Path) -> tuple[int, int]:
    """A file's rate in Hz and number of samples; all of it is read only where the header does not say.

    Raises:
      BadFile: a header that cannot be read.
    """
    if told := told_length(path):
        return told
    read = decode(path)
    return read.sample_rate, len(read.wave)


def told_length(path: Path) -> tuple[int, int] | None:
    """A file's rate in Hz and number of samples as its header has them, which is all that is read; None without."""
    import soundfile

    with contextlib.suppress(soundfile.LibsndfileError, soundfile.SoundFileRuntimeError):
        info = soundfile.info(os.fsencode(path))
        if 0 < info.frames < UNKNOWN and info.format in formats.CONTENTS:
            return info.samplerate, info.frames
    return None


def read_audio(path: Path | str, sample_rate: int, resampler: str = "sinc") -> tuple[np.ndarray, tuple[str, ...]]:
    """Reads a file as one channel at the rate asked for.

    Args:
      path: the file.
      sample_rate: wanted rate in Hz.
      resampler: how it gets there, see `data.resampling`.

    Returns:
      `(wave, notices)`: float32 (time,), PCM scaled to [-1, 1); what had to be done to it, as sentences without the
      file's name (so that equal ones can be counted, see `notices.Said`): channels mixed down, which cancel then, rate
      changed, samples far beyond full scale.

    Raises:
      BadFile: as `decode`.
    """
    reading = Reading(path)
    wave = resample_wave(np.concatenate(list(reading.blocks())), reading.sample_rate, sample_rate, resampler)
    return np.ascontiguousarray(wave, np.float32), reading.notices(sample_rate)


def read_blocks(path: Path | str, sample_rate: int, resampler: str = "sinc") -> tuple[Iterator[np.ndarray], Reading]:
    """A file of any length as one channel at the rate asked for, block by block: the samples of `read_audio`.

    Arguments as there.

    Returns:
      `(blocks, reading)`: float32 (time,) blocks; what is known of the file, its `notices` after the last block.

    Raises:
      BadFile: as `Reading`, some only while the blocks are read.
    """
    reading = Reading(path, LONGEST_SECONDS)
    return resample_blocks(reading.blocks(), reading.sample_rate, sample_rate, resampler), reading


def read_part(
    path: Path | str, start: float, seconds: float, sample_rate: int, resampler: str = "sinc"
) -> tuple[np.ndarray, Reading]:
    """A piece of a file of any length as one channel at the rate asked for; the piece alone is resampled.

    Args:
      path: the file.
      start: where the piece begins (seconds).
      seconds: its length.
      sample_rate: wanted rate in Hz.
      resampler: how it gets there, see `data.resampling`.

    Returns:
      `(wave, reading)`: float32 (time,); what is known of the file, its `notices` among it.

    Raises:
      BadFile: as `Reading`; or the file ends within the piece.
    """
    reading = Reading(path, LONGEST_SECONDS)
    rate = reading.sample_rate
    first, beyond = round(start * rate), round((start + seconds) * rate)
    wave = reading.part(first, beyond)
    if len(wave) < beyond - first:
        held = f"ends at {(first + len(wave)) / rate:.3f} s, expected {start + seconds:.3f} s of it"
        raise BadFile(reading.path, f"truncated, {held}")
    return np.ascontiguousarray(resample_wave(wave, rate, sample_rate, resampler), np.float32), reading
