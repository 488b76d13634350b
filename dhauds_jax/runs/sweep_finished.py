"""Which rows of a sweep are finished: by table, flags, weights, plug-ins, and the copy of the data there is.

A cell is named by the samples themselves (`data.content`), and reading them all to find that nothing is to do takes
minutes. So a sweep notes beside its records which copy each cell was made from: a digest of what the listings say of
it, names, labels, sizes and times of change. A copy that was not seen yet is read, and its cells looked up by content.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax import digests, json_texts, parallel
from dhauds_jax.cells import targets
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.worklist import own_content
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import needs_noise
from dhauds_jax.data.corruptions.noise import find_recordings
from dhauds_jax.data.pipeline.tfrecord import listing_state
from dhauds_jax.data.sets.base import ClipRef, list_split
from dhauds_jax.files import write_atomically
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.recipes.rows import Roots, adapt_run
from dhauds_jax.recipes.table import Row
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.workdir import records

COPIES = "copies.json"
"""In a sweep's work folder: by cell, the digests of the copies that it was made from. Without it the data are read."""

_FLAGS = ("save_every_s", "allow_partial", "on_bad_file", "parallel", "updates_per_dispatch", "precision", "remat")
"""Those that go to every row."""


def roots_of(run: SweepRun) -> Roots:
    """Where data, noises and checkpoints lie."""
    return Roots(run.data_root, run.noise_dir, run.checkpoint_root)


def adapt_run_of(run: SweepRun, row: Row) -> AdaptRun:
    """The run of `experiments.adapt` that a row stands for under a sweep's flags."""
    flags = {name: getattr(run, name) for name in _FLAGS}
    return adapt_run(row, roots_of(run), run.workdir or "WORKDIR", **flags)


class Finished:
    """Which rows have a record: of the row as it is now, made with the weights, plug-ins, flags and data of now."""

    def __init__(self, run: SweepRun):
        self.run = run
        self.hashes: dict[Path, str] = {}
        workdir = Path(run.workdir or "")
        if run.workdir and (said := records.done(workdir).note):
            print(f"note: records in {run.workdir}{said}")
        self.path = workdir / COPIES
        self.copies: dict[str, list[str]] = _read(self.path) if run.workdir else {}
        self.cells: dict[tuple[Any, ...], dict[str, bool]] = {}
        # Of every record: rows that share a cell have one each.
        for record in records.read(workdir) if run.workdir else ():
            if record.get("format") == records.FORMAT and "recipe" in record:
                self._keep(record)
        self.copy_of = functools.cache(self._copy_of)

    def _keep(self, record: Mapping[str, Any]) -> None:
        key = (record["recipe"]["key"], record["source_checkpoint"], _own(record["content"]))
        self.cells.setdefault(key, {})[record["cell"]] = "source_data" in record["content"]

    def key(self, row: Row) -> str:
        """Names a row's numbers, the weights and the data apart."""
        kept = ("allow_partial", "on_bad_file")
        changed = [name for name in kept if getattr(self.run, name) != SweepRun.defaults()[name]]
        if self.run.precision != "float32":
            changed.append(self.run.precision)
        if self.run.remat:
            changed.append("remat")
        return "-".join([str(row.number), row.digest, *changed])

    def recorded(self, row: Row) -> Mapping[str, bool]:
        """The cells of its records, whatever data they were made from, and whether each had source clips."""
        if not any(key == self.key(row) for key, *_ in self.cells):
            return {}
        folder, adaptation = roots_of(self.run).checkpoint_dir(row), adapt_run_of(self.run, row)
        if folder not in self.hashes:
            self.hashes[folder] = checkpoints.variables_hash(checkpoints.load(folder)[0])
        config = checkpoints.load_config(folder)
        own = own_content(adaptation, [row.corruption], row.protocol, row.method, config)
        return self.cells.get((self.key(row), self.hashes[folder], _own(own)), {})

    def has(self, row: Row) -> bool:
        """Whether it has a record that was made from the very copy of its data that there is."""
        cells = self.recorded(row)
        return any(self.copy(row, source) in self.copies.get(cell, ()) for cell, source in cells.items())

    def copy(self, row: Row, source_clips: bool = False) -> str:
        """Sixteen digits for the copy of a row's data, its noise recordings and, where asked, its training split."""
        config = checkpoints.load_config(roots_of(self.run).checkpoint_dir(row))
        noise = None
        if row.corruption != CLEAN and needs_noise(row.corruption):
            noise = self.copy_of(row.dataset, row.corruption, row.level, config.sample_rate)
        splits = ["test", "train"] if source_clips else ["test"]
        return digests.of_texts(*(self.copy_of(row.dataset, split) for split in splits), noise)

    def _copy_of(self, name: str, *what: Any) -> str:
        """Of a split (its name), or of noise recordings (corruption, level, rate); looked at once a sweep."""
        roots = roots_of(self.run)
        folder = roots.data_dir_of(name)
        if len(what) == 1:
            return _digest(_split(name, folder, what[0], self.run.allow_partial))
        made = targets.stood_in_for(sets.get(name), roots.noise, what[0])
        found = [] if made else find_recordings(roots.noise, *what)
        return _digest(ClipRef(recording, path, 0) for recording, path in found)

    def note(self, row: Row, copy: str, found: Sequence[Mapping[str, Any]]) -> None:
        """Notes that a row's records were made from what is there; `copy` is what `copy` said before they were."""
        for record in found:
            self._keep(record)
            seen = self.copy(row, True) if "source_data" in record["content"] else copy
            known = self.copies.setdefault(record["cell"], [])
            if seen not in known:
                known.append(seen)
        if parallel.writes():
            write_atomically(self.path, json.dumps(self.copies, sort_keys=True) + "\n")

    def take(self, found: Sequence[Mapping[str, Any]], copies: Mapping[str, Sequence[str]]) -> None:
        """Takes over records that another process made, and which copies of the data it made them from."""
        for record in found:
            self._keep(record)
        for cell, seen in copies.items():
            known = self.copies.setdefault(cell, [])
            known.extend(copy for copy in seen if copy not in known)
        write_atomically(self.path, json.dumps(self.copies, sort_keys=True) + "\n")


def _split(name: str, folder: Path | None, split: str, allow_partial: bool) -> Sequence[ClipRef]:
    """The clips of a split on disk; none of one that is made in memory, which is the same everywhere."""
    dataset = sets.get(name, folder)
    return () if dataset.listing is None else list_split(dataset, folder, split, allow_partial)[0]


def _digest(refs: Sequence[ClipRef] | Iterator[ClipRef]) -> str:
    return digests.of_texts(*(state.decode() for state in listing_state(refs)))


def _read(path: Path) -> dict[str, list[str]]:
    """What was noted; nothing where there is no such file or it is damaged, for then the data tell."""
    try:
        found = json_texts.read(path)
    except (FileNotFoundError, json_texts.NotJson):
        return {}
    every = found.values() if isinstance(found, dict) else [None]
    whole = all(isinstance(copies, list) and all(isinstance(copy, str) for copy in copies) for copies in every)
    return found if whole else {}


def _own(content: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The part of a record's content that `own_content` gives."""
    return tuple(sorted((name, value) for name, value in content.items() if name == "config" or "_source" in name))
