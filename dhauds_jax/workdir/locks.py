"""Locks on a work folder: a file that says who works there, taken over when its holder is dead.

A command holds its whole work folder: two in one folder would write the same unfinished states and checkpoint. Commands
that are made to share one (the shards of a leaderboard: no two have a cell in common, and results are appended) hold
their shard of it instead.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dhauds_jax import files, json_texts, parallel
from dhauds_jax.errors import BadInput
from dhauds_jax.files import temporary_beside

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FILE = "run.lock"
"""Of a whole folder; that of a shard is `run-2-of-8.lock`."""

_HELD: set[Path] = set()
"""Folders that this process holds, whole or a shard: commands inside commands take nothing more."""


def holding(field: str = "workdir") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates `function(run, ...)` so that it holds the folder it works in: `run.workdir`, or another field."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def in_held_folder(run: Any, *args: Any, **kwargs: Any) -> Any:
            with held(Path(getattr(run, field)), flag=field):
                return function(run, *args, **kwargs)

        return in_held_folder

    return decorate


@contextlib.contextmanager
def held(folder: Path, shard: tuple[int, int] | None = None, flag: str = "workdir") -> Iterator[None]:
    """Holds `folder` while the block runs; it is made, and removed again when nothing was written there.

    The lock's file has the host, the process and when it began. One whose process on this host is dead (killed, or
    before a restart) is taken over, and what that one had not finished writing is removed. Inside a block that holds
    the folder already nothing happens. Of several processes of one run the first one holds it for all; all must call.

    Args:
      folder: the work folder.
      shard: (place, count) where the command does the place-th of `count` parts of the work; others of the same count
        may then hold their own. None: all of it.
      flag: the flag that names the folder, for sentences.

    Raises:
      BadInput: another process holds it; the sentence says which. Or it cannot be made or written to.
    """
    given, folder = folder, folder.resolve()
    if folder in _HELD:
        yield
        return
    path = folder / (FILE if shard is None else f"run-{shard[0]}-of-{shard[1]}.lock")
    made, refusal = [place for place in (folder, *folder.parents) if not place.exists()], ""
    if parallel.writes():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            refusal = _taken(path, flag)
        except OSError as error:
            refusal = files.refusal(flag, given, error)
    if parallel.of_first(bool(refusal)):
        raise BadInput(refusal or f"{folder}: the first process of this run says that another command works there")
    _HELD.add(folder)
    try:
        yield
    except KeyboardInterrupt:  # it may have come while something was cleaned up
        if parallel.writes():
            with contextlib.suppress(OSError):  # a folder that another shard takes away meanwhile
                files.remove_left(folder, below=True, checkpoints=path.name == FILE, own=True)
        raise
    finally:
        _HELD.remove(folder)
        if parallel.writes():
            # What the block raised is to be said: a lock that could not be removed now is taken over later.
            with contextlib.suppress(OSError), _alone(folder):
                holder = _read(path) or {}
                if (holder.get("host"), holder.get("pid")) == (socket.gethostname(), os.getpid()):
                    path.unlink()
            for place in made:
                with contextlib.suppress(OSError):  # there is something in it
                    place.rmdir()


def _taken(path: Path, flag: str) -> str:
    """Takes the lock `path` of the folder that `flag` names, or says why not."""
    temporary, stale = temporary_beside(path), False
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    with _alone(path.parent):
        files.remove_left(path)  # of one that was killed while it took the lock
        temporary.write_text(json.dumps({**mine, "start": start_of(os.getpid())}) + "\n", encoding="utf-8")
        try:
            _link(temporary, path)  # fails where there is one, whichever host was quicker
        except FileExistsError:
            holder = _read(path)
            if holder is not None and not _is_dead(holder):
                return _sentence(path, holder, flag)
            os.replace(temporary, path)
            stale = True
        finally:
            temporary.unlink(missing_ok=True)
        # After one's own is there, so that of two hosts that come at once at least one sees the other.
        for other in sorted(path.parent.glob("run*.lock")):
            holder = None if _go_together(path, other) else _read(other)
            if holder is not None and not _is_dead(holder):
                path.unlink()
                return _sentence(other, holder, flag)
    if stale:
        files.remove_left(path.parent, below=True, checkpoints=path.name == FILE)
    return ""


def _link(temporary: Path, path: Path) -> None:
    """Puts the finished file at `path` unless there is one; raises `FileExistsError` then."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except (AttributeError, OSError):  # this system or disk has no hard links: another host may see the file empty
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(handle, "wb") as file:
            file.write(temporary.read_bytes())


def _go_together(one: Path, other: Path) -> bool:
    """Whether two locks may be held at once: a file with itself, and two shards of one count."""
    counts = [path.stem.partition("-of-")[2] for path in (one, other)]
    return one == other or (counts[0] == counts[1] != "")


def _sentence(path: Path, holder: dict[str, Any], flag: str) -> str:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    return (
        f"{path.parent}: another command is running here ({who}); wait for it or give another --{flag}, or remove "
        f"{path} if that machine is gone"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of this host reads or writes the lock meanwhile; the kernel ends it with the process.

    Where the system has no such locks, the one that is made first still wins (`_link`).
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network folders have no such locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _read(path: Path) -> dict[str, Any] | None:
    """The holder; None without a file, or with one that is empty or no JSON (its writer lost power)."""
    try:
        found = json_texts.read(path)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process of this host that is there no more; elsewhere nobody can tell."""
    if holder.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (KeyError, ValueError, PermissionError):
        return False
    return start_of(int(holder["pid"])) not in (None, holder.get("start"))


def start_of(pid: int) -> str | None:
    """When a process began, in clock ticks since this boot, with the boot; None where the system does not say.

    A number of a dead process is given to new ones, which differ in this; a zombie counts as dead.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return "zombie" if fields[0] == "Z" else f"{boot}:{fields[19]}"
