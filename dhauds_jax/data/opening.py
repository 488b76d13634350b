"""Opening audio files: what a header says, and one sentence for every way in which a file cannot be read."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dhauds_jax.data import formats, headers
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

MAX_CHANNELS = 32
"""A file with more channels is taken for a broken header."""
MIN_RATE, MAX_RATE = 1_000, 384_000
"""Admitted sample rates in Hz."""
UNKNOWN = (1 << 63) - 1  # libsndfile's number of samples for a FLAC stream that does not say
_BLOCK = 1 << 19  # samples decoded at once over all channels: neither a long file nor a header that lies takes more


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


def looked(path: Path) -> headers.Look:
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


def opened(path: Path, look: headers.Look):
    """The file for reading; one whose header libsndfile does not understand from memory, under another."""
    if look.header is None:
        return _one_way()(os.fsencode(path))
    return in_memory(path.read_bytes(), look)


def in_memory(body: bytes, look: headers.Look):
    """What a file of these bytes is for reading, see `opened`."""
    return _one_way()(io.BytesIO(body if look.header is None else look.header + body[look.begin :]))


@functools.cache
def _one_way() -> type:
    import soundfile

    class OneWay(soundfile.SoundFile):
        """Read from its beginning to its end: seeking fails at the end of a FLAC stream of no stated length."""

        def seekable(self) -> bool:
            return False

    return OneWay


def blocks_of(file, promised: int, channels: int) -> Iterator[np.ndarray]:
    """float32 (time, channels) blocks of an opened file until its end."""
    read = 0
    while read < promised:
        wanted = min(_BLOCK // channels, promised - read)
        block = file.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            return
        read += len(block)
        yield block if len(block) == wanted else block.copy()  # what was set aside for the rest goes


def why(path: Path, look: headers.Look, error: Exception) -> str:
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


def check_header(
    path: Path, look: headers.Look, kind: str, rate: int, channels: int, frames: int, longest: float
) -> None:
    """Raises `BadFile` for a file whose header says what is not read, or too much."""
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
    if frames > longest * rate and frames != UNKNOWN:
        raise BadFile(path, f"{frames / rate:.0f} s long, expected at most {longest:g} s")
