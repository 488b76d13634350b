"""Sessions in a folder: their states by Orbax, so that they go on after a restart. No sound is ever written.

A session's name becomes the name of a folder only after it was found to be 32 hexadecimal digits (or `SHARED`). States
are written by one thread of their own; where the folder is read-only or the disk full that is said once, in a sentence,
and sessions go on in memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dhauds_jax import schemas
from dhauds_jax.errors import BadInput, sentence
from dhauds_jax.files import check_folder
from dhauds_jax.workdir.saver import Saver

_NAME = re.compile(r"[0-9a-f]{32}")
_IDENTITY = re.compile(r"[0-9a-f]{16}")

SHARED = "shared"
"""The name of the one session of `--adapt=shared`; no client can give it."""

KEPT_S = 7 * 24 * 3600.0
"""Seconds for which a session that nobody asks for stays in the folder."""

TIDIED_S = 3600.0
"""Seconds between two times that the folder is looked through for those."""

LEFT = 0.9
"""Share of the most bytes that is left when sessions had to go: the next ones need not."""

UNWRITTEN = "sessions go on, but a restart will not find them: give a folder that can be written"
UNREAD = "it is left alone: remove it, or give another folder"
"""What follows from a fault."""


def is_name(name: str) -> bool:
    """Whether a text is a session's name: 128 bits in hexadecimal digits, or `SHARED`."""
    return name == SHARED or _NAME.fullmatch(name) is not None


class Snapshots:
    """The folder of `--session_dir`: FOLDER/IDENTITY/NAME is a session, IDENTITY the digest of `identity`.

    Args:
      folder: made where it is absent.
      identity: JSON-able, what states of other models, methods and options differ in; those lie elsewhere.
      say: is given each sentence about what cannot be written or read, once.
      most_bytes: of all that lies there, beyond which the sessions that were asked for longest ago go; None: no bound.

    Attributes:
      removed: sessions that had to go.
    """

    def __init__(
        self,
        folder: Path | str,
        identity: Mapping[str, Any],
        say: Callable[[str], None] = print,
        most_bytes: int | None = None,
    ) -> None:
        self.folder, self._identity, self._say, self.removed = Path(folder), dict(identity), say, 0
        # What lay there when it was looked at, and what was written since: an older state of a session counts twice.
        self._most, self._bytes, self._lock = most_bytes, 0, threading.Lock()
        self._own = self.folder / hashlib.sha256(json.dumps(self._identity, sort_keys=True).encode()).hexdigest()[:16]
        self._said: set[str] = set()
        self._unread: set[str] = set()
        self._writer = ThreadPoolExecutor(1, "snapshots")
        self._pending: dict[str, Future] = {}
        try:
            check_folder(self.folder, "session_dir")
            self.folder.mkdir(parents=True, exist_ok=True)
            self.tidy()
            self._make_room()
        except (BadInput, OSError) as error:
            self._tell(error, UNWRITTEN)

    def save(self, name: str, state: Any, told: Mapping[str, Any]) -> None:
        """Writes a session's state and what is told of it, in place of the older one, as soon as the writer can.

        Args:
          name: of the session.
          state: a pytree of arrays, which must not change any more.
          told: JSON-able, with "counts".

        What could not be read there is left alone.
        """
        saver = self._saver(name)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
        if name in self._unread:
            return
        info = {**told, "position": int(told["counts"].get("tried", 0))}
        self._pending[name] = self._writer.submit(self._write, saver, leaves, info)

    def _write(self, saver: Saver, leaves: list[np.ndarray], info: dict[str, Any]) -> None:
        try:
            saver.save(leaves, info, always=True)
            if self._most is not None:
                self._bytes += _bytes_of(saver.folder)
                if self._bytes > self._most:
                    self._make_room()
        except Exception as error:
            self._tell(error, UNWRITTEN)

    def _make_room(self) -> None:
        """Removes the sessions, of any identity, that were asked for longest ago, where they hold too many bytes.

        The one that was asked for last stays, however large it is.
        """
        if self._most is None:
            return
        found = sorted((place.stat().st_mtime, place, _bytes_of(place)) for place in self._places())
        self._bytes = sum(size for *_, size in found)
        if self._bytes <= self._most:
            return
        self._tell(
            f"holds more than {self._most / 2**20:g} MB",
            "sessions that were asked for longest ago are removed: give more (--session_dir_mb) if they are to stay",
        )
        for used, place, size in found[:-1]:
            if self._bytes <= LEFT * self._most:
                return
            with self._lock, contextlib.suppress(OSError):  # it is gone by now
                if place.stat().st_mtime == used:
                    shutil.rmtree(place, ignore_errors=True)
                    self.removed, self._bytes = self.removed + 1, self._bytes - size

    def load(self, name: str, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """A session's state in the structure of `like` and what was told of it; None where there is none that fits."""
        if not is_name(name):
            return None
        self._finish(name)
        try:
            with self._lock:
                found = self._saver(name).load(like)
                self._touch(name)
            return found
        except schemas.Newer as error:
            self._tell(error, UNREAD)
        except BadInput:
            self._tell("a session of another model, method or version lies there", UNREAD)
        except Exception as error:
            self._tell(error, UNREAD)
        self._unread.add(name)
        return None

    def delete(self, name: str) -> None:
        """Forgets a session."""
        saver = self._saver(name)
        self._finish(name)
        saver.clear()

    def flush(self) -> None:
        """Waits until everything is written."""
        for name in list(self._pending):
            self._finish(name)

    def close(self) -> None:
        """Waits until everything is written, and ends the writer."""
        self.flush()
        self._writer.shutdown()

    def _finish(self, name: str) -> None:
        future = self._pending.pop(name, None)
        if future is not None:
            future.result()

    def _saver(self, name: str) -> Saver:
        if not is_name(name):
            raise ValueError("a session's name is 32 hexadecimal digits")
        return Saver(self._own / name, identity=self._identity)

    def count(self) -> tuple[int, int]:
        """How many sessions lie there of this identity, and how many of others, whose names are unknown here."""
        ours = set(self._places())
        own = sum(one.parent == self._own for one in ours)
        return own, len(ours) - own

    def _places(self) -> Iterator[Path]:
        """The folders of sessions of any identity; only what a `Saver` wrote."""
        for place in {record.parents[1] for record in self.folder.glob("*/*/*/info.json")}:
            links = place.is_symlink() or place.parent.is_symlink()
            if is_name(place.name) and _IDENTITY.fullmatch(place.parent.name) and not links:
                yield place

    def tidy(self, used: Iterable[str] = ()) -> None:
        """Removes the sessions, of any identity, that nobody asked for since `KEPT_S`.

        Args:
          used: names of those in memory, which stay.
        """
        for name in used:
            self._touch(name)
        for place in self._places():
            with contextlib.suppress(OSError):  # it is gone by now, or another's
                if place.stat().st_mtime < time.time() - KEPT_S:
                    shutil.rmtree(place, ignore_errors=True)

    def _touch(self, name: str) -> None:
        """Notes that a session was asked for."""
        with contextlib.suppress(OSError):  # nothing is written of it, or nothing can be
            os.utime(self._own / name)

    def _tell(self, fault: Exception | str, what_now: str) -> None:
        """Says a fault once; names of sessions are left out, for who knows one has the session."""
        said = fault if isinstance(fault, str) else sentence(fault) or f"{type(fault).__name__}: {fault}"
        said = _NAME.sub("SESSION", " ".join(said.split()))
        flag = f"--session_dir={self.folder}: "
        text = f"{flag}{said.removeprefix(flag)}; {what_now}"
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _bytes_of(folder: Path) -> int:
    """Of the files in a folder, those of its folders too."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
