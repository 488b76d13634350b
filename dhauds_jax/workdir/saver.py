"""Saved states of unfinished runs: written to a temporary name and renamed, read back bit for bit."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.errors import BadInput
from dhauds_jax.parallel import writes


class Saver:
    """Keeps the latest state of one run in a folder, at most every `every_s` seconds.

    A state is a pytree of arrays and a JSON-able dict. The same command run again goes on from it; since everything
    random follows from key and position, the end result does not depend on when the run was killed.
    """

    def __init__(self, folder: Path, every_s: float = 20.0, identity: Any = None):
        """Keeps states in `folder`; with an `identity` (JSON-able) only those of a run with the same one are loaded."""
        self.folder = Path(folder).resolve()
        self.every_s = every_s
        self.identity = identity
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether `every_s` seconds have passed since the last time."""
        return time.monotonic() - self._last >= self.every_s

    def save(self, tree: Any, info: dict[str, Any], force: bool = False) -> bool:
        """Saves when it is `due` (or `force`), in the first process of a run alone; says whether it did."""
        if not writes() or not (force or self.due()):
            return False
        from orbax.checkpoint import v1 as ocp

        step = int(info["position"])
        target, temporary = self.folder / f"{step:08d}", self.folder / f"{step:08d}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        ocp.save(temporary / "leaves", {f"{i:06d}": leaf for i, leaf in enumerate(leaves)})
        (temporary / "info.json").write_text(json.dumps({**info, "identity": self.identity}))
        shutil.rmtree(target, ignore_errors=True)
        os.rename(temporary, target)
        for old in self._saved():
            if old != target:
                shutil.rmtree(old)
        self._last = time.monotonic()
        return True

    def _saved(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.is_dir() and p.name.isdigit())

    def load(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The latest state in the structure of `like`, with its info; None when there is none.

        Raises:
          BadInput: the state is of a run with another identity, or its leaves do not fit `like` (it belongs to
            another version).
        """
        saved = self._saved()
        if not saved:
            return None
        from orbax.checkpoint import v1 as ocp

        info = json.loads((saved[-1] / "info.json").read_text())
        if info.pop("identity", None) != self.identity:
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

    def clear(self) -> None:
        """Forgets the run: it is finished."""
        if writes():
            shutil.rmtree(self.folder, ignore_errors=True)
