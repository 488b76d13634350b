"""What is kept of a command's output: plain JSON of texts, whole numbers and floats."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

VOLATILE = {
    "cell": "follows from all settings; may be named anew when settings are added",
    "identity": "names a run as `cell` does; its settings show in the numbers",
    "git_revision": "of the code",
    "code": "of the code",
    "versions": "of the packages",
    "device": "of the machine",
    "command": "holds folders",
    "seconds": "of the machine",
    "peak_memory_mb": "of the machine",
    "state_bytes": "came later; tests/cells/test_running.py works it out",
    "data_wait_share": "of the machine",
    "format": "of the records",
    "written_by": "of the code",
    "content": "names what a cell of a -C set was made from; its samples show it",
}
"""Keys that are not kept, wherever they stand, and why."""


def without_volatile(value: Any, work: str) -> Any:
    """A record without its volatile keys; the folder of all commands is written {work} in texts."""
    if isinstance(value, dict):
        return {key: without_volatile(item, work) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [without_volatile(item, work) for item in value]
    return value.replace(work, "{work}") if isinstance(value, str) else value


def array_summary(array: np.ndarray) -> dict[str, Any]:
    """Shape, type, SHA-256 of the bytes, mean and L2 norm."""
    array = np.ascontiguousarray(array)
    wide = array.astype(np.float64).ravel()
    return {
        "array": f"{array.dtype} {'x'.join(map(str, array.shape))}",
        "sha256": hashlib.sha256(array.tobytes()).hexdigest()[:16],
        "mean": float(wide.mean()) if wide.size else 0.0,
        "norm": float(np.sqrt(np.sum(wide * wide))),
    }


def _leaves(tree: Any, above: str = "") -> dict[str, Any]:
    found = {}
    for name, value in sorted(tree.items()):
        path = f"{above}{name}"
        found |= _leaves(value, f"{path}/") if isinstance(value, dict) else {path: array_summary(np.asarray(value))}
    return found


def checkpoint(folder: Path) -> dict[str, Any]:
    """Every leaf of `folder/checkpoint`, and its JSON files: a training's history, a conversion's report."""
    from orbax.checkpoint import v1 as ocp

    folder = folder / "checkpoint"
    texts = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    return {"leaves": _leaves(ocp.load(folder / "variables")), **texts}


def records(folder: Path) -> dict[str, Any]:
    """The records of `folder/results.jsonl` by what tells them apart."""
    found: dict[str, Any] = {}
    for line in (folder / "results.jsonl").read_text().splitlines():
        record = json.loads(line)
        name = " ".join(str(record[key]) for key in ("corruption", "level", "method", "protocol", "seed"))
        while name in found:  # another learning rate of a study
            name += "'"
        found[name] = record
    return found


def cells(folder: Path) -> dict[str, Any]:
    """Every cell of a -C set: its record, its manifest, and its files."""
    found = {}
    for path in sorted(folder.rglob("cell.json")):
        lines = [json.loads(line) for line in (path.parent / "manifest.jsonl").read_text().splitlines()]
        waves = {line["file"]: soundfile.read(path.parent / line["file"])[0] for line in lines}
        name = str(path.parent.relative_to(folder))
        files = {file: array_summary(wave) for file, wave in waves.items()}
        found[name] = {"record": json.loads(path.read_text()), "manifest": lines, "files": files}
    return found


LABELS = ("file", "label", "confidence", "label_before", "confidence_before")
"""Columns of `predictions.csv` that are compared: all that there were when it was frozen."""


def labels(folder: Path) -> dict[str, Any]:
    """`predictions.csv`: labels, and the digest of `LABELS` (confidences are rounded, so no tolerance fits them)."""
    rows = list(csv.DictReader((folder / "predictions.csv").read_text().splitlines()))
    text = "".join(",".join(line) + "\n" for line in (LABELS, *([row[name] for name in LABELS] for row in rows)))
    return {
        "labels": [[row["file"], row["label"], row["label_before"]] for row in rows],
        "sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
    }


def tuned(folder: Path) -> dict[str, Any]:
    """The rows of `tuned.csv`: the columns that there were when it was frozen."""
    return {"rows": [row[:4] for row in csv.reader((folder / "tuned.csv").read_text().splitlines())]}


KEEPS = {"records": records, "checkpoint": checkpoint, "cells": cells, "labels": labels, "tuned": tuned}
"""What a command may keep: a function of its folder that gives named cells (or, for a checkpoint, its parts)."""


def summary(folder: Path, keeps: tuple[str, ...], work: Path) -> dict[str, Any]:
    """Everything that is kept of a command's output."""
    return {name: without_volatile(KEEPS[name](folder), str(work)) for name in keeps}
