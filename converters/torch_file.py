"""Files of `torch.save`, in zip archives and in the older layout, without PyTorch and without running anything.

Tensors are read when they are asked for: the optimiser's moments beside the weights cost nothing. What a pickle may
name is listed in `torch_values`; any other global is refused (`pickles.Refused`).
"""

from __future__ import annotations

import contextlib
import mmap
import pickle
import sys
import zipfile
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from converters.pickles import Meanings, load
from converters.torch_values import CALLS, STAND_INS, VALUES, Read, Storage, filled

ZIP = b"PK\x03\x04"
MAGIC, LAYOUT = 0x1950A86A20F9469CFC6C, 1001
"""What an older file begins with: two pickled numbers."""
_BLOCK = 1 << 20
OTHER_ORDER = "it was written on a machine with the bytes of a number in the other order"


ERRORS = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, OverflowError, MemoryError, NotImplementedError, RuntimeError),
)
"""What a damaged file can raise on reading."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """What `torch.save` wrote: plain containers, `Tensor`, `NumpyArray`, NumPy's scalars, and `Inert` for the rest.

    The arrays of tensors are read inside the block alone.

    Raises:
      pickles.Refused: a global that is not on the lists.
      Exception: one of `ERRORS`, where the file is truncated, damaged or no such file.
    """
    with path.open("rb") as file:
        start = file.read(len(ZIP))
    if start == ZIP:
        with zipfile.ZipFile(path) as archive:
            yield _zipped(archive)
    else:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
            yield _older(stream)


class _Storages:
    """The storages that a pickle mentions, each once, however many tensors share it."""

    def __init__(self) -> None:
        self._found: dict[Hashable, Storage] = {}

    def of(self, kind: Any, key: Hashable, dtype: Any, count: Any, read: Read) -> Storage:
        if kind != "storage" or not isinstance(dtype, np.dtype) or type(count) is not int or count < 0:
            raise ValueError("an object outside the pickle that is no storage")
        return self._found.setdefault((key, dtype, count), Storage(dtype, count, read))


def _key(value: Any) -> Hashable:
    """The name of a storage, a text or a number: hashing anything deeper, such as nested tuples, can crash."""
    if type(value) not in (str, int):
        raise ValueError("a storage without a name")
    return value


def _meanings(persistent: Callable[[Any], Any]) -> Meanings:
    return Meanings(CALLS, STAND_INS, VALUES, persistent, filled)


def _zipped(archive: zipfile.ZipFile) -> Any:
    names, storages = archive.namelist(), _Storages()
    (name,) = (name for name in names if name.split("/")[1:] == ["data.pkl"])
    folder = name.removesuffix("data.pkl")
    if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder").decode() != sys.byteorder:
        raise ValueError(OTHER_ORDER)

    def persistent(identifier: Any) -> Storage:
        kind, dtype, key, _, count = identifier
        key = _key(key)
        return storages.of(kind, key, dtype, count, lambda *numbers: member(archive, f"{folder}data/{key}", *numbers))

    return load(archive.read(name), _meanings(persistent))


def member(archive: zipfile.ZipFile, name: str, dtype: np.dtype, count: int) -> np.ndarray:
    """The numbers in an archive's file, (count,); its checksum is compared.

    Raises:
      ValueError: it holds fewer; where the archive's directory says so nothing has been allocated then.
    """
    if archive.getinfo(name).file_size < count * dtype.itemsize:
        raise ValueError(f"{name} is too short")
    values = np.empty(count, dtype)
    with archive.open(name) as file:
        if file.readinto(memoryview(values.view(np.uint8))) != values.nbytes:  # a directory may promise more
            raise ValueError(f"{name} is too short")
        while file.read(_BLOCK):  # to the end, where the checksum is compared
            pass
    return values


def _older(stream: mmap.mmap) -> Any:
    """The layout before zip archives: five pickles, then the storages one after the other."""
    places: dict[Any, int] = {}
    sizes: dict[Any, int] = {}
    storages = _Storages()

    def persistent(identifier: Any) -> Any:
        kind, *rest = identifier
        if kind == "module":  # a class beside its source text, which is dropped
            return rest[0]
        dtype, key, _, count, view = rest
        key = _key(key)
        start, count = (0, count) if view is None else view[1:]
        if type(start) is not int:
            raise ValueError("a storage that begins nowhere")

        def values(dtype: np.dtype, count: int) -> np.ndarray:
            place = places[key] + start * dtype.itemsize
            return np.frombuffer(stream, dtype, count, place).copy()

        made = storages.of(kind, (key, start), dtype, count, values)
        sizes[key] = made.dtype.itemsize
        return made

    meanings = _meanings(persistent)
    if load(stream, meanings) != MAGIC or load(stream, meanings) != LAYOUT:
        raise ValueError("it does not begin as torch.save's files do")
    if load(stream, meanings).get("little_endian", True) != (sys.byteorder == "little"):
        raise ValueError(OTHER_ORDER)
    loaded, keys = load(stream, meanings), load(stream, meanings)
    place = stream.tell()
    for key in map(_key, keys):
        count = int.from_bytes(stream[place : place + 8], "little")
        places[key], place = place + 8, place + 8 + count * sizes[key]
    return loaded
