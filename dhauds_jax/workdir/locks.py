"""A lock on a work folder: a file that says who works there, taken over when its holder is dead."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dhauds_jax.errors import BadInput

FILE = "sweep.lock"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds `folder/sweep.lock` while the block runs; the folder is made.

    The file has the host, the process, when it began and its command. One whose process on this host is dead (killed,
    or before a restart) is taken over.

    Raises:
      BadInput: another process holds it; the sentence says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / FILE, _mine()
    temporary = path.with_name(f"{FILE}.tmp-{mine['host']}-{mine['pid']}")
    with _alone(folder):
        temporary.write_text(json.dumps(mine) + "\n", encoding="utf-8")
        try:
            os.link(temporary, path)  # fails where there is one, whichever host was quicker
        except FileExistsError:
            holder = _read(path)
            if holder is not None and not _is_dead(holder):
                raise BadInput(_sentence(folder, holder)) from None
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    try:
        yield
    finally:
        with _alone(folder):
            if _read(path) == mine:
                path.unlink()


def _sentence(folder: Path, holder: dict[str, Any]) -> str:
    who = f"process {holder.get('pid')} on {holder.get('host')}, since {holder.get('since')}"
    return (
        f"{folder}: a sweep is running here ({who}); wait for it or give another --workdir, or remove "
        f"{folder / FILE} if that machine is gone"
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process of this host reads or writes the lock meanwhile; the kernel ends it with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network folders have no such locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _mine() -> dict[str, Any]:
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "start": _start(os.getpid())}


def _read(path: Path) -> dict[str, Any] | None:
    """The holder; None without a file, or with one that is empty or no JSON (its writer lost power)."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
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
    return _start(int(holder["pid"])) not in (None, holder.get("start"))


def _start(pid: int) -> str | None:
    """When a process began, in clock ticks since this boot, with the boot; None where the system does not say.

    A number of a dead process is given to new ones, which differ in this; a zombie counts as dead.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return "zombie" if fields[0] == "Z" else f"{boot}:{fields[19]}"
