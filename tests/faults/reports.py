"""Sound records of every kind, and arrays of figures, with the report that is made of them: what damage begins with."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.folders import Folder, of_folder

ROOT = Path(__file__).resolve().parents[2]


def _kept(file: str, count: int) -> list[dict[str, Any]]:
    """The first lines of a file of records that the repository keeps."""
    path = sorted((ROOT / "docs" / "records").rglob(file))[0]
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(count))]


def _results() -> list[dict[str, Any]]:
    from tests.report.test_tables import a_record

    made = [a_record(corruption, method, 0, 0.2, 0.5) for corruption in ("WHN", "ENQ") for method in ("tent", "source")]
    return [*made, *_kept("results.jsonl", 2)]


def _zeroshot() -> list[dict[str, Any]]:
    from dhauds_jax.workdir import records
    from tests.report.test_tables import a_record
    from tests.report.test_zeroshot import record

    blank = {**dict.fromkeys(records.ZEROSHOT_KEYS, None), **a_record("clean", "plain", 0, 0.5, 0.6)}
    return [{**blank, **record(seed=0)}, {**blank, **record(seed=1)}, {**blank, **record("plain")}]


def _tuning() -> list[dict[str, Any]]:
    from tests.report.test_tuning import NORM, TENT

    return [TENT, NORM]


RECORDS: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
    "results": _results,
    "zeroshot": _zeroshot,
    "crossval": lambda: _kept("crossval.jsonl", 2),
    "incremental": lambda: _kept("incremental.jsonl", 2),
    "tuning": _tuning,
}
"""Kind -> some of them."""


def _reported(folder: Path) -> None:
    """Makes the report of a folder, with every table and the page."""
    from dhauds_jax.runs.report import report
    from dhauds_jax.runs.requests.report import ReportRun

    report(ReportRun(workdir=(str(folder),), output=str(folder.parent / "report"), html=True, format=("csv", "latex")))


def records_of(kind: str, folder: Path) -> Folder:
    """A work folder with records of one kind."""
    from dhauds_jax.workdir import records

    place = folder / "it"
    place.mkdir()
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS[kind]())
    (place / records.KINDS[kind].file).write_text(lines)

    def read(where: Path) -> None:
        records.done(where, kind)
        _reported(where)

    return of_folder(place, read)


def figures_of(folder: Path) -> Folder:
    """A work folder whose report has a page of spectrograms and one of embeddings."""
    place = folder / "it"
    (place / "examples").mkdir(parents=True)
    (place / "embeddings").mkdir()
    (record, *_) = _results()
    record = {**record, "cell": "a", "silhouette": [0.1, 0.2]}
    (place / "results.jsonl").write_text(json.dumps(record) + "\n")
    rng = np.random.default_rng(0)
    np.savez(place / "examples" / "clean.npz", log_mel=rng.normal(size=(20, 8)), seconds=np.float32(1.5))
    before, after = rng.normal(size=(2, 9, 4)).astype(np.float32)
    labels, classes = np.arange(9) % 3, np.array(["a", "$b", "_c"])
    arrays = {"labels": labels, "classes": classes, "silhouette": np.array([0.1, 0.2]), "before": before}
    np.savez(place / "embeddings" / "a.npz", after=after, **arrays)
    return of_folder(place, _reported, (".npz",))
