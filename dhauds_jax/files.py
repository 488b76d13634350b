"""Files and folders that appear whole or not at all: written under a name of their own beside the place, then renamed.

A reader never sees half of one, a killed command leaves the older one as it was, and two processes that write the same
place at once, on one machine or on two, never share a temporary name: the last one to finish is the one that stays.
What was written is on the disk before it gets its name: a file system may keep a name and lose the bytes when the power
goes, and nobody could tell such an empty file from a finished one.
Names of files that no text can hold are escaped here, in one way for all that is written and printed.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import glob
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
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""Both sets of controls, the marks that turn a line's direction, two that end a line, and what UTF-8 cannot hold."""
_UNPRINTABLE = re.compile(rf"[{_CONTROLS}]|\\(?=x[0-9a-f]{{2}}|u[0-9a-f]{{4}})")
_CONTROL = re.compile(rf"[{_CONTROLS}]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)|-")


def printable(name: str | os.PathLike[str]) -> str:
    """A file's name as every text, table and terminal can hold it: bytes that are not UTF-8, and controls, as `\\xe9`.

    Controls beyond ASCII, those that turn a line's direction among them, are `\\u202e`. Two names stay two: a backslash
    that would read as such an escape is one itself (`\\x5c`). Other names stay as they are.
    """
    return _UNPRINTABLE.sub(_escape, os.fspath(name))


def one_line(text: str, kept: str = "") -> str:
    """A sentence, or a text of a file, that cannot move a cursor or begin a line: its controls as `printable` has them.

    Backslashes stay, so that names which are escaped already are not escaped again; so do the characters of `kept`.
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in kept else _escape(found), text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        code &= 0xFF
    elif code > 0x7F:
        return f"\\u{code:04x}"
    return f"\\x{code:02x}"


def is_inside(name: str | os.PathLike[str]) -> bool:
    """Whether a path that a file names stays in the folder that it is joined to: relative, and without "..".

    Links are not looked at: who owns the folder has set them.
    """
    text = os.fspath(name)
    return not (text.startswith("/") or os.path.isabs(text) or "\0" in text or ".." in Path(text).parts)


def for_spreadsheet(cell: object) -> object:
    """A cell of a table that a spreadsheet takes for no formula: "'" stands before a text that begins as one.

    Controls are escaped, for a carriage return would begin a row. Numbers, also those that are texts, stay as they are.
    """
    if not isinstance(cell, str):
        return cell
    text = one_line(cell)
    return f"'{text}" if text[:1] in _FORMULA and text and not _NUMBER.fullmatch(text) else text


_FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"  # the last four are the others of full width


def check_no_link(path: Path) -> None:
    """Raises `BadInput` where a file that is added to, or a folder that is cleared, is a link to another place."""
    if path.is_symlink():
        raise BadInput(
            f"{path}: is a link to {os.readlink(path)}, expected a place of its own, for what it leads to would be "
            "changed; remove the link, or copy here what it leads to"
        )


def check_no_links(workdir: Path | str, *names: str) -> None:
    """Raises `BadInput` where a folder of these names in a work folder, which is written into, leads elsewhere."""
    for name in names:
        check_no_link(Path(workdir) / name)


def temporary_beside(path: Path) -> Path:
    """A name in the folder of `path` that no other call gives, in this or another process of any machine."""
    return path.with_name(f"{path.name}.tmp-{socket.gethostname()}-{os.getpid()}-{next(_COUNTER)}")


def remove_left(place: Path, below: bool = False, checkpoints: bool = False, own: bool = False) -> None:
    """Removes what killed processes of this host left under temporary names, of `place` and in it where it is a folder.

    Args:
      place: a file or a folder that a command writes.
      below: whether all folders below it are looked through.
      checkpoints: whether nobody else writes there, so that checkpoints without a process in their names go too.
      own: whether this process writes nothing any more, so that what it left goes too.
    """
    ours = rf".+\.tmp-{re.escape(socket.gethostname())}-(\d+)-\d+"
    beside = place.parent.glob(f"{glob.escape(place.name)}.tmp-*")
    inside = (place.rglob if below else place.glob)("*.tmp-*") if place.is_dir() else ()
    for path in [*beside, *inside]:
        found = re.fullmatch(ours, path.name)
        left = found and (is_gone(int(found[1])) or (own and int(found[1]) == os.getpid()))
        if not left and not (checkpoints and _OF_A_CHECKPOINT.fullmatch(path.name)):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


_OF_A_CHECKPOINT = re.compile(r".+\.tmp-[0-9a-f]{8}")


def is_gone(pid: int) -> bool:
    """Whether no process of this host has this number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's
        return False
    return False


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
            temporary.unlink(missing_ok=True)  # of a killed process of this one's number
            with temporary.open("xb") as file:  # a file of its own: nothing is written through a link
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode("utf-8") if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only when something went wrong


def write_csv(path: Path, rows: Iterable[Sequence[object]], end: str = "\n", exact: bool = False) -> None:
    """Writes a table in one piece, its first row the names of the columns, each row with `end` behind.

    Args:
      path: where.
      rows: its cells, `for_spreadsheet`.
      end: of each row.
      exact: whether a command reads the table back, so that every cell is written as it is.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end).writerows(rows if exact else (map(for_spreadsheet, row) for row in rows))
    write_atomically(path, text.getvalue())


def sync(folder: Path) -> None:
    """Puts every file below a folder, and the names in it, on the disk; call it before the folder gets its name.

    Of many files the whole file system is told at once, where the system can (Linux).
    """
    below = [path for path in folder.rglob("*") if not path.is_symlink() and (path.is_file() or path.is_dir())]
    if len(below) > _MANY and _synced_whole(folder):
        return
    for path in (*below, folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # folders of some network disks
                raise
        finally:
            os.close(handle)


_MANY = 64  # files, beyond which one call for all is quicker than one each


def _synced_whole(folder: Path) -> bool:
    """Whether the file system of a folder could be told to put all on the disk."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError, TypeError):
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        return syncfs(handle) == 0
    finally:
        os.close(handle)


def put_in_place(temporary: Path, folder: Path) -> None:
    """Renames a finished folder to `folder`; an older one stays whole until then and is removed after.

    Where the system can exchange two names in one step (Linux), there is no moment without a folder of that name. A
    link of that name goes; what it leads to stays as it is.
    """
    if folder.is_symlink():
        folder.unlink()
    sync(temporary)
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
