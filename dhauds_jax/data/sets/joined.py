"""Several sets as one: `A+B`, in which classes of equal name are one, or `A+B+apart`, in which each keeps its own.

A clip's id is its part's name and its own id, `free_spoken_digit/recordings/7_theo_3.wav`, so ids stay unique and the
draws of corruptions are those of the part. A part that comes again, from another folder, is called `folder~2`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, draw_name, list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.requests import APART, JOIN


class Part(NamedTuple):
    """One of the sets of a join.

    Attributes:
      dataset: the set, as it lies in its folder.
      prefix: what its clips' ids begin with, before a "/".
      data_dir: its folder.
      labels: for each of its classes the label in the join.
    """

    dataset: DataSet
    prefix: str
    data_dir: str | None
    labels: tuple[int, ...] = ()


def names_of(name: str) -> tuple[tuple[str, ...], bool]:
    """The sets that a text names, variants included, and whether their classes stay apart.

    Raises:
      BadInput: fewer than two sets, or a name without a text.
    """
    texts = name.split(JOIN)
    apart = texts[-1] == APART
    texts = texts[:-1] if apart else texts
    if len(texts) < 2 or not all(texts):
        raise BadInput(f"--dataset={name}: expected two data sets or more with {JOIN} between them, such as A{JOIN}B")
    return tuple(texts), apart


def folders_of(name: str, data_dir: Path | str | None) -> tuple[str | None, ...]:
    """The folder of each part: one for all of them, or as many as there are, separated by commas.

    Raises:
      BadInput: another number of folders.
    """
    texts, _ = names_of(name)
    folders = str(data_dir).split(",") if data_dir else [None]
    if len(folders) == 1:
        return tuple(folders * len(texts))
    if len(folders) != len(texts) or not all(folders):
        raise BadInput(
            f"--data_dir={data_dir}: {len(folders)} folders for the {len(texts)} sets of --dataset={name}, expected "
            "one for all, or one for each in their order, separated by commas"
        )
    return tuple(folders)


def join(name: str, data_dir: Path | str | None, get: Callable[[str, str | None], DataSet]) -> DataSet:
    """The set that `A+B` names, or `A+B+apart`.

    Its splits are those that all parts have; its rate (Hz) and clip length (samples) the largest of theirs, each file
    being read at its own rate. Classes keep the order of the parts; apart, each is called "part/class", always, so
    that a third set renames none. Groups keep their names: a speaker of both releases of Speech Commands is one.

    Args:
      name: the text.
      data_dir: one folder for all parts, or one for each, separated by commas.
      get: finds a part by its name and folder.

    Raises:
      BadInput: unknown parts, another number of folders, parts that are made in memory or have several labels a clip,
        no split that all have, one set twice in one folder.
    """
    texts, apart = names_of(name)
    parts = _named([(get(text, folder), folder) for text, folder in zip(texts, folders_of(name, data_dir))])
    _check(name, parts)
    owned = [[f"{part.prefix}/{one}" if apart else one for one in part.dataset.classes] for part in parts]
    classes = tuple(dict.fromkeys(one for names in owned for one in names))
    parts = [part._replace(labels=tuple(map(classes.index, names))) for part, names in zip(parts, owned)]
    found = [part.dataset for part in parts]
    splits = tuple(split for split in found[0].splits if all(split in one.splits for one in found))
    rate = max(one.sample_rate for one in found)
    same = {field: {getattr(one, field) for one in found} for field in ("metric", "order", "val_within")}
    limits = [one.seconds for one in found]

    def listing(where: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
        check_split(made, split)
        folders = folders_of(name, where)
        return _listed([part._replace(data_dir=f) for part, f in zip(parts, folders)], split, allow_partial)

    made = DataSet(
        name=name,
        classes=classes,
        sample_rate=rate,
        length=max(-(-one.length * rate // one.sample_rate) for one in found),
        splits=splits,
        metric=same["metric"].pop() if len(same["metric"]) == 1 else "accuracy",
        order=same["order"].pop() if len(same["order"]) == 1 else Order(stretch_both_ways=None),
        licence="; ".join(dict.fromkeys(one.licence for one in found)),
        citation="; ".join(dict.fromkeys(one.citation for one in found)),
        listing=listing,
        layout="\n".join(dict.fromkeys(one.layout for one in found)),
        counts=_counts(found, splits),
        seconds=None if None in limits else (min(low for low, _ in limits), max(high for _, high in limits)),
        val_within=same["val_within"].pop() if len(same["val_within"]) == 1 else "",
        fold=_of_part(parts, "fold") if all(one.fold for one in found) else None,
        group=_of_part(parts, "group") if any(one.group for one in found) else None,
        parts=tuple(found),
    )
    return made


def _named(found: Sequence[tuple[DataSet, str | None]]) -> list[Part]:
    """The parts with their prefixes: the set's name without its variant, with a number from its second time on."""
    seen: Counter[str] = Counter()
    parts = []
    for dataset, folder in found:
        base = draw_name(dataset)
        seen[base] += 1
        parts.append(Part(dataset, base if seen[base] == 1 else f"{base}~{seen[base]}", folder))
    return parts


def _check(name: str, parts: Sequence[Part]) -> None:
    twice = Counter((draw_name(part.dataset), part.data_dir) for part in parts if part.data_dir)
    for (base, folder), times in twice.items():
        if times > 1:
            raise BadInput(
                f"--dataset={name}: {base} is named {times} times with the folder {folder}, expected each set once, or "
                "a --data_dir for each"
            )
    for part in parts:
        if part.dataset.listing is None:
            raise BadInput(f"--dataset={name}: {part.dataset.name} is made in memory, expected sets that lie on disk")
        if part.dataset.label_rows is not None:
            raise BadInput(f"--dataset={name}: clips of {part.dataset.name} have several labels, expected one a clip")
    common = set.intersection(*(set(part.dataset.splits) for part in parts))
    if not common:
        held = "; ".join(f"{part.dataset.name} has {' and '.join(part.dataset.splits)}" for part in parts)
        raise BadInput(f"--dataset={name}: {held}, expected sets with a split in common")


def _counts(found: Sequence[DataSet], splits: Sequence[str]) -> dict[str, int]:
    """Published clips of each split that all parts know."""
    known = [split for split in splits if all(split in one.counts for one in found)]
    return {split: sum(one.counts[split] for one in found) for split in known}


def _listed(parts: Sequence[Part], split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    refs, notices = [], []
    for part in parts:
        own, said = list_split(part.dataset, part.data_dir, split, allow_partial)
        refs += [ref._replace(id=f"{part.prefix}/{ref.id}", label=part.labels[ref.label]) for ref in own]
        notices += said
    return refs, tuple(notices)


def _of_part(parts: Sequence[Part], field: str) -> Callable[[str], str]:
    """A clip's fold or group as its part has it; a clip of a part without groups is one of its own."""
    functions = {part.prefix: getattr(part.dataset, field) for part in parts}

    def of(clip: str) -> str:
        prefix, _, own = clip.partition("/")
        return functions[prefix](own) if functions[prefix] else clip

    return of
