"""Campaign feed_audio: damaged recordings of every format, read whole, in blocks, in part, and by their headers."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import audio
from dhauds_jax.errors import BadInput
from dhauds_jax.serve import decoder, wav
from dhauds_jax.serve.failures import Failure
from tests.faults import feeding, mutations
from tests.faults.outcomes import Outcome
from tests.faults.trying import Target

TRIES, BLOCK = 20_000, 500

FORMATS = {
    "wav": (("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM", "MS_ADPCM", "GSM610"), "WAV"),
    "flac": (("PCM_16", "PCM_24", "PCM_S8"), "FLAC"),
    "ogg": (("VORBIS", "OPUS"), "OGG"),
    "mp3": (("MPEG_LAYER_III",), "MP3"),
    "aiff": (("PCM_16", "PCM_S8", "FLOAT", "ALAW", "IMA_ADPCM"), "AIFF"),
    "au": (("PCM_16", "ULAW", "G721_32"), "AU"),
    "caf": (("PCM_16", "ALAC_16"), "CAF"),
    "w64": (("PCM_16",), "W64"),
    "rf64": (("PCM_16",), "RF64"),
    "sph": (("PCM_16",), "NIST"),
}
"""Ending -> what libsndfile writes into files of it: subtypes and format. The first five are those of the issue."""

LONGEST = 4_000
"""Samples of a recording before it is damaged, at most."""


class Sound(NamedTuple):
    """Recordings of one ending."""

    ending: str
    files: tuple[bytes, ...]


def prepared(ending: str, folder: Path) -> Sound:
    """Short recordings of an ending: every subtype, one and two channels."""
    import soundfile

    subtypes, kind = FORMATS[ending]
    files = []
    rng = np.random.default_rng(0)
    for subtype in subtypes:
        for channels, samples in ((1, 1_000), (2, LONGEST), (1, 37)):
            if subtype in ("GSM610", "G721_32") and channels > 1:
                continue
            rate = 48_000 if subtype == "OPUS" else 16_000
            path = folder / f"{subtype}-{channels}-{samples}.{ending}"
            wave = np.cumsum(rng.normal(size=(samples, channels)), 0)
            soundfile.write(path, 0.5 * wave / np.abs(wave).max(), rate, subtype=subtype, format=kind)
            files.append(path.read_bytes())
    return Sound(ending, tuple(files))


def attempt(sound: Sound, place: Path, rng: np.random.Generator) -> None:
    """A damaged recording goes through one of the ways in which recordings are read."""
    path = place / f"a.{sound.ending}"
    path.write_bytes(_content(sound, rng))
    mutations.one_of(rng, WAYS)(path)


def at_the_service(sound: Sound, place: Path, rng: np.random.Generator) -> None:
    """A damaged recording comes as a body to the service, and is read as there."""
    body = _content(sound, rng)
    try:
        (wav.read if wav.is_wav(body) else decoder.decode)(body, 60.0)
    except Failure as failure:
        raise BadInput(str(failure)) from failure


def _content(sound: Sound, rng: np.random.Generator) -> bytes:
    data = mutations.damaged(rng, mutations.one_of(rng, sound.files), sound.files)
    return with_checksums(data) if sound.ending == "ogg" and rng.random() < 0.7 else data


def with_checksums(data: bytes) -> bytes:
    """An Ogg file whose pages have the checksums of what they hold, so that damage comes as far as the decoders."""
    out = bytearray(data)
    place = out.find(b"OggS")
    while 0 <= place < len(out) - 27:
        end = out.find(b"OggS", place + 4)
        end = len(out) if end < 0 else end
        out[place + 22 : place + 26] = bytes(4)
        out[place + 22 : place + 26] = _crc(bytes(out[place:end])).to_bytes(4, "little")
        place = end if end < len(out) else -1
    return bytes(out)


def _crc(data: bytes) -> int:
    """Ogg's checksum, by a table of remainders of the polynomial 0x04C11DB7."""
    found = 0
    for byte in data:
        found = (found << 8) & 0xFFFFFFFF ^ _REMAINDERS[(found >> 24) ^ byte]
    return found


def _remainder(byte: int) -> int:
    found = byte << 24
    for _ in range(8):
        found = (found << 1) & 0xFFFFFFFF ^ (0x04C11DB7 if found & 0x80000000 else 0)
    return found


_REMAINDERS = tuple(map(_remainder, range(256)))


def _in_part(path: Path) -> None:
    audio.read_part(path, 0.01, 0.01, 16_000)


def _in_blocks(path: Path) -> None:
    for _ in audio.read_blocks(path, 16_000)[0]:
        pass


def _at_another_rate(path: Path) -> None:
    wave, _ = audio.read_audio(path, 8_000)
    assert np.isfinite(wave).all()


WAYS: tuple[Callable[[Path], object], ...] = (audio.decode, audio.decode, _in_blocks, _in_part, audio.measure)

TARGETS = {
    **{ending: Target(partial(prepared, ending), attempt) for ending in FORMATS},
    **{
        f"{ending} at the service": Target(partial(prepared, ending), at_the_service)
        for ending in ("wav", "flac", "ogg")
    },
}


def run(tries: int, seed: int, place: Path, tell: Callable[[Outcome], None], done: Container[str]) -> None:
    """The campaign (see `campaigns`)."""
    feeding.run("feed_audio", __name__, list(TARGETS), BLOCK, (tries, seed, place, tell, done))


tables = feeding.table
