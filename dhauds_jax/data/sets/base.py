"""What a data set is: its constants, its order of operations, and a listing of its clips."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.data import walking
from dhauds_jax.errors import BadInput
from dhauds_jax.files import is_inside, printable
from dhauds_jax.registry import nearest
from dhauds_jax.requests import JOIN, set_names


class ClipRef(NamedTuple):
    """One clip of a split.

    Attributes:
      id: a name that stays the same on every machine (a relative path with "/"); corruption draws are keyed by it.
      path: where the file lies.
      label: index into the data set's `classes`.
    """

    id: str
    path: Path
    label: int


class Chunk(NamedTuple):
    """A piece of a recording, with the classes that are heard in it.

    Attributes:
      id: a name that stays the same on every machine, as a clip's.
      path: where the recording lies.
      start, seconds: where the piece begins in it, and how long it is.
      labels: indices into the `Chunks`' classes, ascending; none where nothing is annotated.
      fold: the published fold in which its recording is tested, "1", "2", ...; "" where the copy does not say.
    """

    id: str
    path: Path
    start: float
    seconds: float
    labels: tuple[int, ...]
    fold: str = ""


class Chunks(NamedTuple):
    """How the recordings of a set fall into pieces with labels of their own, of which a piece has any number.

    Attributes:
      classes: what may be heard in a piece; the set's own classes are those of whole recordings.
      listing: `(data_dir, split, allow_partial) -> (chunks, notices)`.
      group: id of a piece -> its recording.
    """

    classes: tuple[str, ...]
    listing: Callable[[Path | str | None, str, bool], tuple[list[Chunk], tuple[str, ...]]]
    group: Callable[[str], str]


class Order(NamedTuple):
    """The order of operations of a data set at adaptation time.

    Every corruption but the time stretch acts on the laid-out clip (a shorter one in the centre of silence, of a longer
    one the head); the stretch acts on the clip as recorded, and its result is laid out.

    Attributes:
      stretch_both_ways: whether TST also draws slower speeds (rate 1-r); sets of isolated words use 1+r only. None
        where joined sets differ: TST is refused there.
    """

    stretch_both_ways: bool | None = True


class Generated(NamedTuple):
    """A split that is made in memory: ids, float32 (clips, length) waves, int32 labels."""

    ids: tuple[str, ...]
    waves: np.ndarray
    labels: np.ndarray


class DataSet(NamedTuple):
    """A data set as data and functions.

    Attributes:
      name: as given to `--dataset`; a variant (a fold, a label order) is called "set/variant" and shares its draws.
      classes: class names; a label is an index into them.
      sample_rate: the files' own rate in Hz.
      length: the clip length in samples at that rate; 0 for noise corpora, whose recordings have no common length.
      splits: names of its splits.
      metric: the published metric, "accuracy", "macro_f1" or "macro_roc_auc".
      order: the stretch's rules.
      licence, citation: one line each.
      listing: `(data_dir, split, allow_partial) -> (refs, notices)`; None for a generated set.
      generate: `(split, seed) -> Generated`; None for a set on disk.
      homepage: where to get it.
      layout: the published folders and files as a small tree, for the documentation and the download instructions.
      counts: published number of clips of each split.
      class_counts: published number of clips of each class, by split, where they are known.
      seconds: shortest and longest clip that a good copy has, in seconds; None where nothing is known.
      label_rows: for sets with several labels a clip: for each class the classes that are set with it.
      val_within: the split that val is a part of, where the publication has it so (as a whole or not); "" elsewhere.
      fold: clip id -> the published fold, "1", "2", ...; None where there are none, or ids do not tell.
      group: clip id -> the speaker, video or recording that it is from, which folds and shots keep together; None where
        ids do not tell.
      chunks: how its recordings fall into pieces with labels of their own, which `experiments.embed` takes instead of
        whole recordings; None where clips are what they are.
      class_groups: groups of classes by which probabilities are reported, `{"names": [...], "of": [group of each
        class]}` as `ClassifierConfig.groups` has them; None where each class stands for itself.
      at: `data_dir -> DataSet` for a set whose classes, splits, rate and length are found on disk; `sets.get` calls it.
      parts: the sets that it joins (`sets.joined`); none for all others.
      build: `(raw_dir, data_dir) -> notices`, makes the set's clips or tables in `data_dir` from the raw corpus; None
        for a set that is published as it is.
    """

    name: str
    classes: tuple[str, ...]
    sample_rate: int
    length: int
    splits: tuple[str, ...]
    metric: str
    order: Order
    licence: str
    citation: str
    listing: Callable[[Path | str | None, str, bool], tuple[list[ClipRef], tuple[str, ...]]] | None = None
    generate: Callable[[str, int], Generated] | None = None
    homepage: str = ""
    layout: str = ""
    counts: Mapping[str, int] = MappingProxyType({})
    class_counts: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    seconds: tuple[float, float] | None = None
    label_rows: tuple[tuple[int, ...], ...] | None = None
    val_within: str = ""
    at: Callable[[Path | str], DataSet] | None = None
    fold: Callable[[str], str] | None = None
    group: Callable[[str], str] | None = None
    chunks: Chunks | None = None
    class_groups: Mapping[str, Any] | None = None
    parts: tuple[DataSet, ...] = ()
    build: Callable[[Path | str, Path | str], tuple[str, ...]] | None = None


def multi_hot(dataset: DataSet, labels: np.ndarray) -> np.ndarray:
    """Rows of 0 and 1, float32 (clips, classes): the label and whatever `label_rows` sets with it."""
    table = np.eye(len(dataset.classes), dtype=np.float32)
    for label, others in enumerate(dataset.label_rows or ()):
        table[label, list(others)] = 1
    return table[labels]


def draw_name(dataset: DataSet) -> str:
    """The name that keys the corruption draws: all variants of a set share it (of a join: see `drawn_as`)."""
    return JOIN.join(set_names(dataset.name))


def drawn_as(dataset: str, clip: str) -> tuple[str, str]:
    """The set's name and the clip's id that key a clip's draws: of a join those of the part that the clip is from."""
    if JOIN not in dataset:
        return dataset.partition("/")[0], clip
    prefix, _, own = clip.partition("/")
    return prefix.partition("~")[0], own


USUAL = ("train", "val", "test")
"""Splits that most sets have."""


def check_split(dataset: DataSet, split: str) -> None:
    """Raises `BadInput` unless `split` is one of the set's splits."""
    if split not in dataset.splits and split in USUAL:  # perhaps a default that nobody typed
        flags = " or ".join(f"--split={name}" for name in dataset.splits)
        raise BadInput(f"there is no split {split!r} of {dataset.name}: give {flags}")
    if split not in dataset.splits:
        raise BadInput(f"unknown split {split!r} of {dataset.name}: expected {nearest(split, dataset.splits)}")


def list_split(
    dataset: DataSet, data_dir: Path | str | None, split: str, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """A split's clips and notices, of a set of ours or of a user's own; all that reads clips asks here.

    Args:
      dataset: a set on disk.
      data_dir: its folder.
      split: one of its splits.
      allow_partial: go on when a list names absent files.

    Raises:
      BadInput: an unknown split, what the set's own listing refuses, or a split without clips.
    """
    check_split(dataset, split)
    refs, notices = dataset.listing(data_dir, split, allow_partial)
    if not refs:
        raise BadInput(
            f"--data_dir={data_dir}: holds no clips of the split {split!r} of {dataset.name}, expected some; complete "
            "the copy or ask for another split"
        )
    check_inside((ref.id for ref in refs), f"--data_dir={data_dir}")
    return refs, tuple(dict.fromkeys(notices))


def check_inside(ids: Iterable[str], where: str) -> None:
    """Raises `BadInput` for a clip whose id would lie outside its set's folder, and outside that of what is written."""
    for clip in ids:
        if not is_inside(clip):
            raise BadInput(
                f"{where}: names the clip {printable(clip)}, expected a path inside the set's folder, without '..'; "
                "put the file there, or a link to it"
            )


def read_text(path: Path, errors: str = "strict") -> str:
    """The text of a list, UTF-8 with or without a byte order mark; raises `BadInput` for any other bytes.

    With `errors="surrogateescape"` they stand for themselves, as in the names of files that are not Unicode.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        perhaps = "UTF-16" if content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "perhaps cp1252"
        raise BadInput(
            f"{path}: byte {error.start} is not UTF-8 ({perhaps}), expected a text in UTF-8; save it as such"
        ) from error


def read_table(path: Path, errors: str = "strict") -> io.StringIO:
    """The text of a list in csv, for a reader; raises `BadInput` as `read_text`, and for other marks than commas."""
    text = read_text(path, errors)
    first = text.partition("\n")[0]
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in first and "," not in first:
            raise BadInput(f"{path}: {name} separate its columns, expected commas; save it with commas")
    return io.StringIO(text, newline="")


def read_rows(
    path: Path, columns: Sequence[str], expected: str = "", *, skip_spaces: bool = False, errors: str = "strict"
) -> list[dict[str, str]]:
    """The rows of a list in csv, by column.

    Args:
      path: the list; the names of its columns are its first row.
      columns: those that every row must have.
      expected: what the sentences say that should be there, by default these columns.
      skip_spaces: whether spaces after a comma are left out.
      errors: see `read_text`.

    Raises:
      BadInput: no UTF-8, no csv with commas, a column missing, or a row that ends before one of them.
    """
    *first, last = columns
    expected = expected or f"{', '.join(first)} and {last}"
    reader = csv.DictReader(read_table(path, errors), skipinitialspace=skip_spaces)
    rows = []
    try:
        if not set(columns) <= set(reader.fieldnames or ()):
            if not reader.fieldnames:
                raise BadInput(f"{path}: is empty, expected the columns {expected}")
            raise BadInput(f"{path}: columns {reader.fieldnames}, expected {expected}")
        for row in reader:
            missing = [name for name in columns if row[name] is None]
            if missing:
                raise BadInput(f"{path}: line {reader.line_num} ends before {missing[0]}, expected {expected} in each")
            rows.append(row)
    except csv.Error as error:
        raise BadInput(f"{path}: line {reader.line_num} cannot be read ({error}), expected {expected}") from error
    return rows


def find_root(data_dir: Path | str | None, inside: tuple[str, ...], marker: str, name: str) -> Path:
    """Finds the folder that holds `marker`: `data_dir` itself or one of the folders `inside` it.

    Args:
      data_dir: what the user gave.
      inside: relative folders to try, in this order, after `data_dir`.
      marker: a file or folder that only the right folder has, or a pattern such as "*.wav".
      name: the data set, for the message.

    Raises:
      BadInput: no folder given, it does not exist, or none of the candidates holds `marker`.
    """
    if not data_dir:
        raise BadInput(f"{name} needs --data_dir, the folder that holds {marker}")
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise BadInput(f"--data_dir={data_dir}: no such folder, expected the folder of {name} that holds {marker}")
    for root in (data_dir, *(data_dir / name for name in inside)):
        if _holds(root, marker):
            return root
    raise BadInput(
        f"--data_dir={data_dir}: holds no {marker} and neither does {' nor '.join(inside)} inside it, "
        f"expected the folder of {name} or its parent"
    )


def _holds(root: Path, marker: str) -> bool:
    if marker == "*.wav":
        return bool(walking.files_in(root))
    return any(all(map(walking.is_visible, path.relative_to(root).parts)) for path in root.glob(marker))
