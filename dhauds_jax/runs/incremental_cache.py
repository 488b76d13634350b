"""What was read of the network, kept: in memory up to a budget, beyond it in files that are checked before use."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from dhauds_jax import digests
from dhauds_jax.files import write_atomically

FOLDER = "cache"
"""In the work folder, for what does not fit into memory."""

_BLOCK = 1 << 24  # bytes that are digested in one go


class Cache:
    """Arrays by what they follow from.

    A file of the cache is used only if its own manifest says that it follows from the same things, and its bytes are
    those that were written; else it is made anew.

    Args:
      budget_mb: of all arrays in memory, in MiB.
      folder: where those lie that do not fit.
      always: whether all are kept there, for the next command.
    """

    def __init__(self, budget_mb: float, folder: Path, always: bool) -> None:
        self._left = int(budget_mb * 2**20)
        self._folder, self._always = Path(folder), always
        self._held: dict[str, np.ndarray] = {}
        self.made = 0

    def of(
        self, known: Mapping[str, Any], shape: tuple[int, ...], fill: Callable[[np.ndarray], Any]
    ) -> Float32[np.ndarray, "..."]:
        """The array that follows from `known`: as it was kept, or filled now.

        Args:
          known: JSON-able; names the array.
          shape: of it, float32.
          fill: writes it into an array of that shape.
        """
        key = digests.of_text(json.dumps(known, sort_keys=True))
        if key in self._held:
            return self._held[key]
        size = 4 * int(np.prod(shape))
        fits = size <= self._left
        if fits and not self._always:
            found = np.zeros(shape, np.float32)
            fill(found)
            self.made += 1
        else:
            found = self._in_file(key, json.loads(json.dumps(known)), shape, fill)
            found = np.array(found) if fits else found
        self._left -= size if fits else 0
        self._held[key] = found
        return found

    def drop(self, known: Mapping[str, Any]) -> None:
        """Lets go of an array that is not asked for again, and of its file."""
        key = digests.of_text(json.dumps(known, sort_keys=True))
        found = self._held.pop(key, None)
        if found is not None and not isinstance(found, np.memmap):
            self._left += found.nbytes
        for path in (self._folder / f"{key}.json", self._folder / f"{key}.npy"):
            path.unlink(missing_ok=True)

    def _in_file(self, key: str, known: Any, shape: tuple[int, ...], fill: Callable[[np.ndarray], Any]) -> np.ndarray:
        path, manifest = self._folder / f"{key}.npy", self._folder / f"{key}.json"
        wrong = _wrong(path, manifest, known, shape)
        if wrong is None:
            return np.load(path, mmap_mode="r")
        if wrong:
            print(f"note: {path} {wrong}: it is made anew")
        self._folder.mkdir(parents=True, exist_ok=True)
        own = path.with_name(f"{key}.{os.getpid()}.tmp")  # another run may read or fill the same array now
        try:
            out = np.lib.format.open_memmap(own, "w+", np.float32, shape)
            fill(out)
            out.flush()
            del out
            kept = {"known": known, "shape": list(shape), "sha256": _digest(own)}
            manifest.unlink(missing_ok=True)  # first: without it no array counts
            own.replace(path)
        finally:
            own.unlink(missing_ok=True)
        self.made += 1
        write_atomically(manifest, json.dumps(kept))
        return np.load(path, mmap_mode="r")


def _wrong(path: Path, manifest: Path, known: Any, shape: tuple[int, ...]) -> str | None:
    """None for a file that is what it should be; "" where there is none; else what is wrong with it."""
    if not path.is_file() or not manifest.is_file():
        return ""
    try:
        kept = json.loads(manifest.read_text(encoding="utf-8"))
        if kept["known"] != known or tuple(kept["shape"]) != shape:
            return "belongs to other weights, clips or settings"
        good = kept["sha256"] == _digest(path) and np.load(path, mmap_mode="r").shape == shape
    except (OSError, ValueError, KeyError, TypeError):
        good = False
    return None if good else "is damaged"


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
