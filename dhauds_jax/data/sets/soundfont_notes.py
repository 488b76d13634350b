"""Notes of a SoundFont: an instrument is a class, shots and tests are other pitches; NSynth's recipe, any .sf2 file."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np

from dhauds_jax.data.sets.base import DataSet, Generated, Order, check_split
from dhauds_jax.data.soundfont import HELD, RELEASED, Note, find_font, programs_of, render

LOWEST, HIGHEST, PITCHES = 21, 108, 24
"""Keys of a piano; so many of them are taken, spread evenly."""
KEYS = tuple(round(LOWEST + (HIGHEST - LOWEST) * step / (PITCHES - 1)) for step in range(PITCHES))
SPLIT_KEYS = {"train": KEYS[::2], "test": KEYS[1::2]}
"""Twelve pitches to learn an instrument from, and the twelve between them to know it by."""
VELOCITIES = (25, 50, 75, 100, 127)
RATE = 16_000
SILENT = 2.0**-15
"""A note whose samples all are smaller, one step of 16 bits, is none: the instrument has no such pitch."""


def velocity_of(program: int, key: int) -> int:
    """The velocity of a note where one is taken: by a hash of program and key, so it is the same in every font."""
    digest = hashlib.sha256(f"{program}/{key}".encode()).digest()
    return VELOCITIES[int.from_bytes(digest[:8], "big") % len(VELOCITIES)]


def notes_of(programs: tuple[int, ...], split: str, every: bool) -> list[Note]:
    """The notes of a split, program by program: one velocity a pitch, or `every` one."""
    return [
        Note(program, key, velocity)
        for program in programs
        for key in SPLIT_KEYS[split]
        for velocity in (VELOCITIES if every else (velocity_of(program, key),))
    ]


def id_of(note: Note) -> str:
    """The clip's id, `<program>/<key>_<velocity>`; of another font the same, as another copy of a set has."""
    return f"{note.program:03d}/{note.key:03d}_{note.velocity:03d}"


def group_of(clip: str) -> str:
    """The note of a clip's id without its velocity."""
    return clip.rpartition("_")[0]


def _at(dataset: DataSet, every: bool, data_dir: Path | str) -> DataSet:
    """The set as a SoundFont has it: its classes are "<number> <name>" of the melodic programs."""
    font = find_font(data_dir, dataset.name)
    programs = programs_of(font)
    classes = tuple(f"{number:03d} {name}".strip() for number, name in programs.items())
    generate = functools.partial(_generate, font, tuple(programs), every)
    return dataset._replace(classes=classes, generate=generate)


def _generate(font: Path, programs: tuple[int, ...], every: bool, split: str, seed: int) -> Generated:
    """Plays a split's notes; nothing is drawn, so `seed` changes nothing. Silent ones are left out."""
    check_split(DATA_SET, split)
    notes = notes_of(programs, split, every)
    length = RATE * (HELD + RELEASED)
    waves, kept = np.zeros((len(notes), length), np.float32), []
    for note, wave in zip(notes, render(font, notes, RATE), strict=True):
        if np.max(np.abs(wave)) >= SILENT:
            waves[len(kept)] = wave[:length]
            kept.append(note)
    labels = np.array([programs.index(note.program) for note in kept], np.int32)
    return Generated(tuple(map(id_of, kept)), waves[: len(kept)], labels)


def _needs_font(split: str, seed: int) -> Generated:
    find_font(None, DATA_SET.name)
    raise AssertionError("a set without a font has no notes")


def _data_set(variant: str, every: bool) -> DataSet:
    made = DataSet(
        name=f"soundfont_notes{variant}",
        classes=(),
        sample_rate=RATE,
        length=RATE * (HELD + RELEASED),
        splits=tuple(SPLIT_KEYS),
        metric="accuracy",
        order=Order(),
        licence="of the SoundFont",
        citation="J. Engel, C. Resnick, A. Roberts, S. Dieleman, M. Norouzi, D. Eck, K. Simonyan, Neural audio "
        "synthesis of musical notes with WaveNet autoencoders, ICML 2017 (the recipe)",
        generate=_needs_font,
        homepage="https://magenta.tensorflow.org/datasets/nsynth (the recipe)",
        layout="<name>.sf2   the classes are the programs of its bank 0",
        seconds=(4.0, 4.0),
        group=group_of,
    )
    return made._replace(at=functools.partial(_at, made, every))


DATA_SET = _data_set("", False)
DATA_SETS = (DATA_SET, _data_set("/velocities", True))
