"""How a folder of recordings is walked: the one rule for what is looked at, for clips, noises and a user's own files.

Names that begin with a dot (a Mac's "._x.wav", ".DS_Store") and those that systems leave behind are passed over, and so
is all that lies in such folders. Links to files and folders are followed; a folder that several links lead to is walked
once, under its own name where it has one, so a link back to a folder above ends nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

_LEFT_BEHIND = ("__macosx", "desktop.ini", "thumbs.db", "$recycle.bin", "system volume information", "@eadir")


class Walked(NamedTuple):
    """What lies below a folder, each sorted.

    Attributes:
      files: the files, and links that lead nowhere.
      folders: the folders.
      again: links to folders that were walked already, under another name.
    """

    files: list[Path]
    folders: list[Path]
    again: list[Path]


def is_visible(name: str) -> bool:
    """Whether a file or folder of that name is looked at."""
    return not name.startswith(".") and name.lower() not in _LEFT_BEHIND


def files_in(folder: Path, suffixes: Collection[str] = (".wav",)) -> list[Path]:
    """The files with one of these endings (in lower case, files may have them in capitals) in a folder itself, sorted.

    None are found in a folder that does not exist.
    """
    return sorted(
        Path(entry.path)
        for entry in _entries(folder)
        if os.path.splitext(entry.name)[1].lower() in suffixes and not _is_folder(entry)
    )


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder itself, sorted; none in one that does not exist."""
    return sorted(Path(entry.path) for entry in _entries(folder) if _is_folder(entry))


def below(folder: Path, keep: Callable[[str], bool] = lambda name: True) -> Walked:
    """All that lies below a folder, at any depth.

    Args:
      folder: where to look; nothing is found in one that does not exist.
      keep: tells by its name whether a file is wanted.

    Raises:
      PermissionError: a folder may not be listed.
    """
    walked, links = Walked([], [], []), []
    seen = {os.path.realpath(folder)}
    waiting = [os.fspath(folder)]
    while waiting:
        for entry in _entries(waiting.pop()):
            if not _is_folder(entry):
                if keep(entry.name):
                    walked.files.append(Path(entry.path))
            elif entry.is_symlink():
                links.append(entry.path)
            else:
                _enter(entry.path, walked, seen, waiting)
        while links and not waiting:  # once all that needs no link has been walked
            links.sort(reverse=True)
            _enter(links.pop(), walked, seen, waiting)
    return Walked(*map(sorted, walked))


def _enter(path: str, walked: Walked, seen: set[str], waiting: list[str]) -> None:
    """Notes a folder as one to be walked, or as one that was."""
    real = os.path.realpath(path)
    if real in seen:
        walked.again.append(Path(path))
        return
    seen.add(real)
    walked.folders.append(Path(path))
    waiting.append(path)


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or leads to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path | str) -> Iterator[os.DirEntry]:
    """The visible entries of a folder; none of one that does not exist or is none."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if is_visible(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return
