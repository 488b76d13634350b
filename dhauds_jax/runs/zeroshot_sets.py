"""Embedded sets as a zero-shot grid takes them: unit vectors, labels, and in which fold each clip is tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.wording import counted
from dhauds_jax.workdir import vectors
from dhauds_jax.workdir.vectors import Vectors

TRAINING, LEFT_OUT = -1, -2
"""Folds of clips that are never tested: those that prototypes are made of, and those of other splits or no label."""


class LabelledSet(NamedTuple):
    """A set to classify.

    Attributes:
      name: what records call it.
      about: what was read, with ids, classes, groups, backgrounds and manifest.
      vectors: unit vectors of all rows.
      labels: class indices, -1 for none.
      fold: the fold (from 0) that each clip is tested in, or `TRAINING`, or `LEFT_OUT`.
      folds: names of the folds, the same for all sets of a run.
      clean: whether nothing was mixed in, as far as it says.
      digest: of what was read, taken once.
    """

    name: str
    about: Vectors
    vectors: Float[np.ndarray, "rows width"]
    labels: Int[np.ndarray, " rows"]
    fold: Int[np.ndarray, " rows"]
    folds: tuple[str, ...]
    clean: bool
    digest: str

    @property
    def tested(self) -> np.ndarray:
        """The rows that are tested, in their order."""
        return np.flatnonzero(self.fold >= 0)

    @property
    def training(self) -> np.ndarray:
        """(folds, rows) 1 where a clip is a training clip of a fold."""
        usable = (self.fold != LEFT_OUT) & (self.labels >= 0)
        return ((np.arange(len(self.folds))[:, None] != self.fold[None]) & usable[None]).astype(np.float32)

    @property
    def corruption(self) -> tuple[str, str]:
        """Its corruption and level, as the manifest says."""
        drawn = self.about.manifest.get("corruption", {})
        return str(drawn.get("name", CLEAN)), str(drawn.get("level", "-"))


def unit(rows: Float[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows width"]:
    """Rows of length 1 in float32, their lengths in float64; of none that is all zeros."""
    lengths = np.linalg.norm(np.asarray(rows, np.float64), axis=1, keepdims=True)
    return (rows / lengths).astype(np.float32)


def read(places: Sequence[str], folds: str, split: str, train_split: str, seed: int) -> list[LabelledSet]:
    """The sets of some places.

    Raises:
      BadInput: what `vectors.read_all` refuses, sets of other classes or without labels, folds that cannot be made.
    """
    found = vectors.read_all(places)
    stems = [Path(place).stem for place in places]
    names = stems if len(set(stems)) == len(stems) else list(map(str, places))
    return of_vectors(found, names, folds, split, train_split, seed)


def of_vectors(
    found: Sequence[Vectors], names: Sequence[str], folds: str = "", split: str = "test",
    train_split: str = "train", seed: int = 0,
) -> list[LabelledSet]:  # fmt: skip
    """Sets from what was read or computed.

    Args:
      found: embeddings of one encoder.
      names: what records call each.
      folds: "" for those of the index, else its splits; "split"; or a number.
      split: the index's split that is tested.
      train_split: the one that prototypes are made of.
      seed: of a number of folds.
    """
    most = max(found, key=lambda one: len(one.classes)).classes  # a set may know only those that its clips have
    found = [one.in_order_of(most) for one in found]
    for one in found:
        if one.labels is None or not (one.labels >= 0).any():
            raise BadInput(
                f"--embeddings={one.place}: no clip has a label, expected labels to measure by; to name the sounds of "
                "a folder give experiments.classify --class_names"
            )
        if one.classes != found[0].classes:
            raise BadInput(
                f"--embeddings={found[0].place},{one.place}: classes {_few(found[0].classes)} and {_few(one.classes)}, "
                "expected the same in all; embed both with the same labels"
            )
    texts = _texts(found, folds, split, train_split, seed)
    training = train_split if _by_split(found, folds, train_split) else ""
    order = tuple(sorted({text for some in texts for text in some} - {"", training}))
    sets = []
    for one, some, name in zip(found, texts, names, strict=True):
        fold = _numbers(one, some, order, training)
        clean = one.backgrounds is None and one.manifest.get("corruption", {}).get("name", CLEAN) == CLEAN
        made = LabelledSet(name, one, unit(one.vectors), np.asarray(one.labels), fold, (), clean, one.digest)
        sets.append(made)
    tested = sorted({int(k) for one in sets for k in one.fold if k >= 0})
    if not tested:
        raise BadInput(f"--embeddings={found[0].place}: no clip is left to test, expected some of split {split}")
    folded = tuple(order[k] for k in tested)
    sets = [one._replace(fold=_again(one.fold, tested), folds=folded) for one in sets]
    for one in sets:
        check_folds(one)
    return sets


def _by_split(found: Sequence[Vectors], folds: str, train_split: str) -> bool:
    if folds == "split":
        return True
    whole = all(one.folds is not None and all(one.folds) for one in found)
    return not folds and not whole and any(one.splits is not None and train_split in one.splits for one in found)


def _texts(found: Sequence[Vectors], folds: str, split: str, train_split: str, seed: int) -> list[tuple[str, ...]]:
    """The fold of every row of every set as a text; "" for rows that take no part."""
    if _by_split(found, folds, train_split):
        return [_split_texts(one, split, train_split) for one in found]
    if not folds:
        whole = all(one.folds is not None and all(one.folds) for one in found)
        return [one.folds if whole else ("all",) * len(one.ids) for one in found]
    if not folds.isdigit() or int(folds) < 2:
        raise BadInput(f"--folds={folds}: expected a number of folds from 2, split, or nothing for those of the index")
    owners = [owners_of(one) for one in found]
    groups = sorted({owner for some in owners for owner in some})
    if len(groups) < int(folds):
        raise BadInput(f"--folds={folds}: there are {counted(len(groups), 'group')}, expected at least as many")
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[int(place)]: str(k % int(folds)) for k, place in enumerate(shuffled)}
    return [tuple(fold_of[owner] for owner in some) for some in owners]


def _split_texts(one: Vectors, split: str, train_split: str) -> tuple[str, ...]:
    if one.splits is None:
        return (split,) * len(one.ids)
    return tuple(text if text in (split, train_split) else "" for text in one.splits)


def _numbers(one: Vectors, texts: Sequence[str], order: Sequence[str], training: str) -> np.ndarray:
    places = {text: k for k, text in enumerate(order)} | {training: TRAINING, "": LEFT_OUT}
    fold = np.array([places[text] for text in texts])
    return np.where(np.asarray(one.labels) >= 0, fold, LEFT_OUT)


def _again(fold: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """Folds numbered from 0 without those in which nothing is tested."""
    return np.where(fold >= 0, np.searchsorted(kept, fold), fold)


def check_folds(one: LabelledSet) -> None:
    """Raises `BadInput` where nothing is tested, or a fold has fewer than two clips."""
    if not len(one.tested):
        raise BadInput(f"--embeddings={one.about.place}: no clip is left to test, expected labelled clips of its split")
    counts = np.bincount(one.fold[one.tested], minlength=len(one.folds))
    if counts.min() < 2:
        raise BadInput(
            f"--embeddings={one.about.place}: fold {one.folds[int(counts.argmin())]} has "
            f"{counted(int(counts.min()), 'clip')}, expected at least two in each: its accuracy of 0 or 100 % would "
            "weigh as much as any other fold's"
        )


def of_few_classes(sets: Sequence[LabelledSet]) -> list[str]:
    """A sentence on each set whose tested clips have not all of the classes, which it is scored over all the same."""
    said = []
    for one in sets:
        rows, several = one.tested, one.about.label_rows
        count = len(np.unique(one.labels[rows])) if several is None else int(np.any(several[rows], 0).sum())
        if count < len(one.about.classes):
            said.append(f"{one.name}: {count} of {len(one.about.classes)} classes have clips")
    return list(dict.fromkeys(said))


def clean_of(sets: Sequence[LabelledSet]) -> LabelledSet | None:
    """The clean set among them: the only one that nothing was mixed into; None where there is none."""
    found = [one for one in sets if one.clean]
    return found[0] if len(found) == 1 else None


def owners_of(one: Vectors) -> tuple[str, ...]:
    """What a number of folds keeps together: a row's group, of one without a group its id."""
    groups = one.groups or ("",) * len(one.ids)
    return tuple(group or name for group, name in zip(groups, one.ids, strict=True))


def check_owners(clean: LabelledSet, one: LabelledSet, folds: str) -> None:
    """That drawn folds keep a clip of a set and its clean original together: raises `BadInput` where nothing says so.

    Prototypes of the clean clips of other folds would else hold the clean originals of the clips that are tested.
    """
    ours, theirs = set(owners_of(one.about)), set(owners_of(clean.about))
    if not folds.isdigit() or ours <= theirs or theirs <= ours:
        return
    alone = min(ours - theirs)
    raise BadInput(
        f"--folds={folds}: {alone!r} of {one.about.place} has no clip of this name or group in the clean set "
        f"{clean.about.place}, expected both by the same ids, or a column group with the original's in the index of "
        "the other, else clean originals of tested clips make prototypes; give --train=same, or embed with a group"
    )


def _few(classes: Sequence[str]) -> str:
    return ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
