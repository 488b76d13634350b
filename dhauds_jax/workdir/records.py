"""Result records: one JSON object a finished cell, from which every table and figure is made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_atomically
from dhauds_jax.parallel import writes

KEYS = (
    "dataset",
    "corruption",
    "level",
    "net",
    "method",
    "protocol",
    "profile",
    "metric",
    "n",
    "seed",
    "non_adapted",
    "adapted_last",
    "adapted_selected",
    "adapted_oracle",
    "selection",
    "curve",
    "ece",
    "nll",
    "seconds",
    "passes",
    "parameters_moved",
    "peak_memory_mb",
    "collapsed",
    "options",
    "source_checkpoint",
    "git_revision",
    "versions",
    "device",
    "command",
)
"""What every record has; more keys are welcome."""

FILE = "results.jsonl"
BAD_FILES = "bad_files.txt"
"""Beside the results: what `--on_bad_file=skip` left out, one line a file."""


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Adds a record to `folder/results.jsonl` in one write, so that a killed run never leaves half of one behind it.

    Of several processes of one run the first one alone writes.

    Raises:
      ValueError: the record lacks a key of `KEYS`.
    """
    missing = [key for key in KEYS if key not in record]
    if missing:
        raise ValueError(f"the record lacks the keys {', '.join(missing)}")
    if not writes():
        return
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    line = json.dumps(record, sort_keys=False, allow_nan=False) + "\n"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            line = "\n" + line  # a torn last line (power cut) is skipped when reading; keep ours apart from it
        os.write(handle, line.encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def note_bad_files(folder: Path, skipped: Iterable[tuple[str, str]]) -> None:
    """Adds files that were left out to `folder/bad_files.txt`: id, tab, what is wrong with it; earlier ones stay.

    Of several processes of one run the first one alone writes.

    Args:
      folder: where the results are.
      skipped: (id, reason) of each; nothing is written for none.
    """
    found = {name: " ".join(reason.split()) for name, reason in skipped}
    if not found or not writes():
        return
    path = Path(folder) / BAD_FILES
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    lines = {**dict(line.partition("\t")[::2] for line in earlier), **found}
    text = "".join(f"{name}\t{reason}\n" for name, reason in lines.items())
    write_atomically(path, text.encode("utf-8", errors="backslashreplace"))


def read(folder: Path) -> list[dict[str, Any]]:
    """The records of a folder in the order they were written; lines that are no whole record are left out."""
    path = Path(folder) / FILE
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(record, dict) and all(key in record for key in KEYS):
            records.append(record)
    return records


def read_all(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Records of several folders.

    Raises:
      BadInput: a folder has none.
    """
    records = []
    for folder in folders:
        found = read(folder)
        path = Path(folder) / FILE
        if not found and path.exists() and path.stat().st_size:
            raise BadInput(
                f"no records in {folder}: no line of its {FILE} has all the keys that this version writes; expected "
                "records of this version, run the experiment anew"
            )
        if not found:
            raise BadInput(f"no records in {folder}: expected a {FILE} there, as experiments.adapt writes it")
        records += found
    return records
