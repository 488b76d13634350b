"""The files of embeddings on disk: `vectors.npy`, `index.csv` and `manifest.json` in a folder, or one `.npz`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from dhauds_jax import json_texts, schemas
from dhauds_jax.arrays import DAMAGED, check_sizes
from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically, write_csv
from dhauds_jax.wording import kind_of

VECTORS, INDEX, MANIFEST = "vectors.npy", "index.csv", "manifest.json"
PARTS = "parts"
"""Folder of what an unfinished command has done so far."""

SCHEMA = schemas.Schema(1)
FORMAT = SCHEMA.number
"""Of the manifest; a folder of another one is refused."""

COLUMNS = ("key", "label", "fold", "seconds", "windows", "background", "split", "group")
"""Of the index, a line a row of the vectors; what is not known is empty."""

SEVERAL = ";"
"""Between the labels of a clip, in the index of a set whose manifest says `several_labels`."""

EXPECTED = f"a folder with {VECTORS}, {INDEX} and {MANIFEST}, or an .npz with vectors and ids"
_TEXTS = ("splits", "folds", "groups", "backgrounds")
_NUMBERS = ("seconds", "windows")
_SAID: Mapping[str, tuple[type, str]] = {
    "classes": (list, "a list"),
    "encoder": (dict, "an object"),
    "long": (str, "a text"),
    "longer": (int, "a whole number"),
    "source": (dict, "an object"),
    "label_rows": (list, "a list"),
}
"""What others read of a manifest, where it is there."""


def write(
    folder: Path,
    vectors: Iterable[Float32[np.ndarray, "_ width"]],
    rows: Sequence[Sequence[object]],
    width: int,
    manifest: Mapping[str, Any],
) -> None:
    """Writes a folder, its manifest last: one that has a manifest is whole, and equal arguments make equal bytes.

    Args:
      folder: where; made with its parents.
      vectors: (some, width) at a time, so that they need not all be in memory.
      rows: a line of `COLUMNS` a vector.
      width: of the vectors.
      manifest: what is to be said of them; `format`, `written_by`, `rows`, `width` and `normalised` are added.
    """

    def put(file: BinaryIO) -> None:
        head = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), width)}
        np.lib.format.write_array_header_1_0(file, head)
        for some in vectors:
            file.write(np.ascontiguousarray(some, "<f4").tobytes())

    write_atomically(folder / VECTORS, put)
    write_csv(folder / INDEX, [COLUMNS, *rows], exact=True)
    about = {**schemas.stamp(SCHEMA), "rows": len(rows), "width": width, "normalised": False, **manifest}
    write_atomically(folder / MANIFEST, json.dumps(about, indent=2, allow_nan=False) + "\n")


def write_npz(path: Path, fields: Mapping[str, Any]) -> None:
    """Writes one `.npz` of the fields of a `vectors.Vectors`; what is not known is left out."""
    arrays: dict[str, np.ndarray] = {"vectors": np.asarray(fields["vectors"]), "ids": _texts(fields["ids"])}
    if fields["labels"] is not None:
        arrays |= {"labels": np.asarray(fields["labels"], np.int32), "classes": _texts(fields["classes"])}
    if fields["label_rows"] is not None:
        arrays["label_rows"] = fields["label_rows"]
    arrays |= {name: _texts(fields[name]) for name in _TEXTS if fields[name] is not None}
    arrays |= {name: fields[name] for name in _NUMBERS if fields[name] is not None}
    if fields["manifest"]:
        arrays["manifest"] = np.array(json.dumps(dict(fields["manifest"])))
    write_atomically(path, lambda file: np.savez(file, **arrays))


def _texts(values: Sequence[str]) -> np.ndarray:
    return np.array(list(values), np.str_) if values else np.zeros(0, "<U1")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder; None where there is none. Raises `BadInput` for one that cannot be read."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        found = json_texts.read(path)
    except ValueError as error:
        raise BadInput(f"{path}: is no JSON ({error}), expected what experiments.embed wrote; embed anew") from error
    if isinstance(found, dict):
        schemas.refuse_newer(found, SCHEMA, str(path))
    told = found.get("format") if isinstance(found, dict) else type(found).__name__
    if told != FORMAT:
        raise BadInput(f"{path}: is of format {told}, expected {FORMAT}; embed anew with this version")
    return _checked(found, str(path))


def _checked(manifest: Any, place: str) -> dict[str, Any]:
    """A manifest that says what is read of it in the types that are written; raises `BadInput` for another one."""
    if not isinstance(manifest, dict):
        raise BadInput(f"{place}: the manifest is {kind_of(manifest)}, expected an object of JSON; embed anew")
    for name, (kind, word) in _SAID.items():
        if not isinstance(manifest.get(name), kind | None):
            raise BadInput(f"{place}: {name} is {manifest[name]!r} in the manifest, expected {word}; embed anew")
    classes, together = manifest.get("classes") or (), manifest.get("label_rows")
    if not all(isinstance(name, str) for name in classes):
        raise BadInput(f"{place}: classes are {classes!r} in the manifest, expected texts; embed anew")
    if together and not (len(together) == len(classes) and all(_are_places(row, len(classes)) for row in together)):
        raise BadInput(f"{place}: label_rows in the manifest are no lists of classes' places, one a class; embed anew")
    return manifest


def _are_places(row: Any, count: int) -> bool:
    return isinstance(row, list) and all(type(place) is int and 0 <= place < count for place in row)


def of_folder(folder: Path) -> dict[str, Any]:
    """The fields of a `vectors.Vectors` from a folder, the vectors memory-mapped; raises `BadInput`."""
    manifest = read_manifest(folder)
    absent = [name for name in (VECTORS, INDEX, MANIFEST) if not (folder / name).is_file()]
    if manifest is None or absent:
        again = "; it is unfinished: give the command that embeds again" if (folder / PARTS).is_dir() else ""
        raise BadInput(f"--embeddings={folder}: lacks {', '.join(absent)}, expected {EXPECTED}{again}")
    vectors = load(folder / VECTORS, mmap_mode="r")
    if not isinstance(vectors, np.ndarray):
        vectors.close()
        raise BadInput(f"{folder / VECTORS}: holds several arrays, expected the vectors alone; embed anew")
    columns, *rows = _index(folder / INDEX)
    if tuple(columns) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
        raise BadInput(f"{folder / INDEX}: has the columns {', '.join(columns)}, expected {', '.join(COLUMNS)}, in all")
    by_name = dict(zip(COLUMNS, zip(*rows, strict=True) if rows else [()] * len(COLUMNS), strict=True))
    classes = tuple(manifest.get("classes") or ())
    labels, rows = _label_sets(by_name["label"], classes, manifest, folder / INDEX)
    return {
        "ids": by_name["key"],
        "vectors": vectors,
        "labels": labels,
        "label_rows": rows,
        "classes": classes,
        **{name: by_name[name[:-1]] if any(by_name[name[:-1]]) else None for name in _TEXTS},
        "seconds": _numbers(by_name["seconds"], float, "seconds", folder / INDEX),
        "windows": _numbers(by_name["windows"], int, "windows", folder / INDEX),
        "manifest": manifest,
    }


def _label_sets(
    cells: Sequence[str], classes: Sequence[str], manifest: Mapping[str, Any], path: Path
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The label of each row, or one of its labels, and rows of 0 and 1 where a clip may have any number of them."""
    if manifest.get("several_labels"):
        rows = np.zeros((len(cells), len(classes)), np.uint8)
        for row, cell in zip(rows, cells, strict=True):
            row[_labels(cell.split(SEVERAL), classes, path) if cell else []] = 1
        return _labels([cell.partition(SEVERAL)[0] for cell in cells], classes, path), rows
    labels, together = _labels(cells, classes, path), manifest.get("label_rows")
    if not together or labels is None:
        return labels, None
    table = np.eye(len(classes), dtype=np.uint8)  # of a set in which a label sets others with it
    for label, others in enumerate(together):
        table[label, others] = 1
    return labels, np.where(labels[:, None] >= 0, table[np.maximum(labels, 0)], np.uint8(0))


def _index(path: Path) -> list[list[str]]:
    """The lines of an index, at least one; raises `BadInput` for what is no csv in UTF-8."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [*csv.reader(file)] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read ({error}), expected a csv in UTF-8; embed anew") from error


def _numbers(texts: Sequence[str], kind: type[int] | type[float], column: str, path: Path) -> np.ndarray | None:
    """A column of numbers; None where one is not known. Raises `BadInput` for a text that is none."""
    if not all(texts):
        return None
    found = []
    for line, text in enumerate(texts, 2):
        try:
            found.append(kind(text))
        except ValueError as error:
            raise BadInput(f"{path}: {column} is {text!r} in line {line}, expected a number; embed anew") from error
    return np.array(found, {int: np.int64, float: np.float64}[kind])


def _labels(names: Sequence[str], classes: Sequence[str], path: Path) -> np.ndarray | None:
    """Indices of the names of classes, -1 for no name; None where there are none."""
    if not any(names):
        return None
    places = {name: place for place, name in enumerate(classes)} | {"": -1}
    unknown = sorted(set(names) - set(places))
    if unknown:
        raise BadInput(f"{path}: label {unknown[0]!r} is none of its classes, expected {', '.join(classes)}")
    return np.array([places[name] for name in names], np.int32)


def of_npz(path: Path) -> dict[str, Any]:
    """The fields of a `vectors.Vectors` from an `.npz`, labels as indices or names of classes; raises `BadInput`."""
    stored = load(path)
    held = stored.files if isinstance(stored, np.lib.npyio.NpzFile) else ["one array"]
    if not {"vectors", "ids"} <= set(held):
        raise BadInput(f"--embeddings={path}: holds {', '.join(held) or 'nothing'}, expected {EXPECTED}")
    with stored:
        try:
            arrays = {name: stored[name] for name in held}
            manifest = json_texts.parsed(str(arrays["manifest"])) if "manifest" in arrays else {}
        except DAMAGED as error:  # an array of objects (pickle); a cut member
            raise BadInput(f"--embeddings={path}: {error}, expected arrays of numbers and of texts") from error
    manifest = _checked(manifest, f"--embeddings={path}")
    for name in ("ids", "labels", "classes", *_TEXTS, *_NUMBERS):
        if name in arrays and arrays[name].ndim != 1:
            raise BadInput(f"--embeddings={path}: {name} has the shape {arrays[name].shape}, expected one value a row")
        if name in _NUMBERS and name in arrays and arrays[name].dtype.kind not in "iuf":
            raise BadInput(f"--embeddings={path}: {name} are {arrays[name].dtype}, expected numbers")
    classes, labels = tuple(map(str, arrays.get("classes", ()))), arrays.get("labels")
    if labels is not None and labels.dtype.kind in "US":
        names = tuple(map(str, labels))
        classes = classes or tuple(sorted(set(names) - {""}))
        labels = _labels(names, classes, path)
    texts = {name: tuple(map(str, arrays[name])) if name in arrays else None for name in _TEXTS}
    numbers = {name: arrays.get(name) for name in _NUMBERS}
    known = {"ids": tuple(map(str, arrays["ids"])), "vectors": arrays["vectors"], "labels": labels}
    rows = known["label_rows"] = arrays.get("label_rows")
    if rows is not None and labels is None and rows.ndim == 2 and rows.any():
        known["labels"] = np.where(rows.any(1), rows.argmax(1), -1).astype(np.int32)
    return {**known, "classes": classes, **texts, **numbers, "manifest": manifest}


def load(path: Path, **options: Any) -> Any:
    """What `np.load` makes of a file, never by pickle; raises `BadInput` for one that is damaged or something else."""
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":  # an archive, which NumPy leaves open where it is damaged
                check_sizes(path)
        return np.load(path, allow_pickle=False, **options)
    except DAMAGED as error:
        # NumPy takes whatever is neither of its own nor an archive for a pickle, and advises to load that.
        said = "neither an array nor an archive of arrays" if "pickle" in str(error) else error
        raise BadInput(f"{path}: cannot be read ({said}), expected arrays as NumPy writes them") from error
