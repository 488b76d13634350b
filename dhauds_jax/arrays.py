"""Reads `.npz` files that the package has written: a damaged one, or one of absurd sizes, is refused in a sentence."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dhauds_jax.errors import BadInput, told

DAMAGED = (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, TypeError, MemoryError)
DAMAGED += (zlib.error, zipfile.BadZipFile, tokenize.TokenError)
"""What NumPy and zipfile raise of a file that was cut, changed or is something else."""

MOST = 1 << 31
"""Bytes of one array; what says that it has more is not read."""


def read_npz(path: Path, names: Sequence[str], expected: str) -> dict[str, np.ndarray]:
    """Arrays of a file, by name; never by pickle.

    Args:
      path: the file.
      names: of the arrays; () for all that it holds.
      expected: who wrote it, and what to do, for the end of the sentence.

    Raises:
      BadInput: no such file, a damaged one, one that lacks an array, an array of more than `MOST` bytes.
    """
    try:
        check_sizes(path, names)
        with path.open("rb") as file, np.load(file) as stored:
            return {name: np.asarray(stored[name]) for name in names or stored.files}
    except DAMAGED as error:
        raise BadInput(f"{path}: cannot be read ({told(error)}), expected {expected}") from error


def check_sizes(path: Path, names: Sequence[str] = ()) -> None:
    """Raises one of `DAMAGED` where an array of an `.npz` (of some names, or all) says a size that it has not."""
    with zipfile.ZipFile(path) as archive:
        held = [name for name in archive.namelist() if name.endswith(".npy")]
        for name in [f"{name}.npy" for name in names] or held:
            _check_size(archive, name)


def _check_size(archive: zipfile.ZipFile, name: str) -> None:
    """Raises `ValueError` unless an array's header says a size that the archive's directory says too."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    size = math.prod(shape) * dtype.itemsize
    if size > MOST or size > archive.getinfo(name).file_size:
        raise ValueError(f"{name} says that it has {size:,} bytes")
