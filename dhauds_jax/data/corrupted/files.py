"""The files of a corrupted set: its lists, its clips, the records of its cells; written, read back, compared."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int16

from dhauds_jax import json_texts, schemas
from dhauds_jax.data.corrupted.layouts import layout_of
from dhauds_jax.data.sets.base import DataSet
from dhauds_jax.errors import BadInput
from dhauds_jax.files import is_inside, named, printable, write_atomically

MANIFEST = "manifest.jsonl"
"""A cell's clips, one JSON object a line: id, file, class, what was drawn, SHA-256 of the samples."""
RECORD = "cell.json"
"""What a cell is: set, split, seed, profile, number of clips, checksums."""
SCHEMA = schemas.Schema(1)
"""The form of `RECORD`."""


class Difference(NamedTuple):
    """A file of a cell that is not as it should be, and why; `steps` of 16 bit is how far its samples are off."""

    file: str
    reason: str
    steps: int = 0


def write_manifests(
    dataset: DataSet,
    data_dir: Path | str | None,
    root: Path | str,
    *,
    ids: Sequence[str],
    labels: np.ndarray,
    split: str = "test",
) -> list[Path]:
    """Copies or writes the lists that belong to a corrupted set, each under a temporary name that is then renamed.

    Args:
      dataset: the clean set.
      data_dir: its folder; the lists are copied from there.
      root: folder of the corrupted set.
      ids: the clean set's clips (written into `clips.csv` where there is no published list).
      labels: theirs.
      split: the split that is corrupted.

    Returns:
      The lists' paths.

    Raises:
      BadInput: a list of that name with other content is there (the folder is another set's), nothing is written
        then; or the clean set's folder lacks its lists.
    """
    contents = layout_of(dataset, split).manifests(dataset, data_dir, ids, labels)
    for name, content in contents.items():
        path = Path(root) / name
        if path.is_file() and path.read_bytes() != content:
            raise BadInput(f"{path}: lists other clips than {dataset.name} {split} has here, give another --output")
    for name, content in contents.items():
        write_atomically(Path(root) / name, content)
    return [Path(root) / name for name in contents]


def write(path: Path, samples: Int16[np.ndarray, " time"], sample_rate: int) -> str:
    """Writes 16-bit PCM and returns the SHA-256 (hex) of the samples."""
    import soundfile

    wav = io.BytesIO()  # libsndfile says nothing but "System error" of a full disk
    soundfile.write(wav, samples, sample_rate, subtype="PCM_16", format="WAV")
    with named(path):
        path.write_bytes(wav.getbuffer())
    return digest(samples)


def digest(samples: Int16[np.ndarray, " time"]) -> str:
    """SHA-256 (hex) of 16-bit samples, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(samples, "<i2").tobytes()).hexdigest()


def samples_checksum(digests: Mapping[str, str]) -> str:
    """SHA-256 (hex) over a cell's clips, each with its digest, sorted by id: whatever order they were made in."""
    lines = "".join(f"{i} {digests[i]}\n" for i in sorted(digests))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def read_record(folder: Path) -> dict[str, Any] | None:
    """A cell's record; None for a cell that was not made here.

    Raises `BadInput` for one that is cut short or none, or that a newer version wrote.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    return schemas.migrated(_objects(path, [path.read_bytes()], _OF_RECORD)[0], SCHEMA, str(path))


def read_manifest(folder: Path) -> list[dict[str, Any]]:
    """A cell's manifest; raises `BadInput` when it has none (it was not made here) or one that was cut short."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BadInput(f"{path}: no such file, expected a cell that experiments.corrupt has written")
    entries = _objects(path, path.read_bytes().splitlines(), _OF_CLIP)
    for entry in entries:
        if not is_inside(entry["file"]):
            raise BadInput(f"{path}: names the file {printable(str(entry['file']))}, expected one inside {folder}")
    return entries


_OF_RECORD: Mapping[str, type] = {
    **dict.fromkeys(("corruption", "level", "samples_sha256"), str),
    **dict.fromkeys(("sample_rate", "length"), int),
}
_MAPPINGS = ("made_with", "content")
_OF_CLIP: Mapping[str, type] = dict.fromkeys(("id", "file", "sha256"), str)
"""What others read of a record and of a manifest's lines, with the types that are written."""


def _objects(path: Path, texts: Sequence[bytes], wanted: Mapping[str, type]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, text in enumerate(texts, 1):
        try:
            found.append(json_texts.parsed(text))
        except ValueError as error:  # no JSON, or no UTF-8
            raise BadInput(
                f"{path}: object {number} of {len(texts)} is cut short or no JSON ({error}), expected what "
                "experiments.corrupt has written; remove the cell and make it again"
            ) from error
    for number, entry in enumerate(found, 1):
        given = entry if isinstance(entry, dict) else {}
        lacks = [name for name, kind in wanted.items() if not isinstance(given.get(name), kind)]
        lacks += [name for name in _MAPPINGS if not isinstance(given.get(name, {}), dict)]
        if lacks:
            raise BadInput(
                f"{path}: object {number} of {len(texts)} has no {', '.join(lacks)} as experiments.corrupt writes "
                "them, expected what it has written; remove the cell and make it again"
            )
    return found


def read_samples(path: Path, sample_rate: int, length: int) -> np.ndarray | Difference:
    """A file's int16 (length,) samples, or why it is not such a file."""
    import soundfile

    name = path.name
    if not path.is_file():
        return Difference(name, "is absent")
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            found = (file.format, file.subtype, file.samplerate, file.channels, file.frames)
            wanted = ("WAV", "PCM_16", sample_rate, 1, length)
            if found != wanted:
                return Difference(name, f"is {' '.join(map(str, found))}, expected {' '.join(map(str, wanted))}")
            samples = file.read(dtype="int16")
    except (soundfile.LibsndfileError, soundfile.SoundFileRuntimeError) as error:
        return Difference(name, f"cannot be read ({error})")
    return samples if len(samples) == length else Difference(name, f"holds {len(samples)} samples, expected {length}")
