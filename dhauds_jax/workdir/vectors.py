"""Embeddings of clips as one record, whichever way they lie on disk (docs/data.md has the formats).

Vectors are stored as the network gave them, before any normalisation: whoever compares directions divides by lengths.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from dhauds_jax import digests
from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import vector_files
from dhauds_jax.workdir.vector_files import EXPECTED

_NAMED = 3  # clips that a sentence names
_ROWS = 1 << 14  # that are looked at in one go, so that a memory map of any size is checked in little memory


class Vectors(NamedTuple):
    """Embeddings of some clips, and what is known of these.

    Attributes:
      place: the folder or file.
      ids: a name a row, each once.
      vectors: float32 (rows, width), of a folder memory-mapped.
      labels: (rows,) indices into `classes`, -1 where a clip has none; None where no clip has one. Where clips have
        several, one of each: `label_rows` has all.
      classes: their names.
      splits, folds, groups, backgrounds: a text a row, "" where it is not known; None where it is known of none.
      seconds: length of each clip; None where it is not known.
      windows: how many rows of the network each vector is the mean of; None where it is not known.
      manifest: how the vectors came about (docs/data.md); empty for an `.npz` without one.
      label_rows: (rows, classes) 1 where a clip has a class, for clips with any number of labels; None for others.
    """

    place: str
    ids: tuple[str, ...]
    vectors: Float32[np.ndarray, "rows width"]
    labels: Int[np.ndarray, " rows"] | None = None
    classes: tuple[str, ...] = ()
    splits: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    backgrounds: tuple[str, ...] | None = None
    seconds: Float[np.ndarray, " rows"] | None = None
    windows: Int[np.ndarray, " rows"] | None = None
    manifest: Mapping[str, Any] = MappingProxyType({})
    label_rows: UInt8[np.ndarray, "rows classes"] | None = None

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of names, vectors and labels: what names a result that follows from them."""
        labels = [one for one in (self.labels, self.label_rows) if one is not None]
        return digests.of_texts(list(self.ids), list(self.classes), digests.of_arrays(self.vectors, *labels))

    def in_order_of(self, classes: tuple[str, ...]) -> Vectors:
        """The same clips with their classes among others, in their order; as they are where some are not among them."""
        if classes == self.classes or not set(self.classes) <= set(classes):
            return self
        place = np.array([*(classes.index(name) for name in self.classes), -1])  # the last for clips without a label
        labels, rows = self.labels, self.label_rows
        if rows is not None:
            rows = np.zeros((len(self.ids), len(classes)), rows.dtype)
            rows[:, place[:-1]] = self.label_rows
        return self._replace(classes=classes, labels=None if labels is None else place[labels], label_rows=rows)


def read(place: Path | str, *, zeros: bool = False) -> Vectors:
    """Reads a folder or an `.npz`.

    Args:
      place: the folder or the file.
      zeros: whether vectors of zeros, which have no direction, are let through.

    Raises:
      BadInput: nothing there, or something else; vectors of another type than float32, doubles among them; a name that
        two rows have; vectors that are not finite or all zero, which are named; rows, names and labels that do not fit.
    """
    path = Path(place)
    if path.is_dir():
        fields = vector_files.of_folder(path)
    elif path.is_file():
        fields = vector_files.of_npz(path)
    else:
        raise BadInput(f"--embeddings={place}: no such folder or file, expected {EXPECTED}")
    found = Vectors(str(place), **fields)
    _check_fits(found)
    _check_numbers(found, zeros)
    return found


def read_all(places: Sequence[Path | str], *, zeros: bool = False) -> tuple[Vectors, ...]:
    """Reads several, which must go together: one width, one encoder and front end, one rule of long recordings.

    Raises:
      BadInput: no place, what `read` refuses, or two that do not go together.
    """
    if not places:
        raise BadInput(f"--embeddings: names nothing, expected {EXPECTED}")
    found = tuple(read(place, zeros=zeros) for place in places)
    for one, other in itertools.pairwise(found):
        if one.vectors.shape[1] != other.vectors.shape[1]:
            _differ(one, other, "width", one.vectors.shape[1], other.vectors.shape[1])
        made = one.manifest.get("encoder"), other.manifest.get("encoder")
        for name, word in _HASHES.items() if all(made) else ():
            if made[0].get(name) != made[1].get(name):
                _differ(one, other, word, *(str(encoder.get(name))[:16] for encoder in made))
        rules = _rule(one), _rule(other)
        if all(rules) and rules[0] != rules[1] and any(_longer(each) for each in (one, other)):
            _differ(one, other, "rules of long recordings", *rules)
    return found


_HASHES = {"hash": "encoder", "front_end_hash": "front end"}


def _differ(one: Vectors, other: Vectors, what: str, *values: object) -> None:
    raise BadInput(
        f"--embeddings={one.place},{other.place}: made with {what} {values[0]} and {values[1]}, expected the same of "
        "all; embed one of them anew"
    )


def front_end_hash(front_end: Mapping[str, Any]) -> str:
    """What names a front end in manifests: the digest of its record in a config."""
    return digests.of_text(json.dumps(front_end, sort_keys=True))


def check_encoder(
    found: Vectors, checkpoint: str, weights: str, front_end: Mapping[str, Any], long: str | None = None
) -> None:
    """Raises `BadInput`, with both hashes, for vectors of another encoder, front end or long rule than these.

    Vectors without a manifest say nothing of where they come from: only a fitting width can be asked of them.

    Args:
      found: what was read.
      checkpoint: what the encoder is called in sentences.
      weights: its `checkpoint.variables_hash`.
      front_end: of its config.
      long: the rule of long recordings, as `--long` has it (None: any); it only counts where a recording was longer.
    """
    made = found.manifest.get("encoder")
    if not made:
        return
    ours = {"hash": weights, "front_end_hash": front_end_hash(front_end)}
    for name, word in _HASHES.items():
        if made.get(name) != ours[name]:
            raise BadInput(
                f"--embeddings={found.place}: made by the {word} {str(made.get(name))[:16]}, but that of --checkpoint="
                f"{checkpoint} is {ours[name][:16]}, expected the same; give the other checkpoint, or embed anew"
            )
    if long is not None and _longer(found) and _rule(found) != long:
        were = counted(_longer(found), "recording was", "recordings were")
        raise BadInput(
            f"--embeddings={found.place}: {were} longer than the network's clip and embedded with "
            f"--long={_rule(found)}, expected --long={long}; embed anew, or give the same"
        )


def _longer(found: Vectors) -> int:
    return int(found.manifest.get("longer", 0))


def _rule(found: Vectors) -> str:
    return found.manifest.get("long", "")


def export_npz(found: Vectors, path: Path) -> None:
    """Writes one `.npz` for other programs: `vectors`, `ids`, what is known of the clips, the manifest as a text."""
    vector_files.write_npz(path, found._asdict())


def _check_fits(found: Vectors) -> None:
    """Types and shapes, and that every name comes once."""
    place, vectors = f"--embeddings={found.place}", found.vectors
    if vectors.dtype != np.float32:
        raise BadInput(f"{place}: vectors are {vectors.dtype}, expected float32; store vectors.astype('float32')")
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise BadInput(f"{place}: vectors have the shape {vectors.shape}, expected (rows, width), at least one of each")
    columns = {"ids": found.ids, **{name: getattr(found, name) for name in Vectors._fields[3:11] if name != "classes"}}
    for name, values in columns.items():
        if values is not None and len(values) != len(vectors):
            raise BadInput(f"{place}: {len(vectors)} vectors and {len(values)} {name}, expected as many")
    name, times = Counter(found.ids).most_common(1)[0]
    if times > 1:
        raise BadInput(f"{place}: {times} rows are called {name!r}, expected a name of its own for each")
    _check_labels(found, place)


def _check_labels(found: Vectors, place: str) -> None:
    labels, rows, shape = found.labels, found.label_rows, (len(found.vectors), len(found.classes))
    if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
        raise BadInput(f"{place}: labels are {labels.dtype} {labels.shape}, expected an index or a class's name a row")
    if labels is not None and not -1 <= labels.min() <= labels.max() < len(found.classes):
        raise BadInput(
            f"{place}: labels go from {labels.min()} to {labels.max()}, and there are {len(found.classes)} classes; "
            "expected indices into classes, or -1 for none"
        )
    if rows is not None and (rows.dtype != np.uint8 or rows.shape != shape or rows.max() > 1):
        raise BadInput(
            f"{place}: label_rows are {rows.dtype} {rows.shape}, expected uint8 {shape} of 0 and 1, a row a vector and "
            "a column a class"
        )
    if rows is not None and labels is not None:
        other = np.flatnonzero(np.where(labels < 0, rows.any(1), rows[np.arange(len(rows)), labels] == 0))
        if len(other):
            raise BadInput(
                f"{place}: label and label_rows of {found.ids[other[0]]!r} say different things, expected a label that "
                "its row has, and -1 for a row without any; leave labels out"
            )


def _check_numbers(found: Vectors, zeros: bool) -> None:
    """That every vector is finite and, unless `zeros` are let through, has a direction."""
    endless, empty = [], []
    for first in range(0, len(found.ids), _ROWS):
        some = np.asarray(found.vectors[first : first + _ROWS])
        endless += (first + np.flatnonzero(~np.isfinite(some).all(1))).tolist()
        empty += (first + np.flatnonzero(~some.any(1))).tolist()
    for rows, word in ((endless, "NaN or infinite"), ([] if zeros else empty, "all zeros")):
        if rows:
            names = ", ".join(found.ids[row] for row in rows[:_NAMED])
            more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
            raise BadInput(
                f"--embeddings={found.place}: {counted(len(rows), 'vector')} {plural(len(rows), 'is', 'are')} {word} "
                f"({names}{more}), expected finite ones that have a direction; leave these clips out and embed anew"
            )
