"""Folders of sound files of which some are damaged, each as its kind allows: csv, JSON, arrays, lists, bytes."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.faults import mutations
from tests.faults.mutations import one_of


class Folder(NamedTuple):
    """A sound folder as its files, what reads it, and the endings of those that are damaged ("": any)."""

    files: dict[str, bytes]
    read: Callable[[Path], Any]
    endings: tuple[str, ...] = ("",)


def of_folder(folder: Path, read: Callable[[Path], Any], endings: tuple[str, ...] = ("",)) -> Folder:
    """The files of a folder, which is read once to see that it can be."""
    read(folder)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return Folder(files, read, endings)


def attempt(sound: Folder, place: Path, rng: np.random.Generator) -> None:
    """A folder of which one file, or two, are damaged, missing, or JSON with other values."""
    folder = place / "it"
    files = dict(sound.files)
    for _ in range(int(rng.integers(1, 3))):
        names = sorted(name for name in files if name.endswith(sound.endings))
        if not names:
            break
        name = one_of(rng, names)
        records = [name for name in names if name.endswith(".json")]
        if records and rng.random() < 0.6:
            name = one_of(rng, records)
        files[name] = damaged_file(rng, name, files[name])
        if rng.random() < 0.05:
            files.pop(name)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if rng.random() < 0.02:
        shutil.rmtree(folder)
    sound.read(folder)


def damaged_file(rng: np.random.Generator, name: str, content: bytes) -> bytes:
    """A file that is damaged; a table, a record or arrays may only have other values."""
    kind = next((make for endings, make in _KINDS if name.endswith(endings)), None)
    if kind is not None and rng.random() < 0.8:
        try:
            return kind(rng, content)
        except Exception:  # damaged before
            return mutations.damaged(rng, content)
    return mutations.damaged(rng, content)


def _json(rng: np.random.Generator, content: bytes) -> bytes:
    return mutations.text_of(rng, mutations.bent(rng, json.loads(content)))


def _lines_of_json(rng: np.random.Generator, content: bytes) -> bytes:
    """Lines of JSON of which some are bent, cut, doubled or foreign."""
    lines = [line for line in content.split(b"\n") if line]
    for _ in range(int(rng.integers(1, 4))):
        place, kind = int(rng.integers(len(lines))), int(rng.integers(6))
        if kind <= 2:
            lines[place] = json.dumps(mutations.bent(rng, json.loads(lines[place]))).encode("utf-8", "replace")
        elif kind == 3:
            lines[place] = mutations.text_of(rng, json.loads(lines[place])).replace(b"\n", b"")
        elif kind == 4:
            lines.append(lines[place])
        else:
            lines.insert(place, one_of(rng, (b"{}", b"[]", b"null", b"3", b'"a"', b"{", b"\xff", b'{"cell": 1}', b"")))
        lines = [line for line in lines if line] or [b"{}"]
    return b"\n".join(lines) + b"\n" * int(rng.integers(2))


def _table(rng: np.random.Generator, content: bytes) -> bytes:
    text = content.decode("utf-8")
    comma = "\t" if "\t" in text.partition("\n")[0] else ","
    return mutations.table(rng, list(csv.reader(text.splitlines(), delimiter=comma)), comma)


def _list(rng: np.random.Generator, content: bytes) -> bytes:
    return mutations.table(rng, [[line] for line in content.decode("utf-8").splitlines()], "\n")


def _arrays(rng: np.random.Generator, content: bytes) -> bytes:
    """An `.npz` of which some arrays are missing, of other shapes, types or numbers."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    for _ in range(int(rng.integers(1, 3))):
        name = one_of(rng, sorted(arrays) or ["a"])
        array, kind = arrays.get(name, np.zeros(3)), int(rng.integers(8))
        if kind == 0:
            arrays.pop(name, None)
        elif kind == 1:
            arrays[name] = array[:-1] if array.ndim else array[None]
        elif kind == 2:
            arrays[name] = array.reshape(-1) if array.ndim > 1 else array[..., None]
        elif kind == 3:
            arrays[name] = np.array(one_of(rng, mutations.HOSTILE).encode("utf-8", "replace").decode())
        elif kind == 4:
            arrays[name] = np.full(array.shape, one_of(rng, (np.nan, np.inf, -1.0, 1e308, 2.0**62)))
        elif kind == 5:
            arrays[name] = np.full(array.shape, one_of(rng, (-1, 2**62, 10**6, -(2**63))), np.int64)
        elif kind == 6:
            shape, kind = one_of(rng, ((), (0,), (0, 3), (3, 0), (1,) * 9)), one_of(rng, ("f4", "U3", "i8", "c8"))
            arrays[name] = np.zeros(shape, kind)
        else:
            arrays[f"{name}x"] = array
    stream = io.BytesIO()
    (np.savez if rng.random() < 0.7 else np.savez_compressed)(stream, **arrays)
    return mutations.damaged(rng, stream.getvalue()) if rng.random() < 0.2 else stream.getvalue()


def claims(content: bytes, shape: Sequence[int]) -> bytes:
    """An `.npz` whose first array's header says another shape than its bytes have."""
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for number, name in enumerate(old.namelist()):
            data = old.read(name)
            if not number:
                head = io.BytesIO()
                about = {"descr": "<f4", "fortran_order": False, "shape": tuple(shape)}
                np.lib.format.write_array_header_1_0(head, about)
                data = head.getvalue() + data[-64:]
            new.writestr(name, data)
    return stream.getvalue()


_KINDS: Sequence[tuple[tuple[str, ...], Callable[[np.random.Generator, bytes], bytes]]] = (
    ((".json", "_METADATA", ".jams", "meta.txt"), _json),
    ((".jsonl",), _lines_of_json),
    ((".csv", ".tsv"), _table),
    ((".npz",), lambda rng, c: _arrays(rng, c) if rng.random() < 0.9 else claims(c, one_of(rng, _SHAPES))),
    ((".txt", ".lst"), _list),
)
_SHAPES = ((2**40,), (2**31, 2**31), (10**9,), (0,), (2**62, 4))
