"""Which files are recordings by their names, which of these can be read, and what to say of the others.

What a file really holds is told by its content when it is read (`audio.decode`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dhauds_jax.data import walking
from dhauds_jax.data.notices import OfSet
from dhauds_jax.files import printable
from dhauds_jax.wording import counted

READ = {
    ".wav": "WAV", ".wave": "WAV", ".bwf": "WAV", ".rf64": "RF64", ".w64": "W64",
    ".flac": "FLAC",
    ".ogg": "OGG", ".oga": "OGG", ".opus": "OGG",
    ".mp3": "MP3", ".mp2": "MP3",
    ".aif": "AIFF", ".aiff": "AIFF", ".aifc": "AIFF",
    ".au": "AU", ".snd": "AU",
    ".caf": "CAF",
    ".sph": "NIST", ".nist": "NIST",
    ".avr": "AVR", ".svx": "SVX", ".8svx": "SVX", ".sf": "IRCAM", ".ircam": "IRCAM",
    ".paf": "PAF", ".fap": "PAF", ".pvf": "PVF",
}  # fmt: skip
"""Endings of recordings that can be read, in any case, and libsndfile's name of the format that usually has them."""
CONTENTS = {*READ.values(), "WAVEX"}
"""libsndfile's names of the formats that are read, whatever the file is called."""
EXPECTED = "expected a wav, flac, ogg or mp3 file"
"""What the sentences about a file that cannot be read end with."""
_AUDIO = "aac ac3 amr ape awb dts eac3 gsm m4a m4b mka mpc qcp ra rm shn spx tak tta vox wma wv"
_VIDEO = "3g2 3gp asf avi flv m4v mkv mov mp4 mpeg mpg ogv webm weba wmv"
# libsndfile reads VOC and HTK in part (a block; no features), gives XI and WVE one rate whatever theirs was, reads back
# other samples than it wrote to SDS, and needs a second file beside SD2.
_IN_PART = "htk sd2 sds voc wve xi"
_NO_HEADER = frozenset({".pcm", ".raw"})  # nor do they say what they hold
NOT_READ = frozenset(f".{ending}" for ending in f"{_AUDIO} {_VIDEO} {_IN_PART}".split()) | _NO_HEADER
"""Endings of files that hold sound and are not read, but counted. `.mat` is neither: hardly any holds sound."""
SOUND = NOT_READ | set(READ)
"""Endings of recordings, whether they can be read or not."""
_CONTAINERS = (
    (4, b"ftyp", "MPEG-4 (m4a, mp4)"),
    (0, b"\x30\x26\xb2\x75", "Windows Media (wma)"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska (webm, mka)"),
    (0, b"#!AMR", "AMR"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)  # bytes into the file, what stands there, what it is


def can_be_read(name: str | os.PathLike[str]) -> bool:
    """Whether a file is a recording that can be read, by the ending of its name."""
    return os.path.splitext(name)[1].lower() in READ


def has_sound(name: str | os.PathLike[str]) -> bool:
    """Whether a file is a recording, by the ending of its name, whether it can be read or not."""
    return os.path.splitext(name)[1].lower() in SOUND


def kinds(paths: Iterable[Path]) -> dict[str, int]:
    """How many files have each ending (in lower case), the commonest first."""
    return dict(Counter(path.suffix.lower() for path in paths).most_common())


def left_out(paths: Iterable[Path], root: Path, wanted: str = ".wav") -> tuple[str, ...]:
    """A sentence for each ending of the recordings that are not read: how many, the first one, what to do.

    Args:
      paths: the recordings, of any ending.
      root: the folder from which on the first one is named.
      wanted: the ending that would be read.
    """
    ordered = sorted(paths)
    said = []
    for ending, count in kinds(ordered).items():
        first = next(path for path in ordered if path.suffix.lower() == ending)
        was = counted(count, f"{ending} file was", f"{ending} files were")
        kind = "-f s16le -ar RATE " if ending in _NO_HEADER else ""
        said.append(
            f"{was} left out (the first: {printable(first.relative_to(root))}): convert with "
            f"ffmpeg {kind}-i NAME{ending} NAME{wanted}"
        )
    return tuple(said)


def not_wav(folder: Path) -> tuple[str, ...]:
    """A sentence for each kind of recordings below a folder that are no wav, the only kind that published sets have."""
    others = walking.below(folder, lambda name: has_sound(name) and not name.lower().endswith(".wav"))
    return tuple(map(OfSet, left_out(others.files, folder)))


def unread_kind(head: bytes) -> str:
    """What a file is that libsndfile cannot read, by its first bytes; "" where these do not tell."""
    return next((name for at, mark, name in _CONTAINERS if head[at : at + len(mark)] == mark), "")
