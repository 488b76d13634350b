"""What was read of the network, kept clip by clip: in memory up to a budget, beyond it in files that are checked first.

Clips lie in blocks. A block that was written is never changed, so that readers and writers of one folder need no lock,
and a run that is killed loses no more than the block it was reading.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int

from dhauds_jax import digests, json_texts
from dhauds_jax.files import write_atomically
from dhauds_jax.incremental.request import CACHE_DTYPES
from dhauds_jax.progress import FIRST, progress_bar

FOLDER = "cache"
"""In the work folder, for what does not fit into memory."""

DTYPES: Mapping[str, Any] = {name: np.dtype(jnp.dtype(name)) for name in CACHE_DTYPES}
"""What numbers are kept as: bfloat16 takes half the room and moves each by 0.4 % at the most (eight bits are left)."""

BLOCK_BYTES = 1 << 25
"""Of a block at the most, where one batch is not more."""

_LEFT_BEHIND_S = 3600.0  # a writer takes seconds: what is half written and older has none any more


class Read(NamedTuple):
    """What was read of some clips: `take` gives that of clips by their numbers.

    Attributes:
      arrays: blocks of clips.
      block: of each clip the place of its block among `arrays`, beyond the end for a clip that is not there.
      row: its place in the block.
    """

    arrays: Sequence[np.ndarray]
    block: Int[np.ndarray, " clips"]
    row: Int[np.ndarray, " clips"]

    def take(self, clips: Int[np.ndarray, " rows"]) -> Float32[np.ndarray, "rows ..."]:
        """A copy of what was read of clips, by their numbers.

        Raises:
          IndexError: nothing was read of one of them.
        """
        blocks, rows = self.block[clips], self.row[clips]
        out = np.empty((len(rows), *self.arrays[0].shape[1:]), np.float32)
        for number in np.unique(blocks):
            here, array = blocks == number, self.arrays[number]
            out[here] = array[rows[here]]
            _let_go(array)
        return out

    def placed(self, clips: Int[np.ndarray, " there"], count: int) -> Read:
        """The same with other numbers: the first clip becomes `clips[0]` of `count`, and so on."""
        block, row = np.full(count, len(self.arrays), int), np.zeros(count, int)
        block[clips], row[clips] = self.block, self.row
        return Read(self.arrays, block, row)


def _let_go(array: np.ndarray) -> None:
    """Pages of a file that were looked at count as memory of the process until they are let go."""
    if isinstance(array, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        array._mmap.madvise(mmap.MADV_DONTNEED)


def whole(array: np.ndarray) -> Read:
    """All rows of one array."""
    return Read((array,), np.zeros(len(array), int), np.arange(len(array)))


class _Held(NamedTuple):
    """What is there of one thing that is read.

    Attributes:
      arrays: blocks.
      where: clip -> its block's number, and its row.
      unread: files of the folder, by the clips that their manifest says they hold, that nobody asked for yet.
    """

    arrays: list[np.ndarray]
    where: dict[str, tuple[int, int]]
    unread: dict[Path, tuple[str, ...]]


class Cache:
    """What was read of clips, by what it follows from.

    A block's file has a name that follows from its numbers, its clips and what was read; one of another name, or whose
    manifest does not fit, is not used, and its clips are read anew.

    Args:
      budget_mb: of all blocks in memory, in MiB.
      folder: where those lie that do not fit.
      always: whether all are kept there, for the next command.
      dtype: of `DTYPES`.
      batch: clips that are read at once; blocks hold whole batches, so that they change no number.
    """

    def __init__(self, budget_mb: float, folder: Path, always: bool, dtype: str = "float32", batch: int = 1) -> None:
        self._left = int(budget_mb * 2**20)
        self._folder, self._always, self._dtype, self._batch = Path(folder), always, dtype, batch
        self._held: dict[str, _Held] = {}
        self.made = 0

    def of(
        self,
        known: Mapping[str, Any],
        clips: Sequence[str],
        shape: tuple[int, ...],
        fill: Callable[[Int[np.ndarray, " rows"], Float32[np.ndarray, "rows ..."], Callable[[], Any]], Any],
        progress: str | None = None,
    ) -> Read:
        """What follows from `known` and each clip: as it was kept, or read now.

        Args:
          known: JSON-able; with a clip it names what is read of it.
          clips: digests of what each clip holds; two that are alike are one.
          shape: of what is read of one clip.
          fill: `(rows, out, tick)`: writes what is read of `clips[rows]` into `out`, in their order; calls `tick` after
            each batch.
          progress: the text of a bar; None for none.
        """
        known = json.loads(json.dumps({**known, "dtype": self._dtype}, sort_keys=True))
        held = self._open(known)
        self._look(held, known, shape, set(clips))
        missing = list({clip: row for row, clip in enumerate(clips) if clip not in held.where}.items())
        size = DTYPES[self._dtype].itemsize * int(np.prod(shape))
        step = self._batch * max(1, BLOCK_BYTES // (size * self._batch))
        shown = {"unit": "batch", "whole": True, "awaited": FIRST.format("batch")}
        shown["disable"] = progress is None or not missing
        with progress_bar(desc=progress, total=-(-len(missing) // self._batch), **shown) as bar:
            for first in range(0, len(missing), step):
                names, rows = zip(*missing[first : first + step], strict=True)
                out = np.zeros((len(rows), *shape), np.float32)
                fill(np.array(rows), out, bar.update)
                self.made += len(rows)
                self._add(held, names, self._kept(known, names, out.astype(DTYPES[self._dtype], copy=False)))
        block, row = np.array([held.where[clip] for clip in clips], int).reshape(-1, 2).T
        return Read(tuple(held.arrays), block, row)

    def drop(self, known: Mapping[str, Any]) -> None:
        """Lets go of what is not asked for again, and of its files."""
        known = json.loads(json.dumps({**known, "dtype": self._dtype}, sort_keys=True))
        held = self._held.pop(_name(known), None)
        if held is not None:
            self._left += sum(array.nbytes for array in held.arrays if not isinstance(array, np.memmap))
        shutil.rmtree(self._folder / _name(known), ignore_errors=True)

    def _open(self, known: Mapping[str, Any]) -> _Held:
        """What is there of a thing; of its folder the manifests alone are read."""
        name = _name(known)
        if name not in self._held:
            folder = self._folder / name
            _clear(folder)
            unread = {path: _clips_of(path) for path in sorted(folder.glob("*.json"))}
            self._held[name] = _Held([], {}, unread)
        return self._held[name]

    def _look(self, held: _Held, known: Mapping[str, Any], shape: tuple[int, ...], wanted: set[str]) -> None:
        """Takes up the files that hold wanted clips; those that are not what they should be go."""
        wanted = wanted - held.where.keys()
        for manifest, clips in list(held.unread.items()):
            if clips and not wanted.intersection(clips):
                continue
            del held.unread[manifest]
            found, wrong = _checked(manifest, known, clips, (len(clips), *shape), self._dtype)
            if found is None:
                print(f"note: {manifest.with_suffix('.npy')} {wrong}: its clips are read anew")
                _remove(manifest)
                continue
            self._add(held, clips, found)
            wanted -= set(clips)

    def _add(self, held: _Held, clips: Sequence[str], array: np.ndarray) -> None:
        """Adds a block, in memory where it fits."""
        if isinstance(array, np.memmap) and array.nbytes <= self._left:
            array = np.array(array)
        if not isinstance(array, np.memmap):
            self._left -= array.nbytes
        held.where.update((clip, (len(held.arrays), row)) for row, clip in enumerate(clips))
        held.arrays.append(array.view(DTYPES[self._dtype]))

    def _kept(self, known: Mapping[str, Any], clips: Sequence[str], array: np.ndarray) -> np.ndarray:
        """The block, or a view of its file where it is to lie in one."""
        if array.nbytes <= self._left and not self._always:
            return array
        stored = _stored(array)
        path = self._folder / _name(known) / f"{_block_name(known, clips, stored)}.npy"
        write_atomically(path, lambda file: np.save(file, stored))
        write_atomically(path.with_suffix(".json"), json.dumps({"known": known, "clips": clips}))
        return np.load(path, mmap_mode="r")


def _name(known: Mapping[str, Any]) -> str:
    return digests.of_text(json.dumps(known, sort_keys=True))


def _stored(array: np.ndarray) -> np.ndarray:
    """As a file holds it, which knows no bfloat16."""
    return array if array.dtype == np.float32 else array.view(np.uint16)


def _block_name(known: Mapping[str, Any], clips: Sequence[str], stored: np.ndarray) -> str:
    return digests.of_texts(known, list(clips), digests.of_arrays(stored))


def _clips_of(manifest: Path) -> tuple[str, ...]:
    """The clips that a manifest says its block holds; () for one that says nothing."""
    try:
        return tuple(map(str, json_texts.read(manifest)["clips"]))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _checked(
    manifest: Path, known: Mapping[str, Any], clips: Sequence[str], shape: tuple[int, ...], dtype: str
) -> tuple[np.ndarray | None, str]:
    """A block from its file; or None, and what is wrong with it."""
    try:
        if json_texts.read(manifest)["known"] != known:
            return None, "belongs to other weights or settings"
        found = np.load(manifest.with_suffix(".npy"), mmap_mode="r")
        fits = found.shape == shape and found.dtype == (np.float32 if dtype == "float32" else np.uint16)
        good = fits and manifest.stem == _block_name(known, clips, found)
        _let_go(found)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        good = False
    return (found, "") if good else (None, "is damaged")


def _remove(manifest: Path) -> None:
    """The manifest first: without it no block counts."""
    manifest.unlink(missing_ok=True)
    manifest.with_suffix(".npy").unlink(missing_ok=True)


def _clear(folder: Path) -> None:
    """Removes what killed writers have left behind: temporary files, and blocks that never got their manifest."""
    alone = (path for path in folder.glob("*.npy") if not path.with_suffix(".json").exists())
    for left in (*folder.glob("*.tmp-*"), *alone):
        with contextlib.suppress(FileNotFoundError):  # its writer has ended just now
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND_S:
                left.unlink()
