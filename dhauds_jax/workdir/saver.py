"""Saved states of unfinished runs: written to a temporary name and renamed, read back bit for bit."""

from __future__ import annotations

import json
import operator
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.errors import BadInput
from dhauds_jax.files import put_in_place

ASKED_EVERY = 32
"""Steps at the most between two times that the processes of a run ask the first one whether to save."""


class Saver:
    """Keeps the latest state of one run in a folder, at most every `every_s` seconds.

    A state is a pytree of arrays and a JSON-able dict. The same command run again goes on from it; since everything
    random follows from key and position, the end result does not depend on when the run was killed.

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
        self.folder = Path(folder).resolve()
        self.every_s = every_s
        self.identity = identity
        self.same = same
        self._last = time.monotonic()
        self._calls, self._ask_at = 0, 1

    def due(self) -> bool:
        """Whether `every_s` seconds have passed since the last time, by the first process's clock."""
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
        """Saves when it is `due`, or `always`; says whether it did."""
        if not always and not self.due():
            return False
        from orbax.checkpoint import v1 as ocp

        step = int(info["position"])
        target, temporary = self.folder / f"{step:08d}", self.folder / f"{step:08d}.tmp"
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        if parallel.writes():
            shutil.rmtree(temporary, ignore_errors=True)  # of a killed run
            temporary.mkdir(parents=True)
        parallel.wait("state")
        ocp.save(temporary / "leaves", {f"{i:06d}": leaf for i, leaf in enumerate(leaves)})  # waits for all processes
        if parallel.writes():
            (temporary / "info.json").write_text(json.dumps({**info, "identity": self.identity}))
            shutil.rmtree(target, ignore_errors=True)
            os.rename(temporary, target)
            for old in self.folder.iterdir():
                if old != target:
                    shutil.rmtree(old)
        self._last, self._calls, self._ask_at = time.monotonic(), 0, 1
        return True

    def _saved(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.is_dir() and p.name.isdigit())

    def load(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The latest state in the structure of `like`, with its info; None when there is none.

        Raises:
          BadInput: the state is of a run with another identity, or its leaves do not fit `like` (it belongs to
            another version); or the processes of a run find different ones.
        """
        saved = self._saved()
        parallel.same_everywhere(int(saved[-1].name) if saved else 0, "saved states")
        if not saved:
            return None
        from orbax.checkpoint import v1 as ocp

        info = json.loads((saved[-1] / "info.json").read_text())
        if not self.same(info.pop("identity", None), self.identity):
            raise BadInput(
                f"{self.folder} holds an unfinished run with other options: give the same command to go on with it, or "
                "remove the folder to start anew"
            )
        stored = ocp.load(saved[-1] / "leaves")
        leaves, structure = jax.tree.flatten(like)
        arrays = [stored[name] for name in sorted(stored)]
        wanted = [(np.shape(x), np.asarray(x).dtype) for x in leaves]
        if [(a.shape, a.dtype) for a in arrays] != wanted:
            raise BadInput(f"{saved[-1]} holds the state of another run or version: remove {self.folder} to start anew")
        return jax.tree.unflatten(structure, [jnp.asarray(a) for a in arrays]), info

    def move(self, folder: Path) -> None:
        """Moves what is saved to another folder, in place of what lies there: the run is finished, and may go on."""
        if parallel.writes() and self._saved():
            put_in_place(self.folder, Path(folder).resolve())

    def clear(self) -> None:
        """Forgets the run: it is finished."""
        if parallel.writes():
            shutil.rmtree(self.folder, ignore_errors=True)
