"""What the header of an audio file promises: a file whose end is missing is told from one written through a pipe.

libsndfile silently shortens a file to what is there, and the missing end would pass for a short clip. It does not read
what some writers leave behind either: a wav of size 0, since the pipe it went through could not seek back, or one with
a chunk of odd length that is not filled up. `look` finds both from the first bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

_OGG_PAGE = 65_536  # no page is longer (bytes)
_HEAD = 4_096  # bytes that hold the first frame of an MP3 and the header of a NIST file
_STREAMED = ((0, 0), (0x7EFFFF00, 0x7F000008), (0x7FFFEF00, 0x80000000), (0xFFFFFF00, 0xFFFFFFFF), (2**63 - 1, 2**64))
"""Sizes, from and to, that writers leave which cannot seek back: nothing, or about the largest that they know."""
_FARTHEST = 1 << 62  # bytes into a file that it can be asked for
_KEPT = 1 << 20  # bytes of chunks before the audio that are written anew


class Look(NamedTuple):
    """What the first and last bytes of a file say.

    Attributes:
      missing: how the file is cut short; "" if it is not, or if its format does not tell.
      doubt: the same, of a file that is no such one if libsndfile can read it.
      header: what must stand in place of the first `begin` bytes for libsndfile to read the file; None for nothing.
      begin: where the audio begins (bytes).
    """

    missing: str = ""
    doubt: str = ""
    header: bytes | None = None
    begin: int = 0


class _Chunks(NamedTuple):
    """A format of chunks: where the first begins, the struct of its name and size, the names that the audio's may have,
    to how many bytes each is filled up, whether sizes count the chunk's own header."""

    name: str
    begin: int
    header: str
    audio: tuple[bytes, ...]
    step: int = 2
    whole: bool = False


_W64_DATA = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_FORMATS = {
    b"RIFF": _Chunks("RIFF", 12, "<4sI", (b"data",)),
    b"RF64": _Chunks("RF64", 12, "<4sI", (b"data",)),
    b"RIFX": _Chunks("RIFX", 12, ">4sI", (b"data",)),
    b"FORM": _Chunks("AIFF", 12, ">4sI", (b"SSND", b"BODY")),  # BODY: 8SVX
    b"caff": _Chunks("CAF", 8, ">4sq", (b"data",), step=1),
    b"riff": _Chunks("W64", 40, "<16sQ", (_W64_DATA,), step=8, whole=True),
}


def look(path: Path) -> Look:
    """Looks at a file's header, and at the end of an Ogg file.

    Raises:
      OSError: it cannot be opened.
    """
    with path.open("rb") as file:
        return look_into(file, path.stat().st_size)


def look_into(file: BufferedIOBase, size: int) -> Look:
    """Looks at what is in an opened file, or in memory, of `size` bytes, as `look` does."""
    file.seek(0)
    head = file.read(_HEAD)
    kind = head[:4]
    if kind in _FORMATS:
        return _look_at_chunks(file, size, _FORMATS[kind])
    if kind == b"OggS":
        file.seek(max(0, size - _OGG_PAGE))
        return Look(_ogg(file.read()))
    if kind in (b".snd", b"dns.") and len(head) >= 12:
        return Look(_bytes(*struct.unpack(">II" if kind == b".snd" else "<II", head[4:12])[::-1], size))
    if head[:4] == b"2BIT" and len(head) >= 30:
        return Look(_avr(head, size))
    if head[:7] == b"NIST_1A":
        return Look(_nist(head, size))
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return Look(_mp3(file, head, size))
    return Look()


def riff_chunks(file: BufferedIOBase) -> Iterator[tuple[bytes, int, int]]:
    """`(name, bytes that its header promises, where they begin)` of each chunk of a wav, filled up or not."""
    return (chunk[:3] for chunk in _chunks(file, _FORMATS[b"RIFF"]))


def streamed(promised: int) -> bool:
    """Whether a size is one that writers leave which cannot seek back."""
    return any(low <= promised <= high for low, high in _STREAMED)


def piped(file: BufferedIOBase, begin: int, size: int) -> bool:
    """Whether what a wav's chunk of size 0 begins is the audio itself, up to the end of `size` bytes."""
    return not _is_chunk(file, begin, size)


def _bytes(promised: int, begin: int, size: int) -> str:
    """What is missing of audio that begins at a byte of a file of `size` bytes."""
    if streamed(promised) or promised <= size - begin:
        return ""
    return f"its header promises {promised} bytes of audio and {max(0, size - begin)} exist"


def _look_at_chunks(file: BufferedIOBase, size: int, form: _Chunks) -> Look:
    long_length, unfilled = 0, False  # an RF64 file tells its length beyond 4 GiB apart
    before = []  # chunks before the audio, filled up
    for name, length, begin, odd in _chunks(file, form):
        unfilled |= odd
        if name in form.audio:
            if long_length and length == 0xFFFFFFFF:
                length = long_length
            missing = _bytes(length % 2**64, begin, size)
            to_the_end = form.name == "RIFF" and length == 0 and piped(file, begin, size)
            header = _header(file, before, size - begin if to_the_end else length) if to_the_end or unfilled else None
            return Look(missing, "", header if form.name == "RIFF" else None, begin)
        if name == b"ds64":
            file.seek(begin + 8)
            long_length = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))[0]
        before.append((name, length, begin))
    return Look(doubt=f"a {form.name} header without audio ({size} bytes)")


def _chunks(file: BufferedIOBase, form: _Chunks) -> Iterator[tuple[bytes, int, int, bool]]:
    """`(name, bytes, where they begin, whether the chunk before was not filled up)` of each chunk."""
    step, skipped = struct.calcsize(form.header), form.begin
    odd = False
    while True:
        file.seek(skipped)
        header = file.read(step)
        if len(header) < step:
            return
        name, length = struct.unpack(form.header, header)
        begin = skipped + step
        length -= step if form.whole else 0
        if form.name == "CAF" and name in form.audio and length < 0:  # until the end
            length = 2**64 - 1
        if length < 0:
            return
        yield name, length, begin, odd
        end = begin + length
        if end > _FARTHEST:  # its size is 64 bits long, and no file is
            return
        skipped = end + -length % form.step
        odd = skipped > end and form.step == 2 and _unfilled(file, end, form.audio)
        skipped = end if odd else skipped


def _unfilled(file: BufferedIOBase, end: int, audio: tuple[bytes, ...]) -> bool:
    """Whether the next chunk follows one of odd length at once, without the byte between them."""
    if not _named(file, end):
        return False
    file.seek(end)
    return file.read(4) in (*audio, b"fmt ", b"fact", b"LIST") or not _named(file, end + 1)


def _named(file: BufferedIOBase, place: int) -> bool:
    """Whether a chunk's name, four printable characters, stands at a byte of a file."""
    file.seek(place)
    name = file.read(4)
    return len(name) == 4 and all(0x20 <= byte < 0x7F for byte in name)


def _is_chunk(file: BufferedIOBase, place: int, size: int) -> bool:
    """Whether the rest of a file from a byte on is nothing, or begins with a whole chunk."""
    if not _named(file, place):
        return place == size
    length = struct.unpack("<I", file.read(4).ljust(4, b"\xff"))[0]
    return place + 8 + length <= size


def _header(file: BufferedIOBase, before: list[tuple[bytes, int, int]], length: int) -> bytes | None:
    """The header of a wav with `length` bytes of audio, its chunks filled up; None where there are too many."""
    if sum(size for _, size, _ in before) > _KEPT:
        return None
    body = b"WAVE"
    for name, size, begin in before:
        file.seek(begin)
        body += struct.pack("<4sI", name, size) + file.read(size) + bytes(size % 2)
    length = min(length, 0xFFFFFFFF)
    whole = min(len(body) + 8 + length, 0xFFFFFFFF)
    return b"RIFF" + struct.pack("<I", whole) + body + b"data" + struct.pack("<I", length)


def _ogg(tail: bytes) -> str:
    """What is missing unless an Ogg file ends with a whole page that closes the stream (its header's third flag)."""
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""
    if len(page) <= 26 or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments):
        return "its Ogg stream does not end with a closing page"
    return ""


def _avr(head: bytes, size: int) -> str:
    """What is missing of an AVR file (Audio Visual Research): 128 bytes, then samples of 8 or 16 bit."""
    stereo, bits = struct.unpack(">HH", head[12:16])
    (samples,) = struct.unpack(">I", head[26:30])
    return _bytes(samples * (2 if stereo else 1) * (bits // 8), 128, size)


def _nist(head: bytes, size: int) -> str:
    """What is missing of an uncompressed NIST SPHERE file."""
    fields = [line.split(None, 2) for line in head.decode("ascii", "replace").split("end_head")[0].splitlines()]
    found = {field[0]: field[2].strip() for field in fields if len(field) == 3}
    counts = [found.get(name, "") for name in ("sample_count", "channel_count", "sample_n_bytes")]
    begin = fields[1][0] if len(fields) > 1 and fields[1] else ""
    packed = "shorten" in found.get("sample_coding", "")
    if packed or not all(number.isdecimal() for number in (begin, *counts)):
        return ""
    samples, channels, width = map(int, counts)
    return _bytes(samples * channels * width, int(begin), size)


def _mp3(file: BufferedIOBase, head: bytes, size: int) -> str:
    """What is missing of an MP3 file whose first frame says how many bytes there are (as most encoders write it)."""
    begin = 0
    if head[:3] == b"ID3" and len(head) >= 10:
        begin = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
        file.seek(begin)
        head = file.read(_HEAD)
    place = max(head[:256].find(b"Xing"), head[:256].find(b"Info"))
    fields = head[place + 4 : place + 16]
    if place < 0 or len(fields) < 12 or not fields[3] & 2:
        return ""
    return _bytes(int.from_bytes(fields[8:12] if fields[3] & 1 else fields[4:8], "big"), begin, size)
