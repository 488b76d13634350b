"""Files and folders that appear whole or not at all: written under a name of their own beside the place, then renamed.

A reader never sees half of one, a killed command leaves the older one as it was, and two processes that write the same
place at once, on one machine or on two, never share a temporary name: the last one to finish is the one that stays.
Names of files that no text can hold are escaped here, in one way for all that is written and printed.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import io
import itertools
import os
import re
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from dhauds_jax.errors import BadInput

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
        with named(path):
            with temporary.open("wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode("utf-8") if isinstance(content, str) else content)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only when something went wrong


def write_csv(path: Path, rows: Iterable[Sequence[object]], end: str = "\n") -> None:
    """Writes a table in one piece, its first row the names of the columns, each row with `end` behind."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows)
    write_atomically(path, text.getvalue())


def put_in_place(temporary: Path, folder: Path) -> None:
    """Renames a finished folder to `folder`; an older one stays whole until then and is removed after.

    Where the system can exchange two names in one step (Linux), there is no moment without a folder of that name.
    """
    if not folder.exists():
        os.rename(temporary, folder)
        return
    old = temporary
    if not _exchanged(temporary, folder):
        old = temporary_beside(folder)
        os.rename(folder, old)
        os.rename(temporary, folder)
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Whether two paths could be exchanged in one step, which some systems and disks cannot."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """A block whose system errors name `path`: a full disk does not say which file it was."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def refusal(flag: str, folder: Path, error: OSError) -> str:
    """The sentence on a folder that cannot be made or written to."""
    done = "written to" if folder.is_dir() else "made"
    return f"--{flag}={folder}: cannot be {done} ({error.strerror or error}), expected a folder that can"


def check_folder(folder: Path, flag: str) -> None:
    """Tries whether files can be written into `folder`, made where it is absent; nothing is left behind.

    Args:
      folder: where a command will write, which is said before its work.
      flag: the flag that names it.

    Raises:
      BadInput: it cannot be made or written to, or the disk is full.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    temporary = temporary_beside(folder / "tried")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(b"\0")
    except OSError as error:
        raise BadInput(refusal(flag, folder, error)) from error
    finally:
        with contextlib.suppress(OSError):  # what could not be written is not there
            temporary.unlink()
        for place in made:
            with contextlib.suppress(OSError):
                place.rmdir()


def check_file(path: Path, flag: str) -> None:
    """Tries whether a file can be written at `path`, as `check_folder` does.

    Raises:
      BadInput: it is a folder, or its folder cannot be made or written to, or the disk is full.
    """
    if path.is_dir():
        raise BadInput(f"--{flag}={path}: is a folder, expected the name of a file to write")
    check_folder(path.parent, flag)
