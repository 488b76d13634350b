"""Folds for cross-validation: no group in two, classes balanced as well as the groups allow, keyed by clip ids."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.wording import counted


def group_folds(
    ids: Sequence[str],
    labels: Int[np.ndarray, " clips"],
    folds: int,
    *,
    group: Callable[[str], str] | None = None,
    seed: int = 0,
) -> Int[np.ndarray, " clips"]:
    """The fold of each clip, 0 to `folds - 1`.

    Groups are dealt one by one, those with the most clips of one class first and equals in the order of a hash of
    (seed, group). Each goes to the fold after which, over all classes c and folds f, the sum of (n_cf / n_c)^2 is
    least (n_cf of the n_c clips of c being in f): so each class is spread evenly, a rare one counts as much as a common
    one, and a whole fold of nothing does not arise while another could give. Equal folds: the one with fewer clips,
    then the lower number.

    Neither the order of the clips nor the machine changes a fold: everything is a function of ids, labels, `folds` and
    `seed`, in whole numbers.

    Args:
      ids: names of the clips, each once.
      labels: (clips,) class of each.
      folds: how many, from 2.
      group: id -> what must lie in one fold (`DataSet.group`); None: each clip is a group of its own.
      seed: of the order of equal groups.

    Raises:
      BadInput: fewer than two folds, an id twice, or fewer groups than folds.
    """
    _check(ids, labels, folds)
    owners = [group(clip) if group else clip for clip in ids]
    names, place = np.unique(np.asarray(owners, object), return_inverse=True)
    _check_groups(len(ids), names, folds)
    classes, label = np.unique(labels, return_inverse=True)
    table = np.zeros((len(names), len(classes)), np.int64)  # clips of each group and class
    np.add.at(table, (place, label), 1)
    order = sorted(range(len(names)), key=lambda k: (-int(table[k].max()), -int(table[k].sum()), _hash(seed, names[k])))
    return _deal(table[order], folds)[np.argsort(order)][place].astype(np.int32)


def _deal(table: Int[np.ndarray, "groups classes"], folds: int) -> Int[np.ndarray, " groups"]:
    """The fold of each group, dealt in the order of the rows."""
    totals = table.sum(0)
    # (n_cf / n_c)^2 in whole numbers that are the same on every machine: a class weighs 2^40 / n_c^2.
    weight = np.maximum((1 << 40) // np.maximum(totals * totals, 1), 1)
    counts = np.zeros((folds, table.shape[1]), np.int64)
    chosen = np.zeros(len(table), np.int64)
    for row, clips in enumerate(table):
        more = ((2 * counts + clips) * clips * weight).sum(1)  # what the sum grows by: (n + k)^2 - n^2
        empty_left = int((counts.sum(1) == 0).sum())
        held = counts.sum(1)
        if empty_left >= len(table) - row:  # as many groups as empty folds are left
            more = np.where(held > 0, np.iinfo(np.int64).max, more)
        chosen[row] = min(range(folds), key=lambda k: (int(more[k]), int(held[k]), k))
        counts[chosen[row]] += clips
    return chosen


def _hash(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()


def _check_groups(clips: int, names: np.ndarray, folds: int) -> None:
    if len(names) < folds:
        first = f" (the first: {printable(str(names[0]))})" if len(names) else ""
        fewer = f"--folds={len(names)} or " if len(names) > 1 else ""
        raise BadInput(
            f"--folds={folds}: the {counted(clips, 'clip')} are of {counted(len(names), 'group')}{first}, expected "
            f"at least as many groups as folds, since a group lies in one; give {fewer}clips of more groups"
        )


def _check(ids: Sequence[str], labels: np.ndarray, folds: int) -> None:
    if folds < 2:
        raise BadInput(f"--folds={folds}: expected a number of folds from 2")
    if len(ids) != len(labels):
        raise ValueError(f"{len(ids)} ids and {len(labels)} labels, expected as many")
    seen: set[str] = set()
    for clip in ids:
        if clip in seen:
            raise BadInput(f"folds: clip {printable(clip)!r} is there twice, expected each once; leave one out")
        seen.add(clip)
