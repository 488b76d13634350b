"""The clips of a cross-validation: one table of what is shared out, what is only trained on, and what no fold sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from dhauds_jax.calibration import labels_by_group
from dhauds_jax.data import colored, pipeline, sets
from dhauds_jax.data.folds import group_folds
from dhauds_jax.data.notices import absent_classes
from dhauds_jax.data.pipeline import ClipSplit
from dhauds_jax.dsp.clip_layout import lay_out
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig, reading
from dhauds_jax.registry import nearest
from dhauds_jax.runs import crossval_overlap
from dhauds_jax.runs.crossval_settings import pooled_splits, test_split
from dhauds_jax.runs.requests.crossval import CrossvalRun
from dhauds_jax.train.clips import open_clips
from dhauds_jax.train.copies import gathered
from dhauds_jax.wording import counted

DOG = ("Barking", "Howling", "Crying")
"""Classes that `--extra=dog` means, and `--extra=non_dog` leaves out."""

TEST, EXTRA, NOISE, LEFT_OVER = -1, -2, -3, -4
"""Folds of clips that are in none: those that no fold sees, and three kinds that are only trained on."""
NO_FOLD = -9
_EXTRA = "extra/"


class Pool(NamedTuple):
    """All clips in one table.

    Attributes:
      clips: the rows, float32 at the network's rate, length and layout; labels are those of the logits.
      fold: (clips,) from 0, or `TEST`, `EXTRA`, `NOISE`.
      held: (clips,) the fold that is not trained on a clip: its own, or that of a noise; -9 for none.
      copy: (clips,) of a noise the shifted copy of the training clips that it goes with, else 0.
      reported: (clips,) the label that is reported, of a group where there are groups.
      shared: (clips, folds + 1) of an extra clip the folds that have its like, by samples or group, and last whether
        the clips that no fold sees do; it is not trained on where these are held out.
    """

    clips: ClipSplit
    fold: Int[np.ndarray, " clips"]
    held: Int[np.ndarray, " clips"]
    copy: Int[np.ndarray, " clips"]
    reported: Int[np.ndarray, " clips"]
    shared: Bool[np.ndarray, "clips judgements"]

    def rows(self, *folds: int) -> Int[np.ndarray, " some"]:
        """Positions of the clips of some folds."""
        return np.flatnonzero(np.isin(self.fold, folds))

    def training(self, left_out: Sequence[int], starts: Sequence[int]) -> ClipSplit:
        """What is trained on without some folds: their own clips once for each of `starts`, extra ones once.

        Each copy of the clips has its own noises, which are not shifted.
        """
        there = ~np.isin(self.held, left_out) & ~self.shared[:, [*left_out, -1]].any(1)
        own = np.flatnonzero(there & ((self.fold >= 0) | (self.fold == LEFT_OVER)))
        extra = np.flatnonzero(there & (self.fold == EXTRA))
        noise = np.flatnonzero(there & (self.fold == NOISE) & (self.copy < len(starts)))
        row = np.concatenate([np.tile(own, len(starts)), extra, noise])
        shift = np.zeros(len(row), int)
        shift[: len(own) * len(starts)] = np.repeat(starts, len(own))
        return gathered(self.clips, row, shift)


def read(run: CrossvalRun, dataset: sets.DataSet, config: ClassifierConfig, copies: int) -> Pool:
    """Reads all splits, lays them out, and deals the folds.

    Args:
      run: settled.
      dataset: whose clips are shared out.
      config: of the network.
      copies: of `--views`, over which noises are shared out.

    Raises:
      BadInput: what reading a set refuses, clips that do not fit into memory, an extra set of other classes.
    """
    noise = _noise(run, config, copies)
    own = _joined([_opened(run, dataset, split, config) for split in pooled_splits(run, dataset)])
    last = test_split(run, dataset)
    test = [] if last is None else [_opened(run, dataset, last, config)]
    extra, group = ([], None) if run.extra_dataset is None else _extra(run, dataset, config)
    each = len(noise.ids) // copies if noise else 0
    fold, of_noise = _folds(run, dataset, own, each)
    clips = _joined([own, *test, *extra, *([noise] if noise else [])])
    kinds = [fold, *(np.full(len(p.ids), TEST) for p in test), *(np.full(len(p.ids), EXTRA) for p in extra)]
    kinds.append(np.full(each * copies, NOISE))
    kind = np.concatenate(kinds).astype(np.int64)
    held, copy = np.where(kind >= 0, kind, NO_FOLD), np.zeros(len(clips.ids), int)
    if noise:
        held[-len(noise.ids) :] = np.tile(of_noise, copies)
        copy[-len(noise.ids) :] = np.arange(len(noise.ids)) // each
    shared = np.zeros((len(clips.ids), run.folds + 1), bool)
    for more in extra:
        judged = np.flatnonzero((kind >= 0) | (kind == TEST))
        found = crossval_overlap.overlaps(more, group, clips, dataset.group, judged, kind[judged], run.folds)
        crossval_overlap.say(run.extra_dataset, found)
        shared[kind == EXTRA] = found
    return Pool(clips, kind, held, copy, labels_by_group(clips.labels, config.groups), shared)


def say_absent(pool: Pool, config: ClassifierConfig) -> tuple[str, ...]:
    """Prints which reported classes have no clip to be judged by, of those that are shared out; returns their names."""
    shared = pool.reported[pool.fold >= 0]
    for sentence in absent_classes("what is shared out over the folds", config.reported, shared):
        print(f"note: {sentence}")
    return tuple(name for k, name in enumerate(config.reported) if k not in set(shared.tolist()))


def _opened(run: CrossvalRun, dataset: sets.DataSet, split: str, config: ClassifierConfig) -> ClipSplit:
    """A split at the network's rate and length, laid out as it wants short clips."""
    clips = open_clips(run, dataset, split, config, config.length, run.memory_budget_mb)
    if clips.waves is None:
        raise BadInput(
            f"split {split} of {dataset.name} does not fit into --memory_budget_mb={run.memory_budget_mb:g}, expected "
            "clips in memory for cross-validation: raise it"
        )
    layout, waves = reading(config.front_end)["layout"], np.zeros((len(clips.ids), config.length), np.float32)
    for row, wave, length in zip(waves, clips.waves, clips.lengths, strict=True):
        head = (config.length - length) // 2
        samples = wave[head : head + length]
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768
        row[:] = lay_out(samples, config.length, layout=layout)
    return clips._replace(waves=waves, lengths=np.full(len(waves), config.length, np.int32))


def _joined(parts: Sequence[ClipSplit]) -> ClipSplit:
    first = parts[0]
    if len(parts) == 1:
        return first
    return first._replace(
        ids=tuple(clip for part in parts for clip in part.ids),
        labels=np.concatenate([part.labels for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        waves=np.concatenate([part.waves for part in parts]),
    )


def _noise(run: CrossvalRun, config: ClassifierConfig, copies: int) -> ClipSplit | None:
    """Pink noise, as many clips for each copy of the training clips; None for none.

    Raises:
      BadInput: fewer than copies.
    """
    each = run.noise_clips // copies
    if not run.noise_clips:
        return None
    if not each:
        raise BadInput(
            f"--noise_clips={run.noise_clips}: are shared out over the {copies} copies of --views={run.views}, which "
            f"leaves none for each, expected at least {copies}, or 0 for none"
        )
    if run.noise_clips != (each * copies if run.train_shifts else each):
        why = "" if run.train_shifts else f"; {each} trained on: without --train_shifts there is one copy in training"
        print(
            f"note: --noise_clips={run.noise_clips}: {each * copies} are made, {each} for each of {copies} copies of "
            f"--views={run.views}{why}"
        )
    made = colored.noise_clips(each * copies, config.length, seed=run.seed)
    labels = np.full(len(made.ids), config.classes.index(run.noise_class), np.int32)
    full = np.full(len(made.ids), config.length, np.int32)
    about = {"classes": config.classes, "sample_rate": config.sample_rate}
    return pipeline.from_arrays(made.ids, made.waves, labels, full, **about)


def wanted(classes: Sequence[str], extra: Sequence[str]) -> tuple[str, ...]:
    """The classes that `--extra` names.

    Raises:
      BadInput: a name that the set does not have.
    """
    kinds = {
        "all": tuple(classes),
        "dog": tuple(name for name in classes if name in DOG),
        "non_dog": tuple(name for name in classes if name not in DOG),
    }
    for name in extra:
        if name not in kinds and name not in classes:
            raise BadInput(f"--extra={name}: expected {nearest(name, (*kinds, *classes))}")
    found = {one for name in extra for one in kinds.get(name, (name,))}
    return tuple(name for name in classes if name in found)


def _extra(
    run: CrossvalRun, dataset: sets.DataSet, config: ClassifierConfig
) -> tuple[list[ClipSplit], crossval_overlap.Group]:
    """The clips of the extra set that are asked for, labels those of the set that is shared out, and their groups."""
    more = sets.get(run.extra_dataset, run.extra_data_dir)
    foreign = [name for name in more.classes if name not in dataset.classes]
    if foreign:
        raise BadInput(
            f"--extra_dataset={run.extra_dataset}: its class {foreign[0]!r} is none of {dataset.name}, expected "
            f"classes among {', '.join(dataset.classes[:4])}, ..."
        )
    place = run.replace(data_dir=run.extra_data_dir)
    clips = _joined([_opened(place, more, split, config) for split in more.splits])
    names = wanted(more.classes, run.extra)
    kept = np.flatnonzero(np.isin(clips.labels, [more.classes.index(name) for name in names]))
    print(f"extra: {counted(len(kept), 'clip')} of {more.name} in training alone ({', '.join(run.extra)})")
    index = np.array([dataset.classes.index(name) for name in more.classes], np.int32)
    found = clips._replace(
        ids=tuple(f"{_EXTRA}{clips.ids[k]}" for k in kept),
        labels=index[clips.labels[kept]],
        lengths=clips.lengths[kept],
        waves=clips.waves[kept],
        classes=config.classes,
    )
    group = more.group
    return [found], group and (lambda clip: group(clip.removeprefix(_EXTRA)))


def _folds(run: CrossvalRun, dataset: sets.DataSet, own: ClipSplit, noises: int) -> tuple[np.ndarray, np.ndarray]:
    """The fold of each clip that is shared out, from 0, and the one that is not trained on a noise, of a copy's."""
    free = np.full(noises, NO_FOLD)
    if run.fold_rule == "groups":
        if dataset.group is None:
            print(f"note: {dataset.name} has no groups: clips of one recording or speaker may lie in several folds")
        return group_folds(own.ids, own.labels, run.folds, group=dataset.group, seed=run.seed), free
    if run.fold_rule == "permutation":
        return permuted_folds(len(own.ids), noises, run.folds, run.seed)
    names = [dataset.fold(clip) for clip in own.ids]
    known = sorted(set(names))
    if len(known) != run.folds:
        raise BadInput(f"--folds={run.folds}: {dataset.name} has the folds {', '.join(known)}, expected their number")
    return np.array([known.index(name) for name in names], np.int32), free


def permuted_folds(clips: int, noises: int, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Folds of a permutation of clips and noises, whatever recording a clip is from: of the clips, of the noises.

    A fold is one of `folds` slices of equal size, which it is not trained on; its noises are not validated either. What
    is left over at the end is trained on by all folds and never validated (`LEFT_OVER`, of noises `NO_FOLD`).

    Source: Tomofun challenge, team ADEE, src/run_classification_verbose_classes_final.py (T6, T19).
    """
    order = np.random.default_rng([seed, 0x666F6C64]).permutation(clips + noises)
    each = (clips + noises) // folds
    fold = np.full(clips + noises, LEFT_OVER, np.int32)
    for number in range(folds):
        fold[order[number * each : (number + 1) * each]] = number
    return fold[:clips], np.where(fold[clips:] >= 0, fold[clips:], NO_FOLD)
