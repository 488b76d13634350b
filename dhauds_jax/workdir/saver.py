"""Saved states of unfinished runs: written to a temporary name and renamed, read back bit for bit."""

from __future__ import annotations

import contextlib
import json
import operator
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import interrupts, json_texts, parallel, schemas
from dhauds_jax.errors import BadInput, unreadable
from dhauds_jax.files import check_no_link, named, put_in_place
from dhauds_jax.interrupts import Stopped
from dhauds_jax.wording import differing, kind_of

_NAME = re.compile(r"\d{8}(-\d{8})?")
_OURS = re.compile(rf"{_NAME.pattern}(\.tmp)?")

INFO = "info.json"
SCHEMA = schemas.Schema(2)
"""Of a saved state. 2 says its number and who wrote it in `info.json`; 1 says neither, and is the same otherwise."""

ASKED_EVERY = 32
"""Steps at the most between two times that the processes of a run ask the first one whether to save."""


class Saver:
    """Keeps the latest state of one run in a folder, at most every `every_s` seconds.

    A state is a pytree of arrays and a JSON-able dict. The same command run again goes on from it; since everything
    random follows from key and position, the end result does not depend on when the run was killed. In a block of
    `watching` Ctrl-C makes the next state due, and the run stops when it has been written.

    A run of several processes has a saver in each: all call `due`, `save`, `load` and `clear` at the same places, the
    first one's clock decides and the first one writes. Whoever calls holds the work folder's lock
    (`dhauds_jax.workdir.locks`), so nobody else writes here.
    """

    def __init__(
        self,
        folder: Path,
        every_s: float = 20.0,
        identity: Any = None,
        same: Callable[[Any, Any], bool] = operator.eq,
    ):
        """Keeps states in `folder`; with an `identity` (JSON-able) only those of a run with the same one are loaded.

        `same(stored, identity)` says what counts as the same.
        """
        self.folder = Path(folder).parent.resolve() / Path(folder).name  # not where a link of that name leads
        self.every_s = every_s
        self.identity = identity
        self.same = same
        self._last = time.monotonic()
        self._calls, self._ask_at = 0, 1
        self._asked: Callable[[], bool] = interrupts.never

    def asked(self) -> bool:
        """Whether Ctrl-C came in a block of `watching`."""
        return self._asked()

    @contextlib.contextmanager
    def watching(self, unfinished: Callable[[Stopped], tuple[Any, dict[str, Any]]] | None = None) -> Iterator[None]:
        """A block that Ctrl-C ends with the next `save`, which is then due at once; `asked` says that it came.

        Of a run of several processes each would stop at another step: there Ctrl-C ends the process at once.

        Args:
          unfinished: makes of a pass that was broken off (`Stopped`) the state and the info to save; "position",
            "updates" and "losses" are added.
        """
        if jax.process_count() > 1:
            yield
            return
        with interrupts.deferred() as self._asked:
            try:
                yield
            except Stopped as stopped:
                if unfinished is not None:
                    tree, info = unfinished(stopped)
                    within = {"updates": stopped.updates, "losses": stopped.losses}
                    self.save(tree, {"position": stopped.passes, **info, **within})
                raise
            finally:
                came, self._asked = self.asked(), interrupts.never
        if came:  # after the last save
            raise interrupts.BetweenSteps

    def due(self) -> bool:
        """Whether `every_s` seconds have passed since the last time, by the first process's clock, or Ctrl-C came."""
        if self.asked():
            return True
        if jax.process_count() == 1:
            return self._in_calls() == 0
        self._calls += 1
        if self._calls < self._ask_at:
            return False
        calls = parallel.of_first(self._in_calls())
        self._ask_at = self._calls + calls
        return calls == 0

    def _in_calls(self) -> int:
        """0 when a save is due, else after how many calls to ask again: half of those that fit into what is left."""
        passed = time.monotonic() - self._last
        if passed >= self.every_s:
            return 0
        fit = (self.every_s - passed) * self._calls / (2 * passed) if passed else 1
        return int(min(max(1, fit), ASKED_EVERY))

    def save(self, tree: Any, info: dict[str, Any], always: bool = False) -> bool:
        """Saves when it is `due`, or `always`; says whether it did.

        Args:
          tree: the state.
          info: its "position" grows from save to save; in an unfinished pass so does "updates" beside it.
          always: whether it is due in any case.

        Raises:
          BetweenSteps: Ctrl-C came, and the state has been written.
          BadInput: the folder is a link: the states of another place would be removed. Or the disk did not answer, or
            the clock was set: the older state is there.
        """
        if not always and not self.due():
            return False
        check_no_link(self.folder)
        name = f"{int(info['position']):08d}" + (f"-{info['updates']:08d}" if info.get("updates") else "")
        target, temporary = self.folder / name, self.folder / f"{name}.tmp"
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        try:
            self._write(leaves, info, target, temporary)
        finally:
            if parallel.writes():
                shutil.rmtree(temporary, ignore_errors=True)  # there only when something went wrong: a full disk
        self._last, self._calls, self._ask_at = time.monotonic(), 0, 1
        if self.asked():
            raise interrupts.BetweenSteps(interrupts.KEPT)
        return True

    def _write(self, leaves: list[np.ndarray], info: dict[str, Any], target: Path, temporary: Path) -> None:
        """Writes a state under a temporary name, renames it and removes the older ones."""
        from orbax.checkpoint import v1 as ocp

        if parallel.writes():
            shutil.rmtree(temporary, ignore_errors=True)  # of a killed run
            temporary.mkdir(parents=True)
        parallel.wait("state")
        # Orbax takes no array without numbers, such as a memory of no clips. The call waits for all processes.
        try:
            ocp.save(temporary / "leaves", {f"{i:06d}": leaf for i, leaf in enumerate(leaves) if leaf.size})
        except TimeoutError as error:  # it goes by the wall clock
            raise BadInput(
                f"{temporary}: was not written in time ({error}), expected a disk that answers and a clock that is not "
                "set meanwhile; the state before is kept: give the same command again"
            ) from error
        if parallel.writes():
            with named(temporary):
                about = {**schemas.stamp(SCHEMA), **info, "identity": self.identity}
                (temporary / INFO).write_text(json.dumps(about))
            put_in_place(temporary, target)  # one of the same position may lie there, and stays whole until then
            self._remove_others(target)

    def _remove_others(self, kept: Path) -> None:
        """Removes the states but one: what else lies there is nobody's to remove."""
        for old in self.folder.iterdir():
            if old != kept and _OURS.fullmatch(old.name) and not old.is_symlink():
                shutil.rmtree(old)

    def _saved(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))

    def load(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The latest state in the structure of `like`, with its info; None when there is none.

        Raises:
          BadInput: the state is of a run with another identity, a newer version wrote it, or its leaves do not fit
            `like` (it belongs to another version); or the processes of a run find different ones.
        """
        saved = self._saved()
        parallel.same_everywhere(int(saved[-1].name.replace("-", "")) if saved else 0, "saved states")
        if not saved:
            return None
        again = f"what a run has saved; remove {self.folder} to start anew"
        info = schemas.migrated(json_texts.object_of(saved[-1] / INFO, again), SCHEMA, str(self.folder))
        identity = info.pop("identity", None)
        if not self.same(identity, self.identity):
            both = isinstance(identity, dict) and isinstance(self.identity, dict)
            names = f" ({differing(identity, self.identity)})" if both else ""
            raise BadInput(
                f"{self.folder} holds an unfinished run with other options{names}: give the same command to go on with "
                "it, or remove the folder to start anew"
            )
        stored = _leaves(saved[-1], again)
        leaves, structure = jax.tree.flatten(like)
        wanted = {f"{i:06d}": (np.shape(x), np.asarray(x).dtype) for i, x in enumerate(leaves) if np.size(x)}
        if {name: (np.shape(a), getattr(a, "dtype", None)) for name, a in stored.items()} != wanted:
            raise BadInput(f"{saved[-1]} holds the state of another run or version: remove {self.folder} to start anew")
        arrays = [jnp.asarray(stored.get(f"{i:06d}", x)) for i, x in enumerate(leaves)]
        return jax.tree.unflatten(structure, arrays), info

    def info(self) -> dict[str, Any]:
        """What was saved beside the latest state, its "identity" among it; empty where none can be read."""
        for saved in self._saved()[-1:]:
            with contextlib.suppress(OSError, ValueError):
                return schemas.migrated(json_texts.object_of(saved / INFO, "an object"), SCHEMA, str(self.folder))
        return {}

    def move(self, folder: Path) -> None:
        """Moves what is saved to another folder, in place of what lies there: the run is finished, and may go on."""
        if parallel.writes() and (saved := self._saved()):
            self._remove_others(saved[-1])  # of a process that was killed before it removed them
            put_in_place(self.folder, Path(folder).resolve())

    def clear(self) -> None:
        """Forgets the run: it is finished."""
        if parallel.writes():
            shutil.rmtree(self.folder, ignore_errors=True)


def _leaves(saved: Path, expected: str) -> Mapping[str, Any]:
    """The arrays of a state; raises `BadInput` for what Orbax cannot read, whatever it says."""
    from orbax.checkpoint import v1 as ocp

    try:
        found = ocp.load(saved / "leaves")
    except Exception as error:  # of a damaged file: whatever its parts raise
        raise BadInput(f"{saved}: its arrays {unreadable(error)}, expected {expected}") from error
    if not isinstance(found, Mapping):
        raise BadInput(f"{saved}: holds {kind_of(found)}, expected {expected}")
    return found


def watching(
    saver: Saver | None, unfinished: Callable[[Stopped], tuple[Any, dict[str, Any]]] | None = None
) -> contextlib.AbstractContextManager[None]:
    """`saver.watching(unfinished)`; without a saver a block like any other."""
    return contextlib.nullcontext() if saver is None else saver.watching(unfinished)
