"""What a command wrote, without what may differ between two runs of one command: times, memory, command, revision."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np

FREE = ("seconds", "data_wait_share", "peak_memory_mb", "command", "git_revision", "since", "written_at", "date")
"""Keys of records and manifests that say how long, when, by whom."""
ORBAX = "orbax.checkpoint"
"""A folder with this file is Orbax's: its files hold times, so its leaves are compared."""


def snapshot(folder: Path, free: Container[str] = (), torn: bool = False) -> dict[str, str]:
    """Path -> what lies there, as a digest; of JSON the text.

    Of files named in `free` nothing but that they are; with `torn`, lines of records that a power cut has torn are
    passed over, as they are when records are read.
    """
    return {name: "" if Path(name).name in free else told for name, told in _entries(folder, folder, torn)}


def _entries(folder: Path, root: Path, torn: bool) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    if (folder / ORBAX).exists():
        yield str(folder.relative_to(root)), leaves(folder)
        return
    for path in sorted(folder.iterdir()):
        name = str(path.relative_to(root))
        if path.is_dir() and not path.is_symlink():
            yield f"{name}/", ""
            yield from _entries(path, root, torn)
        else:
            yield name, content(path, torn)


def leaves(folder: Path) -> str:
    """Of an Orbax folder: shapes, types and bytes of its leaves."""
    import jax
    from orbax.checkpoint import v1 as ocp

    try:
        found, _ = jax.tree_util.tree_flatten_with_path(ocp.load(folder))
    except (ValueError, OSError) as error:
        return f"unreadable: {error}"
    lines = [f"{jax.tree_util.keystr(path)} {np.asarray(x).dtype} {np.shape(x)} {digest(np.asarray(x).tobytes())}"
             for path, x in found]  # fmt: skip
    return "\n".join(lines)


def digest(data: bytes) -> str:
    """Sixteen hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()[:16]


def content(path: Path, torn: bool = False) -> str:
    """A file: of JSON and of lines of it what does not say how long it took; else a digest of its bytes."""
    data = path.read_bytes()
    if path.suffix == ".jsonl":
        return "\n".join(sorted(json.dumps(_bare(row), sort_keys=True) for row in _rows(data, torn)))
    if path.suffix == ".npz":
        return _arrays(data)
    if ".tfrecord-" in path.name:
        return _examples(path)
    if path.suffix == ".json":
        return json.dumps(_bare(json.loads(data)), sort_keys=True)
    return digest(data)


def _rows(data: bytes, torn: bool) -> Iterator[Any]:
    """The lines of records; of one that is no JSON a digest, or nothing."""
    for line in data.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # UnicodeDecodeError is one
            if not torn:
                yield f"torn: {digest(line)}"


def _examples(path: Path) -> str:
    """Of TFRecords: the examples in their order; a process writes the features of each in an order of its own."""
    import tensorflow as tf

    lines = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        lines.append(" ".join(f"{name} {digest(features[name].SerializeToString())}" for name in sorted(features)))
    return "\n".join(lines)


def _arrays(data: bytes) -> str:
    """Of an `.npz`: its arrays, a text that is JSON as JSON."""
    lines = []
    with np.load(io.BytesIO(data)) as stored:
        for name in stored.files:
            array = stored[name]
            text = str(array) if array.ndim == 0 and array.dtype.kind == "U" else ""
            told = json.dumps(_bare(json.loads(text)), sort_keys=True) if text[:1] == "{" else digest(array.tobytes())
            lines.append(f"{name} {array.dtype.kind} {array.shape} {told}")
    return "\n".join(lines)


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _bare(one) for key, one in value.items() if key not in FREE}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Sentences: what lacks, what is there beside it, what differs and where."""
    said = [f"lacks {name}" for name in expected if name not in found]
    said += [f"holds {name} besides" for name in found if name not in expected]
    return said + [f"{name} differs{_where(expected[name], found[name])}" for name in expected
                   if name in found and expected[name] != found[name]]  # fmt: skip


def verdict(expected: dict[str, str], found: dict[str, str]) -> tuple[str, str]:
    """A word and what differs: "right", "left_over" (all is there, and something besides) or "differs"."""
    return worded(differences(expected, found))


def worded(differing: list[str]) -> tuple[str, str]:
    """The same of sentences that `differences` gave."""
    over = all(" besides" in one for one in differing)
    return ("left_over" if over else "differs") if differing else "right", "; ".join(differing)[:600]


def _where(one: str, other: str) -> str:
    place = next((i for i, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    return f" from ...{one[max(0, place - 40) : place + 40]!r} to {other[max(0, place - 40) : place + 40]!r}"
