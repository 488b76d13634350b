"""Where events and backgrounds come from: lists of any two data sets or folders, and parts of their files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax.data import formats, sets, walking
from dhauds_jax.data.audio import LONGEST_SECONDS, BadFile, Reading, measure
from dhauds_jax.data.mixdown import SILENT
from dhauds_jax.data.sets import folder_per_class
from dhauds_jax.data.sets.base import ClipRef, DataSet, check_split, draw_name, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable

_ROUNDING = 1e-6  # of a sample


class Sound(NamedTuple):
    """A recording.

    Attributes:
      id: its name in its set, the same on every machine.
      path: the file.
      label: its class; of a background, its scene.
      fold: its official fold, where its set has some; "" elsewhere.
      group: the recording or speaker that it is from, as its set knows (`DataSet.group`); of other sets its own id.
    """

    id: str
    path: Path
    label: str
    fold: str = ""
    group: str = ""


class Sounds(NamedTuple):
    """The recordings of a set: the name that keys draws, the recordings, what must be said of the copy."""

    name: str
    all: tuple[Sound, ...]
    notices: tuple[str, ...] = ()


class Piece(NamedTuple):
    """A part of a background recording, from `start` seconds on."""

    sound: Sound
    start: float = 0.0


class Part(NamedTuple):
    """Samples of a file: float64 (time,), Hz, and what had to be done to them."""

    wave: Float[np.ndarray, " time"]
    rate: int
    notices: tuple[str, ...] = ()

    @property
    def is_silent(self) -> bool:
        """Whether no two samples differ by a step of 16 bit."""
        return float(np.ptp(self.wave)) < SILENT


def foregrounds(
    name: str, folder: str | None, splits: Sequence[str] = (), *, allow_partial: bool = False, flag: str = "foreground"
) -> Sounds:
    """The clips of a data set, each once, in the order of its splits.

    Args:
      name: a data set, or "folder" for a folder with one folder a class.
      folder: where it lies.
      splits: of these splits; all when none is given.
      allow_partial: go on when a list names absent files.
      flag: the flag that has the name, for sentences.

    Raises:
      BadInput: what the set's own listing refuses, or a set that is made in memory.
    """
    with _said_of(flag):
        dataset = sets.get(name, folder)
        if dataset.listing is None:
            raise BadInput(f"--{flag}={name}: is made in memory, expected a set of files")
        found: dict[str, Sound] = {}
        notices: list[str] = []
        for split in splits or _splits(dataset, folder):
            check_split(dataset, split)
            refs, said = list_split(dataset, folder, split, allow_partial)
            notices += said
            for ref in refs:
                sound = _sound(dataset, ref)
                found.setdefault(sound.id, sound)
    return Sounds(draw_name(dataset), tuple(found.values()), tuple(dict.fromkeys(notices)))


def backgrounds(name: str, folder: str | None, *, allow_partial: bool = False, flag: str = "background") -> Sounds:
    """The recordings of all scenes of a data set; a scene is a class of it.

    A folder that holds recordings itself is one scene, called as the folder; else a folder in it is a scene.

    Raises:
      BadInput: as `foregrounds`.
    """
    root = Path(folder or ".")
    if (
        name == "folder"
        and folder
        and any(formats.can_be_read(path.name) for path in walking.files_in(root, formats.SOUND))
    ):
        scene = printable(root.resolve().name)
        paths = [path for path in walking.below(root).files if formats.can_be_read(path.name)]
        found = tuple(Sound(printable(path.relative_to(root).as_posix()), path, scene) for path in paths)
        return Sounds("folder", found)
    return foregrounds(name, folder, allow_partial=allow_partial, flag=flag)


def _splits(dataset: DataSet, folder: str | None) -> Sequence[str]:
    """The splits that have clips; of a published set all of them must."""
    if dataset.listing is folder_per_class.listing:
        return [split for split, clips in folder_per_class.find_clips(folder).clips.items() if clips]
    return dataset.splits


def _sound(dataset: DataSet, ref: ClipRef) -> Sound:
    name = printable(ref.id)
    fold = "" if dataset.fold is None else dataset.fold(ref.id)
    group = name if dataset.group is None else dataset.group(ref.id)
    return Sound(name, ref.path, dataset.classes[ref.label], fold, group)


@contextlib.contextmanager
def _said_of(flag: str) -> Iterator[None]:
    """Sentences of data sets, which know one folder alone, with the flag that named it here."""
    try:
        yield
    except BadFile:
        raise
    except BadInput as error:
        raise BadInput(str(error).replace("--data_dir", f"--{flag}_dir")) from error


def pieces(sounds: Sequence[Sound], seconds: float, first_only: bool) -> tuple[Piece, ...]:
    """The pieces of `seconds` that backgrounds fall into, by name; one that is shorter is a piece.

    Args:
      sounds: recordings.
      seconds: of a scene.
      first_only: whether the first piece of each is all that is taken.

    Raises:
      BadFile: a header that cannot be read, or that promises no samples.
    """
    found = []
    for sound in sorted(sounds):
        count = 1
        if not first_only:
            rate, samples = measure(sound.path)
            count = max(1, int(samples / rate / seconds))
        found += [Piece(sound, number * seconds) for number in range(count)]
    return tuple(found)


def read(path: Path, seconds: float, start: float = 0.0) -> Part:
    """Reads a part of a file at its own rate, the mean of its channels; what lies behind it is not read.

    Args:
      path: the file.
      seconds: how much, at the most.
      start: where it begins (seconds).

    Raises:
      BadFile: as `audio.Reading`; or no sample lies there.
    """
    reading = Reading(path, LONGEST_SECONDS)
    rate = reading.sample_rate
    wave = reading.part(_sample(start, rate), _sample(start + seconds, rate)).astype(np.float64)
    return Part(wave, rate, reading.notices(rate))


def _sample(seconds: float, rate: int) -> int:
    """The sample at a time; a length in seconds gives its samples again, whatever rounding made of the quotient."""
    place = seconds * rate
    return round(place) if abs(place - round(place)) < _ROUNDING else int(place)
