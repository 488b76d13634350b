"""Digests of arrays and texts, sixteen hexadecimal digits of SHA-256 each: what data is, whatever it is called.

SHA-256 takes 1.3 GiB of samples a second on one core.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

DIGITS = 16


def of_arrays(*arrays: np.ndarray) -> str:
    """The digest of some arrays: their types, shapes and values, in this order."""
    digest = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        digest.update(json.dumps([str(array.dtype), list(array.shape)]).encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()[:DIGITS]


def of_rows(array: np.ndarray, rows: np.ndarray) -> str:
    """The digest of some rows of an array, which are not copied: `of_arrays(array[rows])`."""
    digest = hashlib.sha256(json.dumps([str(array.dtype), [len(rows), *array.shape[1:]]]).encode())
    for row in rows:
        digest.update(np.ascontiguousarray(array[row]).reshape(-1).view(np.uint8))
    return digest.hexdigest()[:DIGITS]


def of_texts(*texts: object) -> str:
    """The digest of texts and numbers, in this order."""
    return of_text(json.dumps(texts))


def of_text(text: str) -> str:
    """The digest of one text."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


@functools.cache
def of_code(*places: str) -> str:
    """The digest of our own Python files, made once a process.

    Args:
      places: folders, with all that is in them, or files of the package, such as "dsp" and "model/taps.py".

    Raises:
      FileNotFoundError: there is no such place.
    """
    root, digest = Path(__file__).parent, hashlib.sha256()
    for place in sorted(places):
        if not (root / place).exists():
            raise FileNotFoundError(f"the package has no {place}")
        for file in sorted((root / place).rglob("*.py")) if (root / place).is_dir() else [root / place]:
            content = file.read_bytes()
            digest.update(json.dumps([file.relative_to(root).as_posix(), len(content)]).encode())
            digest.update(content)
    return digest.hexdigest()[:DIGITS]


def together(digests: Iterable[str | None]) -> str | None:
    """One digest of several, in their order; None where there is none."""
    given = [digest for digest in digests if digest is not None]
    return of_texts(*given) if len(given) > 1 else (given[0] if given else None)
