"""Files and folders that appear whole or not at all: written under a name of their own beside the place, then renamed.

A reader never sees half of one, a killed command leaves the older one as it was, and two processes that write the same
place at once, on one machine or on two, never share a temporary name: the last one to finish is the one that stays.
Names of files that no text can hold are escaped here, in one way for all that is written and printed.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_COUNTER = itertools.count()
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\udc80-\udcff]|\\(?=x[0-9a-f]{2})")


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as every text, table and terminal can hold it: bytes that are not UTF-8, and controls, as `\\xe9`.

    Two names stay two: a backslash that would read as such an escape is one itself (`\\x5c`). Other names stay as they
    are.
    """
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", os.fspath(name))


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other call gives, in this or another process of any machine."""
    return path.with_name(f"{path.name}.tmp-{socket.gethostname()}-{os.getpid()}-{next(_COUNTER)}")


def write_atomically(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Writes a file in one piece; an older one is replaced, missing folders are made.

    Args:
      path: where.
      content: a text (written as UTF-8, line ends as they are), bytes, or what writes into the opened file it is given.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with temporary.open("wb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode("utf-8") if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only when something went wrong


def put_in_place(temporary: Path, folder: Path) -> None:
    """Renames a finished folder to `folder`; an older one stays whole until then and is removed after."""
    if not folder.exists():
        os.rename(temporary, folder)
        return
    old = temporary_beside(folder)
    os.rename(folder, old)
    os.rename(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)
