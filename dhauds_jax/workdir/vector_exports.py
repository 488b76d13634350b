"""Embeddings in the layouts of others: one `.npz`, a folder as HEAR's kit writes it, a `.pt` as Acevedo et al. read it.

None of them needs another package: a `.pt` of arrays is a zip archive with one pickle, which is written here.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dhauds_jax.files import write_atomically
from dhauds_jax.workdir.vectors import Vectors, export_npz

PLACES: Mapping[str, str] = {"npz": "embeddings.npz", "hear": "hear", "pt": "embeddings.pt"}
"""What `--export` takes -> the file or folder beside the vectors."""

METADATA = "task_metadata.json"
"""In a folder of HEAR, written last."""

_HEAR_NAMES = {"val": "valid"}
_KEPT = " !#$&'()+,-=@[]^_`{}~"  # beside letters, digits and the full stop, in names of files
_WHEN = (1980, 1, 1, 0, 0, 0)  # a zip archive's first moment, so that equal vectors make equal bytes


def export(found: Vectors, folder: Path, kinds: Sequence[str]) -> tuple[str, ...]:
    """Writes embeddings in some of the layouts of `PLACES`; returns the names of what was written into `folder`."""
    writers: dict[str, Callable[[Vectors, Path], None]] = {"npz": export_npz, "hear": hear, "pt": pt}
    for kind in dict.fromkeys(kinds):
        writers[kind](found, folder / PLACES[kind])
    return tuple(PLACES[kind] for kind in dict.fromkeys(kinds))


def pt(found: Vectors, path: Path) -> None:
    """Writes the dict that the PyTorch system reads: a clip's file name -> `embd`, and `class_gt` and `fold`.

    Vectors are of unit length, as its encoder's. `class_gt` (the index of the class) is there where every clip has one
    label, `fold` where every clip has a fold that is a number. Where two clips' files have one name, names are whole.

    Source: src/get_embedding.py of eacevedo1/AudioText-ContextDomainAdaptation.
    """
    names = [PurePosixPath(clip).name for clip in found.ids]
    names = names if len(set(names)) == len(names) else list(found.ids)
    rows = np.asarray(found.vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    clips = [{"embd": row} for row in (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)]
    if found.labels is not None and found.label_rows is None and (found.labels >= 0).all():
        clips = [{"class_gt": int(label), **clip} for label, clip in zip(found.labels, clips, strict=True)]
    if found.folds is not None and all(fold.isdecimal() for fold in found.folds):
        clips = [{**clip, "fold": int(fold)} for fold, clip in zip(found.folds, clips, strict=True)]
    write_atomically(path, _torch_file(dict(zip(names, clips, strict=True)), path.stem))


def _torch_file(content: Any, name: str) -> bytes:
    """What `torch.save` makes of an object without tensors, in the layout of PyTorch since 1.6."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # NumPy below 2, which that system wants, has arrays under the older name, and later ones know both.
        pickled = pickle.dumps(content, protocol=2).replace(
            b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1
        )
        records = {"data.pkl": pickled, "byteorder": b"little", "version": b"3\n"}
        for record, value in records.items():
            archive.writestr(zipfile.ZipInfo(f"{name}/{record}", _WHEN), value)
    return stream.getvalue()


def hear(found: Vectors, folder: Path) -> None:
    """Writes the folder of a task of scenes after HEAR's embedding step, and what its prediction step reads of it.

    `<split>/<clip>.embedding.npy` (float32 (width,)) and, where the labels of a clip are known,
    `<split>/<clip>.target-labels.json` (a list of names of classes, empty for none of several); for each split
    `<split>.json` (clip -> that list), `<split>.embeddings.npy` (float32 without a header),
    `<split>.embedding-dimensions.json` and `<split>.target-labels.pkl` (all lists, in the order of the rows); once
    `labelvocabulary.csv` and `task_metadata.json`. Splits are the folds where every clip has one (`fold00`, ...), else
    the index's splits (`val` is `valid` there), else `all`.

    Source: heareval/embeddings/task_embeddings.py of hearbenchmark/hear-eval-kit.
    """
    names, labels, splits = list(map(file_name, found.ids)), _labels(found), _splits(found)
    for split in dict.fromkeys(splits):
        rows = [row for row, one in enumerate(splits) if one == split]
        for row in rows:
            place = folder / split / names[row]
            vector = np.array(found.vectors[row], np.float32)
            write_atomically(_ending(place, ".embedding.npy"), lambda file, vector=vector: np.save(file, vector))
            if labels[row] is not None:
                write_atomically(_ending(place, ".target-labels.json"), json.dumps(labels[row]))
        every = np.ascontiguousarray(found.vectors[rows], "<f4")
        write_atomically(folder / f"{split}.embeddings.npy", every.tobytes())
        write_atomically(folder / f"{split}.embedding-dimensions.json", json.dumps(every.shape))
        known = {names[row]: labels[row] for row in rows if labels[row] is not None}
        if len(known) == len(rows):
            write_atomically(folder / f"{split}.json", json.dumps(known, indent=2) + "\n")
            listed = pickle.dumps([labels[row] for row in rows], protocol=4)
            write_atomically(folder / f"{split}.target-labels.pkl", listed)
    table = io.StringIO(newline="")
    csv.writer(table, lineterminator="\n").writerows([("idx", "label"), *enumerate(found.classes)])
    write_atomically(folder / "labelvocabulary.csv", table.getvalue())
    write_atomically(folder / METADATA, json.dumps(_metadata(found, splits), indent=2) + "\n")


def _ending(place: Path, ending: str) -> Path:
    return place.with_name(place.name + ending)


def file_name(clip: str) -> str:
    """A clip's name as that of a file below a folder: marks that some systems refuse, and steps upwards, as `%2F`."""
    parts = [urllib.parse.quote(part, safe=_KEPT) for part in clip.split("/")]
    return "/".join(part.replace(".", "%2E") if not part.strip(".") else part for part in (p or "%" for p in parts))


def _labels(found: Vectors) -> list[list[str] | None]:
    """The names of each clip's classes; None where nothing is known."""
    if found.label_rows is not None:
        return [[found.classes[k] for k in np.flatnonzero(row)] for row in found.label_rows]
    if found.labels is None:
        return [None] * len(found.ids)
    return [[found.classes[label]] if label >= 0 else None for label in found.labels]


def _splits(found: Vectors) -> list[str]:
    if found.folds is not None and all(found.folds):
        order = sorted(set(found.folds), key=lambda fold: (not fold.isdecimal(), int(fold) if fold.isdecimal() else 0))
        numbers = {fold: f"fold{number:02d}" for number, fold in enumerate(order)}
        return [numbers[fold] for fold in found.folds]
    named = found.splits if found.splits is not None else ("",) * len(found.ids)
    return [file_name(_HEAR_NAMES.get(split, split) or "all").replace("/", "%2F") for split in named]


def _metadata(found: Vectors, splits: Sequence[str]) -> dict[str, Any]:
    """What HEAR's prediction step asks of a task."""
    several = found.label_rows is not None
    folded = splits[0].startswith("fold") and found.folds is not None and all(found.folds)
    source = found.manifest.get("source", {})
    return {
        "task_name": str(source.get("dataset") or source.get("audio_dir") or "embeddings"),
        "version": "dhauds_jax",
        "embedding_type": "scene",
        "prediction_type": "multilabel" if several else "multiclass",
        "split_mode": "presplit_kfold" if folded else "trainvaltest",
        "splits": sorted(set(splits)),
        "sample_duration": None,
        "evaluation": ["mAP"] if several else ["top1_acc"],
    }
