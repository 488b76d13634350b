"""What `embed` embeds: recordings of a folder, a list or a file, or the clips of a data set, as one record."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from dhauds_jax import digests
from dhauds_jax.data import recordings, sets
from dhauds_jax.data.audio import read_blocks, read_part
from dhauds_jax.data.resampling import resample_wave
from dhauds_jax.data.sets.base import DataSet, check_split, draw_name, list_split, read_rows, read_text
from dhauds_jax.data.soundscapes import writing
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.wording import counted

KNOWN = ("label", "fold", "background", "split", "group")
"""What a csv of `--truth` may know of a recording."""

Opened = tuple[Iterator[np.ndarray], Callable[[], tuple[str, ...]]]
"""A recording's float32 (time,) blocks, and what must be said of it after the last one."""

Rate = tuple[int, str]
"""In Hz, and how a recording gets it, of `names.RESAMPLERS`."""


class Source(NamedTuple):
    """Clips to be embedded.

    Attributes:
      names: of the clips, as texts hold them.
      ids: as draws are keyed by them.
      open: `(position, rate) -> Opened`; raises `BadFile` at once or while the blocks are read.
      content: position -> a digest of what the clip is made from.
      listing: a digest of the files' names, sizes and times of change.
      classes: names of the classes, in the order of `labels`.
      labels: (clips,) indices into them, -1 for none; None where no clip has one.
      label_sets: of clips with any number of labels, the indices of each, `labels` being the first; None for others.
      splits, folds, groups, backgrounds: a text a clip; None where nothing is known.
      dataset: the data set; None for recordings.
      notices: what must be said of the list.
      paths: of the files; None for a set that is made in memory.
      scene: what all clips lie over, where they are soundscapes; else "".
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    open: Callable[[int, Rate], Opened]
    content: Callable[[int], str]
    listing: str
    classes: tuple[str, ...] = ()
    labels: Int[np.ndarray, " clips"] | None = None
    splits: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    backgrounds: tuple[str, ...] | None = None
    dataset: DataSet | None = None
    notices: tuple[str, ...] = ()
    paths: tuple[Path, ...] | None = None
    label_sets: tuple[tuple[int, ...], ...] | None = None
    scene: str = ""

    @property
    def digest(self) -> str:
        """What is known of the clips before any is read: names and labels, in their order."""
        labels = None if self.labels is None else self.labels.tolist()
        known = [self.splits, self.folds, self.groups, self.backgrounds]
        known += [] if self.label_sets is None else [self.label_sets]
        return digests.of_texts(self.names, self.classes, labels, *known)


def of_run(run: EmbedRun) -> Source:
    """The clips that `--audio_dir` or `--dataset` names; raises `BadInput` where nothing is found."""
    return of_recordings(run) if run.audio_dir is not None else of_dataset(run)


def of_recordings(run: EmbedRun) -> Source:
    """The recordings of `--audio_dir`, with what `--truth` knows of them, or the index of a scene's soundscapes."""
    listed, paths, notices = _listed(Path(run.audio_dir), str(run.audio_dir))
    names = tuple(printable(name) for name in listed)
    source = _of_files(names, listed, paths, notices)
    if run.truth is None:
        return _with_scene(source, Path(run.audio_dir))
    return _with_truth(source, run.truth, f"--truth={run.truth}")


def _listed(place: Path, flag: str) -> tuple[tuple[str, ...], tuple[Path, ...], tuple[str, ...]]:
    """Names, files and notices of a folder, a recording, or a list of recordings."""
    if place.is_file() and place.suffix.lower() in (".txt", ".lst"):
        lines = [line.strip() for line in read_text(place, "surrogateescape").splitlines() if line.strip()]
        paths = [place.parent / line for line in lines]
        absent = [line for line, path in zip(lines, paths, strict=True) if not path.is_file()]
        if absent or not lines:
            absence = counted(len(absent), "file that is not there", "files that are not there")
            found = f"names {absence} (the first: {absent[0]})" if absent else "names no recording"
            raise BadInput(f"--audio_dir={flag}: {found}, expected a recording on each line, relative to the list")
        if len(set(lines)) < len(lines):
            double = next(line for line in lines if lines.count(line) > 1)
            raise BadInput(f"--audio_dir={flag}: names {double} twice, expected each recording once")
        return tuple(lines), tuple(paths), ()
    found = recordings.find(place)
    names = tuple(path.relative_to(found.root).as_posix() for path in found.paths)
    return names, tuple(found.paths), found.notices


def _of_files(
    names: tuple[str, ...], ids: tuple[str, ...], paths: Sequence[Path], notices: tuple[str, ...] = ()
) -> Source:
    paths = tuple(paths)

    def opened(position: int, rate: Rate) -> Opened:
        blocks, reading = read_blocks(paths[position], *rate)
        return blocks, lambda: reading.notices(rate[0])

    listing = digests.of_texts(names, _times(paths))
    return Source(names, ids, opened, lambda i: _content(paths[i]), listing, notices=notices, paths=paths)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[: digests.DIGITS]
    except OSError:
        return "absent"


def _times(paths: Sequence[Path]) -> list[tuple[int, int] | None]:
    stats = [path.stat() if path.is_file() else None for path in paths]
    return [None if stat is None else (stat.st_size, stat.st_mtime_ns) for stat in stats]


def _with_truth(source: Source, place: str, said: str) -> Source:
    """The recordings with what a csv knows of them; sentences call it as `said`."""
    if not Path(place).is_file():
        raise BadInput(f"{said}: no such file, expected a csv file with the columns file, {', '.join(KNOWN)}")
    rows = read_rows(Path(place), ("file",), f"file and any of {', '.join(KNOWN)}")
    by_file: dict[str, dict[str, str]] = {}
    for row in rows:
        if by_file.setdefault(row["file"].strip(), row) != row:
            raise BadInput(f"{said}: {row['file']} stands there twice and differs, expected one line a file")
    if not by_file.keys() & set(source.names):
        raise BadInput(f"{said}: names none of the recordings, expected names such as {source.names[0]!r}")

    def column(name: str) -> tuple[str, ...] | None:
        values = tuple((by_file.get(file, {}).get(name) or "").strip() for file in source.names)
        return values if any(values) else None

    labels = column("label")
    classes = tuple(sorted(set(labels or ()) - {""}))
    places = {name: place for place, name in enumerate(classes)} | {"": -1}
    return source._replace(
        classes=classes,
        labels=None if labels is None else np.array([places[label] for label in labels], np.int32),
        splits=column("split"),
        folds=column("fold"),
        groups=column("group"),
        backgrounds=column("background"),
    )


_OF_A_SCENE = ("file", "label", "background", "background_start", "snr_measured")
"""Columns by which the index of a scene's soundscapes is known from other tables of that name."""


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()


def _with_scene(source: Source, folder: Path) -> Source:
    """The clips of a folder that is a scene of `experiments.soundscapes`, with what its index knows of them."""
    index = folder / writing.INDEX
    if not index.is_file() or not set(_OF_A_SCENE) <= set(_first_line(index).split(",")):
        return source
    scene = printable(folder.resolve().name)
    told = _with_truth(source, str(index), str(index))
    if source.labels is None:
        kinds = "label, fold, group and background"
    else:  # a data set's own labels and splits hold
        kinds = "fold, group and background"
        told = source._replace(folds=told.folds, groups=told.groups, backgrounds=told.backgrounds)
    said = f"{folder} holds soundscapes of scene {scene}: {kinds} of each are those of its {index.name}"
    return told._replace(scene=scene, notices=(*source.notices, said))


def of_dataset(run: EmbedRun) -> Source:
    """The clips of the splits of a data set, one split after the other; a clip of two splits belongs to the first."""
    dataset = sets.get(run.dataset, run.data_dir)
    for split in run.split:
        check_split(dataset, split)
    if not run.split:
        raise BadInput(f"--split: names no split, expected some of {', '.join(dataset.splits)}")
    if dataset.chunks is not None:
        return _in_chunks(dataset, run)
    made = dataset.generate is not None
    source, labels, splits = (_made if made else _on_disk)(dataset, run)
    ids = source.ids
    found = source._replace(
        classes=dataset.classes,
        labels=np.array(labels, np.int32),
        splits=splits,
        folds=None if dataset.fold is None else tuple(map(dataset.fold, ids)),
        groups=None if dataset.group is None else tuple(map(dataset.group, ids)),
        dataset=dataset,
    )
    return _with_scene(found, Path(run.data_dir)) if draw_name(dataset) == "folder" else found


def _in_chunks(dataset: DataSet, run: EmbedRun) -> Source:
    """The pieces that the recordings of a set fall into; only the piece is read, and it alone is resampled."""
    chunks, splits, notices = [], [], []
    for split in dict.fromkeys(run.split):
        found, said = dataset.chunks.listing(run.data_dir, split, run.allow_partial)
        chunks, splits, notices = [*chunks, *found], [*splits, *[split] * len(found)], [*notices, *said]
    if not chunks:
        raise BadInput(f"--data_dir={run.data_dir}: no piece of {dataset.name} there, expected some; complete the copy")
    content = functools.cache(_content)  # of a recording, which all of its pieces are made from
    paths = list({chunk.path for chunk in chunks})
    known = dict(zip(paths, _times(paths), strict=True))

    def opened(position: int, rate: Rate) -> Opened:
        chunk = chunks[position]
        wave, reading = read_part(chunk.path, chunk.start, chunk.seconds, *rate)
        return iter([wave]), lambda: reading.notices(rate[0])

    ids = tuple(chunk.id for chunk in chunks)
    return Source(
        tuple(map(printable, ids)),
        ids,
        opened,
        lambda i: content(chunks[i].path),
        digests.of_texts([(chunk.id, chunk.start, chunk.seconds, known[chunk.path]) for chunk in chunks]),
        classes=dataset.chunks.classes,
        labels=np.array([chunk.labels[0] if chunk.labels else -1 for chunk in chunks], np.int32),
        splits=tuple(splits),
        folds=tuple(chunk.fold for chunk in chunks),
        groups=tuple(printable(dataset.chunks.group(chunk)) for chunk in ids),
        dataset=dataset,
        notices=tuple(dict.fromkeys(notices)),
        paths=tuple(chunk.path for chunk in chunks),
        label_sets=tuple(chunk.labels for chunk in chunks),
    )


def _on_disk(dataset: DataSet, run: EmbedRun) -> tuple[Source, list[int], tuple[str, ...]]:
    refs: dict[str, Any] = {}
    notices: list[str] = []
    for split in run.split:
        listed, said = list_split(dataset, run.data_dir, split, run.allow_partial)
        notices += said
        for ref in listed:
            refs.setdefault(ref.id, (ref, split))
    found = [ref for ref, _ in refs.values()]
    ids = tuple(ref.id for ref in found)
    source = _of_files(tuple(map(printable, ids)), ids, [ref.path for ref in found], tuple(dict.fromkeys(notices)))
    return source, [ref.label for ref in found], tuple(split for _, split in refs.values())


def _made(dataset: DataSet, run: EmbedRun) -> tuple[Source, list[int], tuple[str, ...]]:
    """A set that is made in memory, where its clips stay."""
    clips: dict[str, tuple[np.ndarray, int, str]] = {}
    for split in run.split:
        made = dataset.generate(split, 0)
        for clip, wave, label in zip(made.ids, made.waves, made.labels, strict=True):
            clips.setdefault(clip, (wave, int(label), split))
    ids, waves = tuple(clips), [wave for wave, _, _ in clips.values()]

    def opened(position: int, rate: Rate) -> Opened:
        return iter([resample_wave(waves[position], dataset.sample_rate, *rate)]), tuple

    source = Source(tuple(map(printable, ids)), ids, opened, lambda i: digests.of_arrays(waves[i]), "made in memory")
    return source, [label for _, label, _ in clips.values()], tuple(split for _, _, split in clips.values())
