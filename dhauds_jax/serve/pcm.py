"""Sound from a pipe: raw samples, read as they come."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data.mixdown import Mixdown
from dhauds_jax.errors import BadInput, check_number

FORMATS = {"s16le": ("<i2", 2.0**-15), "f32le": ("<f4", 1.0)}
"""Formats of samples by the names that ffmpeg and ALSA have: type, and what full scale is multiplied by."""

STDIN = "-"
"""The input that is the standard one."""

READ = 1 << 16
"""Bytes that are read at once at the most: as many as a pipe holds."""


class Raw(NamedTuple):
    """How raw samples lie in a stream.

    Attributes:
      rate: Hz.
      format: of `FORMATS`.
      channels: of a frame, one sample each in turn.
    """

    rate: int
    format: str = "s16le"
    channels: int = 1

    @property
    def frame(self) -> int:
        """Bytes of a frame."""
        return np.dtype(FORMATS[self.format][0]).itemsize * self.channels


def check(raw: Raw) -> None:
    """Raises `BadInput` for what no sound has."""
    check_number("--rate", raw.rate, 100, 1_000_000)
    check_number("--channels", raw.channels, 1, 256)
    if raw.format not in FORMATS:
        raise BadInput(f"--format={raw.format}: expected {' or '.join(FORMATS)}")


def is_raw(place: str) -> bool:
    """Whether an input is a stream of raw samples: the standard input or a pipe; else it is a recording's file.

    Raises:
      BadInput: there is none of that name, it is a folder, or the standard input is a terminal or closed.
    """
    if place != STDIN:
        if not Path(place).exists():
            raise BadInput(f"--input={place}: no such file, expected a recording, a pipe (mkfifo) or - for stdin")
        if Path(place).is_dir():
            raise BadInput(f"--input={place}: is a folder, expected a recording, a pipe (mkfifo) or - for stdin")
        return stat.S_ISFIFO(os.stat(place).st_mode)
    try:
        terminal = os.isatty(0)
        os.fstat(0)
    except OSError:
        raise BadInput("--input=-: stdin is closed, expected raw samples from a pipe") from None
    if terminal:
        raise BadInput(
            "--input=-: stdin is a terminal, expected raw samples from a pipe, such as arecord -t raw -f S16_LE "
            "-r 16000 |"
        )
    return True


def read_from(place: str) -> Iterator[bytes]:
    """What comes from the standard input or a pipe, as it comes; a pipe is opened when it is asked for first."""
    number = 0 if place == STDIN else os.open(place, os.O_RDONLY)
    try:
        while found := os.read(number, READ):
            yield found
    finally:
        if number:
            os.close(number)


def samples(pieces: Iterable[bytes], raw: Raw, mix: Mixdown) -> Iterator[np.ndarray]:
    """The mean of the channels of raw samples, float32 (time,), full scale 1, whatever the pieces are.

    Args:
      pieces: bytes as they come; a frame may lie in two of them.
      raw: how samples lie in them.
      mix: mixes the channels down.

    Raises:
      BadInput: (at its place in the stream) a file's header in place of samples; samples that are not finite; an end
        within a frame, after what lies before it was given.
    """
    kind, scale = FORMATS[raw.format]
    rest, came, size = b"", 0, raw.frame
    for piece in pieces:
        if not came:
            _check_beginning(piece)
        came += len(piece)
        piece = rest + piece
        whole = len(piece) // size * size
        rest = piece[whole:]
        if whole:
            with np.errstate(invalid="ignore"):  # what is no float at all is said in the next line
                found = np.frombuffer(piece[:whole], kind).astype(np.float32) * np.float32(scale)
            _check_finite(found, (came - len(rest) - whole) / size / raw.rate, raw)
            yield mix.add(found.reshape(-1, raw.channels))
    if rest:
        frames = "1 channel" if raw.channels == 1 else f"{raw.channels} channels"
        raise BadInput(
            f"--input: ends after {came:,} bytes, which are no whole number of samples ({size} bytes: {raw.format}, "
            f"{frames}), expected --format and --channels as the sound was sent"
        )


def _check_beginning(piece: bytes) -> None:
    for mark, name in {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3"}.items():
        if piece.startswith(mark):
            raise BadInput(
                f"--input: begins as a {name} file does, expected raw samples, such as those of ffmpeg -i FILE -f "
                "s16le -ac 1 -; or give the file itself as --input"
            )


def _check_finite(found: np.ndarray, at_s: float, raw: Raw) -> None:
    finite = np.isfinite(found)
    if not finite.all():
        first = at_s + int(np.argmin(finite)) // raw.channels / raw.rate
        raise BadInput(
            f"--input: a sample at {first:.3f} s is no finite number, expected --format={raw.format} to be the format "
            "that is sent"
        )
