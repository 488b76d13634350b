"""Noises of one's own: any folder or list of recordings, at a signal-to-noise ratio drawn from a level's grid.

ENU:PLACE is mixed in as ENQ, END1, END2 and ENSC are. The place is a folder, searched with all folders in it, or a text
file with the path of a recording on each line, relative to the file; below `--noise_dir`, or a path as it stands. What
is drawn depends on the place's last name and on the order of the recordings' names, and not on where it lies.
"""

from __future__ import annotations

import functools
from pathlib import Path

from dhauds_jax.data import formats, walking
from dhauds_jax.data.corruptions import noise_folders
from dhauds_jax.data.corruptions.base import Corruption
from dhauds_jax.data.corruptions.recorded import from_grid
from dhauds_jax.data.sets.base import read_text
from dhauds_jax.errors import BadInput
from dhauds_jax.names import LEVELS
from dhauds_jax.wording import counted, plural

CODE = "ENU"
EXPECTED = "a folder with recordings (wav, flac, ogg, mp3, ...), or a text file that names one on each line"


@functools.lru_cache(maxsize=64)
def own_noises(place: str) -> Corruption:
    """The corruption ENU:PLACE; levels as those of ENQ, and no stand-ins."""

    def notices(noise_dir: Path | None) -> tuple[str, ...]:
        return left_out(place_of(noise_dir, place))

    return from_grid(lambda noise_dir, level, rate: find(noise_dir, place), EXPECTED, anywhere=True, notices=notices)


def place_of(noise_dir: Path | None, place: str, code: str = CODE) -> Path:
    """Where the place of a command line lies: below `noise_dir`, or from here; raises `BadInput` if in neither."""
    as_is = Path(place).expanduser()
    places = [as_is] if noise_dir is None else [noise_dir / as_is, as_is]
    found = next((path for path in places if path.exists()), None)
    if found is None:
        below = "" if noise_dir is None else f" below --noise_dir={noise_dir} or"
        without, _, level = place.rpartition(":")
        if without and any((path.parent / Path(without).name).exists() for path in places):
            levels = " or ".join(LEVELS)
            raise BadInput(f"{code}:{place}: unknown level {level!r} of {code}:{without}, expected {levels}")
        raise BadInput(f"{code}:{place}: there is no such folder or list{below} from here, expected {EXPECTED}")
    return found


def find(noise_dir: Path | None, place: str, code: str = CODE) -> noise_folders.Found:
    """`(name, path)` of the recordings of a place, sorted by name; of a list, in its order; a recording is one itself.

    Args:
      noise_dir: where it is looked for first.
      place: a folder, a list or a recording, as on the command line.
      code: before it there, for sentences.

    Raises:
      BadInput: there is no such place, it holds no recording, or it names some that are not there.
    """
    said, found = f"{code}:{place}", place_of(noise_dir, place, code)
    if found.is_file() and formats.can_be_read(found.name):
        return [(found.name, found)]
    recordings = _in_folder(found) if found.is_dir() else _in_list(found, said)
    if not recordings:
        why = "; ".join((f"{found} holds no recordings", *left_out(found)))
        raise BadInput(f"{said}: {why}, expected {EXPECTED}")
    return recordings


def left_out(place: Path) -> tuple[str, ...]:
    """A sentence about each kind of recordings in a folder that cannot be read."""
    if not place.is_dir():
        return ()
    others = walking.below(place, lambda name: formats.has_sound(name) and not formats.can_be_read(name)).files
    return formats.left_out(others, place)


def _in_folder(folder: Path) -> noise_folders.Found:
    """Of a folder and all folders in it, by the rule of `walking`."""
    walked = walking.below(folder, formats.can_be_read)
    return sorted((path.relative_to(folder).as_posix(), path) for path in walked.files)


def _in_list(file: Path, said: str) -> noise_folders.Found:
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    paths = [file.parent / line for line in lines]
    absent = [line for line, path in zip(lines, paths, strict=True) if not path.is_file()]
    if absent:
        raise BadInput(
            f"{said}: {file} names {counted(len(absent), 'file')} that {plural(len(absent), 'is', 'are')} not there "
            f"(the first: {absent[0]}), expected paths of recordings relative to it"
        )
    return [(Path(line).name if Path(line).is_absolute() else line, path) for line, path in zip(lines, paths)]
