"""The clips of class-incremental runs: listed first, planned, and only those that a plan has are read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from dhauds_jax import digests
from dhauds_jax.cells.targets import Loaded
from dhauds_jax.data import sets
from dhauds_jax.data.sets.base import DataSet, check_split, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.incremental import sessions
from dhauds_jax.incremental.sessions import Session
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.runs.incremental_loading import Listed, load
from dhauds_jax.runs.requests.incremental import IncrementalRun
from dhauds_jax.wording import counted
from dhauds_jax.workdir import vectors
from dhauds_jax.workdir.vectors import Vectors

Plans = tuple[tuple[Session, ...], ...]
"""The sessions of every seed."""


class Pool(NamedTuple):
    """Clips that some plan has, and the plans, whose positions are rows of these.

    Attributes:
      name: of the set.
      clips: labels, names and ids.
      plans: of every seed.
      loaded: waves, of a set; None for embeddings.
      vectors: embeddings (clips, width); None for a set.
      listing: names all clips that any seed could have had: alike for seeds of one protocol.
    """

    name: str
    clips: sessions.Clips
    plans: Plans
    loaded: Loaded | None
    vectors: np.ndarray | None
    listing: str = ""

    def digest(self, rows: Int[np.ndarray, " rows"]) -> str:
        """Names some of the clips by their names, classes and what they hold."""
        clips = self.clips
        held = self.vectors if self.loaded is None else self.loaded.clips.waves
        names = [[clips.ids[k], clips.classes[clips.labels[k]]] for k in rows]
        return digests.of_texts(names, digests.of_rows(held, rows))


def plans_of(run: IncrementalRun, clips: sessions.Clips) -> Plans:
    """The sessions of every seed, as the flags want them."""
    base_shot: int | str = 0
    if run.base_shot:
        base_shot = int(run.base_shot) if run.base_shot.isascii() and run.base_shot.isdigit() else run.base_shot
    asked = {"way": run.way, "shot": run.shot, "sessions": run.sessions, "base_way": run.base_way}
    asked |= {"base_shot": base_shot, "order": run.order, "profile": run.profile}
    return tuple(sessions.plan(clips, seed=seed, **asked) for seed in run.seeds)


def read(run: IncrementalRun, config: ClassifierConfig | None, pools: bool) -> Pool:
    """Lists, plans, reads.

    Args:
      run: the flags.
      config: of the network; None for embeddings.
      pools: whether a memory chooses among all clips that may be learnt from, so that these are read too.

    Raises:
      BadInput: what listing, planning and reading refuse.
    """
    return _of_vectors(run, pools) if config is None else _of_set(run, config, pools)


def _wanted(plans: Plans, pools: bool) -> Int[np.ndarray, " rows"]:
    parts = ("shots", "tests", *(("pool",) if pools else ()))
    return np.unique(np.concatenate([getattr(one, part) for plan in plans for one in plan for part in parts]))


def _moved(plans: Plans, wanted: Int[np.ndarray, " rows"], pools: bool) -> Plans:
    """The plans with positions among the wanted clips."""

    def place(rows: np.ndarray) -> np.ndarray:
        return np.searchsorted(wanted, rows)

    return tuple(
        tuple(
            one._replace(
                shots=place(one.shots), tests=place(one.tests), pool=place(one.pool) if pools else place(one.shots)
            )
            for one in plan
        )
        for plan in plans
    )


def _some(clips: sessions.Clips, rows: Int[np.ndarray, " rows"]) -> sessions.Clips:
    groups = None if clips.groups is None else tuple(clips.groups[k] for k in rows)
    held = None if clips.held is None else clips.held[rows]
    return sessions.Clips(clips.labels[rows], clips.classes, tuple(clips.ids[k] for k in rows), groups, held)


def _listing(clips: sessions.Clips, *held: np.ndarray) -> str:
    """Names clips, their classes and which of them test, and what they hold where that has been read."""
    tests = None if clips.held is None else clips.held.tolist()
    names = [clips.ids, [clips.classes[c] for c in clips.labels], tests]
    return digests.of_texts(repr(names), digests.of_arrays(*held) if held else "")


def _say_shared(plans: Plans, clips: sessions.Clips) -> None:
    """Says how many tests are of a speaker or recording that gave a shot of their class, where splits do not part."""
    if most := max(sessions.sharing(plan, clips) for plan in plans):
        print(
            f"note: --train_split and --split share speakers or recordings: {counted(most, 'test clip')} of a seed at "
            "the most of one that gave a shot of the class; the same splits for both keep them apart"
        )


def _splits(run: IncrementalRun) -> tuple[str, ...]:
    """Every split once; raises `BadInput` where those of shots and tests overlap without being the same."""
    train, test = dict.fromkeys(run.train_split), dict.fromkeys(run.split)
    if not train or not test or (set(train) != set(test) and set(train) & set(test)):
        raise BadInput(
            f"--train_split={','.join(train)} and --split={','.join(test)}: expected splits that have none in common, "
            "or the same ones for both"
        )
    return tuple(dict.fromkeys([*train, *test]))


def _apart(run: IncrementalRun) -> bool:
    """Whether shots and tests come from splits of their own."""
    return set(run.train_split) != set(run.split)


def _listed(run: IncrementalRun, dataset: DataSet) -> Listed:
    ids, labels, splits, refs = [], [], [], []
    for split in _splits(run):
        check_split(dataset, split)
        if dataset.generate is not None:
            made = dataset.generate(split, 0)
            found, own = made.ids, made.labels.tolist()
        else:
            listed = list_split(dataset, run.data_dir, split, run.allow_partial)[0]
            refs += listed
            found, own = [ref.id for ref in listed], [ref.label for ref in listed]
        ids, labels, splits = [*ids, *found], [*labels, *own], [*splits, *[split] * len(found)]
    held = np.isin(splits, list(run.split)) if _apart(run) else None
    groups = tuple(map(dataset.group, ids)) if dataset.group is not None and held is None else None
    clips = sessions.Clips(np.array(labels, int), dataset.classes, tuple(ids), groups, held)
    return Listed(clips, tuple(splits), tuple(refs) if refs else None)


def _of_set(run: IncrementalRun, config: ClassifierConfig, pools: bool) -> Pool:
    dataset = sets.get(run.dataset, run.data_dir)
    if dataset.label_rows is not None:
        raise BadInput(f"--dataset={run.dataset}: its clips have several labels, expected a set with one a clip")
    sessions.check_classes(dataset.classes, run.max_classes)
    listed, gone = _listed(run, dataset), set()
    while True:
        here = np.array([k for k, name in enumerate(listed.clips.ids) if printable(name) not in gone], int)
        some = _some(listed.clips, here)
        plans = plans_of(run, some)
        wanted = _wanted(plans, pools)
        loaded, skipped = load(run, dataset, config, listed, here[wanted], not gone)
        if not skipped:
            break
        gone |= skipped  # and planned again: a class may now have too few
    clips = _some(some, wanted)
    if dataset.group is not None and clips.groups is None:
        _say_shared(plans, some._replace(groups=tuple(map(dataset.group, some.ids))))
    # Of all that is listed: which clips are found unheard depends on the seeds that are asked for.
    return Pool(dataset.name, clips, _moved(plans, wanted, pools), loaded, None, _listing(listed.clips))


def _of_vectors(run: IncrementalRun, pools: bool) -> Pool:
    found = vectors.read(run.embeddings)
    place = f"--embeddings={run.embeddings}"
    if found.labels is None or found.label_rows is not None:
        raise BadInput(f"{place}: has no labels, or several a clip, expected one class for each clip that is used")
    sessions.check_classes(found.classes, run.max_classes)
    rows, held = _rows_of_splits(run, found, place)
    groups = found.groups if held is None else None
    labelled = sessions.Clips(np.asarray(found.labels), found.classes, found.ids, groups, None)
    some = _some(labelled, rows)._replace(held=None if held is None else held[rows])
    plans = plans_of(run, some)
    wanted = _wanted(plans, pools)
    if found.groups is not None and some.groups is None:
        _say_shared(plans, some._replace(groups=tuple(found.groups[k] for k in rows)))
    kept, clips = np.asarray(found.vectors[rows[wanted]], np.float32), _some(some, wanted)
    listing = _listing(some, found.vectors[rows])
    return Pool(_name_of(found), clips, _moved(plans, wanted, pools), None, kept, listing)


def _name_of(found: Vectors) -> str:
    return str(found.manifest.get("dataset") or Path(found.place).stem)


def _rows_of_splits(run: IncrementalRun, found: Vectors, place: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Labelled rows of the splits that are asked for, and which of all rows only test; None where nothing says it."""
    labelled = np.asarray(found.labels) >= 0
    if found.splits is None:
        return np.flatnonzero(labelled), None
    splits, wanted = np.array(found.splits), _splits(run)
    known = sorted(set(splits.tolist()))
    absent = [name for name in wanted if name not in known]
    if absent:
        raise BadInput(
            f"{place}: no clip is of the split {absent[0]!r}, expected some; its splits are {', '.join(known)}: name "
            "them with --train_split and --split"
        )
    held = np.isin(splits, list(run.split)) if _apart(run) else None
    return np.flatnonzero(labelled & np.isin(splits, wanted)), held
