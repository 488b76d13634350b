"""SoundFonts (.sf2): which instruments one holds, and notes played on them.

The list of programs is read here; notes are rendered by the package tinysoundfont, which is imported for that alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.errors import BadInput

RENDER_RATE = 48_000
"""Hz at which notes are rendered: the renderer repeats samples without a filter, so much less than their own rate
would fold what lies above half of it back into the note."""
HELD, RELEASED = 3, 1
"""Seconds that a key is held, and that are rendered after it (NSynth's)."""
_PRESET = struct.Struct("<20sHHHIII")  # name, program, bank, first bag, three numbers without a meaning yet
_TAIL = 512  # samples after which a silenced voice is gone, where none is left to fade


class Note(NamedTuple):
    """A key of a program: both as MIDI numbers, and how hard it is struck (1 to 127)."""

    program: int
    key: int
    velocity: int


def find_font(data_dir: Path | str | None, name: str) -> Path:
    """The SoundFont that `data_dir` is, or the only one that lies in it.

    Args:
      data_dir: a file, or a folder.
      name: of the data set, for the sentences.

    Raises:
      BadInput: none given, no such file, none or several in the folder.
    """
    if not data_dir:
        raise BadInput(f"{name} needs --data_dir, a SoundFont (.sf2) or the folder of one")
    place = Path(data_dir)
    if place.is_file():
        return place
    if not place.is_dir():
        raise BadInput(f"--data_dir={data_dir}: no such file, expected a SoundFont (.sf2) or the folder of one")
    fonts = sorted(path for path in place.iterdir() if path.suffix.lower() == ".sf2" and not path.name.startswith("."))
    if len(fonts) != 1:
        found = f"holds {len(fonts)} SoundFonts" + (f" (the first: {fonts[0].name})" if fonts else " (.sf2)")
        raise BadInput(f"--data_dir={data_dir}: {found}, expected one; give the file itself")
    return fonts[0]


def programs_of(path: Path) -> dict[int, str]:
    """The melodic programs of a SoundFont, number -> name: those of bank 0, in order (drums lie in bank 128).

    Raises:
      BadInput: no SoundFont, a damaged one, or one without melodic programs.
    """
    presets = _presets(path)
    whole = range(0, len(presets) - _PRESET.size, _PRESET.size)  # the last one only ends the list
    found: dict[int, str] = {}
    for name, program, bank, *_ in (_PRESET.unpack_from(presets, at) for at in whole):
        if bank == 0:
            found.setdefault(program, name.split(b"\0")[0].decode("latin-1").strip())
    if not found:
        raise BadInput(f"{path}: holds no program of bank 0, expected a SoundFont with melodic instruments")
    return dict(sorted(found.items()))


def _presets(path: Path) -> bytes:
    """The chunk `phdr`, which lies in the list `pdta` of a RIFF file of the kind `sfbk`."""
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
            raise BadInput(f"{path}: is no SoundFont (no RIFF file of kind sfbk), expected an .sf2 file")
        while len(chunk := file.read(8)) == 8:
            kind, size = chunk[:4], int.from_bytes(chunk[4:], "little")
            if kind == b"LIST":  # what lies in a list is read chunk by chunk, as if the list were not there
                file.seek(4, 1)
            elif kind == b"phdr":
                found = file.read(size)
                if len(found) == size and size % _PRESET.size == 0 and size:
                    return found
                break
            else:
                file.seek(size + size % 2, 1)
    raise BadInput(f"{path}: its list of programs (phdr) is missing or cut short, expected a whole .sf2 file")


def check_renderer() -> None:
    """Raises `BadInput` where tinysoundfont is not installed."""
    try:
        import tinysoundfont  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"soundfont_notes needs tinysoundfont to play notes ({error}), expected: pip install --no-deps "
            "tinysoundfont (without --no-deps it asks for pyaudio, which it does not need here)"
        ) from error


def render(
    path: Path, notes: Iterable[Note], sample_rate: int, resampler: str = "sinc"
) -> Iterator[Float[np.ndarray, " time"]]:
    """Plays notes one by one: float32 waves of `HELD + RELEASED` seconds, the mean of both channels.

    A note has the same samples whatever was played before it.

    Args:
      path: the SoundFont.
      notes: what is played.
      sample_rate: of the result, Hz.
      resampler: how it gets there from `RENDER_RATE`, see `data.resampling`.

    Raises:
      BadInput: tinysoundfont is not installed, or cannot read the file.
    """
    check_renderer()
    import tinysoundfont

    synth = tinysoundfont.Synth(samplerate=RENDER_RATE)
    try:
        font = synth.sfload(str(path))
    except tinysoundfont.SoundFontException as error:
        raise BadInput(f"{path}: cannot be played ({error}), expected a whole .sf2 file") from error
    for note in notes:
        synth.program_select(0, font, 0, note.program)
        synth.noteon(0, note.key, note.velocity)
        held = _played(synth, HELD * RENDER_RATE)
        synth.noteoff(0, note.key)
        wave = np.concatenate([held, _played(synth, RELEASED * RENDER_RATE)])
        synth.sounds_off()
        while np.any(_played(synth, _TAIL)):
            pass
        yield np.ascontiguousarray(resample_wave(wave, RENDER_RATE, sample_rate, resampler), np.float32)


def _played(synth: Any, samples: int) -> np.ndarray:
    """float32 (samples,): what comes next, both channels' mean."""
    return np.frombuffer(synth.generate(samples), np.float32).reshape(-1, 2).mean(1, dtype=np.float32)
