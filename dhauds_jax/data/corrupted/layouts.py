"""Layouts of corrupted ("-C") sets: where a clip of a cell lies, and which lists go with the cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from dhauds_jax.data import formats
from dhauds_jax.data.corruptions import CORRUPTIONS, check_cell, public
from dhauds_jax.data.sets import reef_set, speech_commands, urban_sound_8k, vocal_sound
from dhauds_jax.data.sets.base import DataSet, draw_name, find_root, read_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.registry import check

CLIPS = "clips.csv"
"""List of a corrupted set that has no published layout: columns id, file, class."""


class CorruptedLayout(NamedTuple):
    """How a corrupted set lies on disk.

    Attributes:
      folder: name of its folder.
      cell: folder of a cell inside it, a pattern of {corruption} and {level}.
      corruptions: those that the set has, in the published order (shifts and a user's own are admitted besides).
      manifest: the list of its clips, relative to the folder.
      manifests: `(dataset, data_dir, ids, labels) -> {relative path: content}`, the lists to write or copy.
      clips: `(dataset, folder) -> [(id, label)]`, the clips of every cell as the manifest has them.
      stretched: samples of a TST clip by level where they are more than the clean clip's.
    """

    folder: str
    cell: str
    corruptions: tuple[str, ...]
    manifest: str
    manifests: Callable[[DataSet, Path | str | None, Sequence[str], np.ndarray], dict[str, bytes]]
    clips: Callable[[DataSet, Path], list[tuple[str, int]]]
    stretched: Mapping[str, int] = MappingProxyType({})


def layout_of(dataset: DataSet, split: str = "test") -> CorruptedLayout:
    """The published layout of a data set's test split; for all else `CORRUPTION/LEVEL/<id>.wav` and a `clips.csv`."""
    if split == "test" and dataset.name == "vocal_sound/44k":
        return _VOCAL_SOUND._replace(cell="data_44k/{corruption}/{level}", manifest="datafiles/te_rev.json")
    if split == "test" and draw_name(dataset) in _PUBLISHED:
        return _PUBLISHED[draw_name(dataset)]
    corruptions = _PUBLISHED[draw_name(dataset)].corruptions if draw_name(dataset) in _PUBLISHED else CORRUPTIONS
    return _DEFAULT._replace(folder=f"{dataset.name.replace('/', '-')}-C", corruptions=corruptions)


def cell_path(layout: CorruptedLayout, corruption: str, level: str) -> PurePosixPath:
    """Folder of a cell, relative to the set's; of a shift too, its level's text being the folder's name.

    A user's own corruption "module:attribute" lies in a folder "module.attribute".

    Raises:
      BadInput: the set has no such corruption, or an unknown level.
    """
    if corruption in CORRUPTIONS:
        check(f"corruption of {layout.folder}", corruption, layout.corruptions)
    check_cell(corruption, level)
    return PurePosixPath(layout.cell.format(corruption=public(corruption).replace(":", "."), level=level))


def file_name(clip_id: str) -> PurePosixPath:
    """A clip's file inside its cell: its id, with .wav for another audio suffix or for none."""
    path = PurePosixPath(clip_id)
    return path.with_suffix(".wav") if formats.can_be_read(path) else path.with_name(f"{path.name}.wav")


def clip_length(dataset: DataSet, layout: CorruptedLayout, corruption: str, level: str) -> int:
    """Samples of every clip of a cell, at the data set's own rate."""
    return layout.stretched.get(level, dataset.length) if corruption == "TST" else dataset.length


def _speech_commands_lists(dataset, data_dir, ids, labels):
    name = speech_commands.LISTS["test"]
    release = speech_commands.V2
    return {name: (find_root(data_dir, speech_commands.folders(release), name, release) / name).read_bytes()}


def _speech_commands_clips(dataset, folder):
    names = speech_commands.read_list(folder, "test", dataset.classes)
    return [(name, dataset.classes.index(name.partition("/")[0])) for name in names]


def _vocal_sound_lists(dataset, data_dir, ids, labels):
    """The list, the class table, and the speakers' table where there is one."""
    root, manifest = vocal_sound.find(data_dir), layout_of(dataset).manifest
    source = root / manifest
    if not source.is_file():  # the authors' own 44.1 kHz archive has the plain list only
        source = root / "datafiles" / "te.json"
    paths = {manifest: source, **{name: root / name for name in (vocal_sound.LABELS, "meta/te_meta.csv")}}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


def _vocal_sound_clips(dataset, folder):
    return vocal_sound.read_list(folder / layout_of(dataset).manifest, vocal_sound.read_mids(folder))


def _reef_set_lists(dataset, data_dir, ids, labels):
    """DHAuDS's list of the test split, or one like it of the rebuilt split."""
    found = reef_set.annotations_of(reef_set.find(data_dir), "test")
    name = _REEF_SET.manifest
    if found.source.name == name:
        return {name: found.source.read_bytes()}
    rows = [("", *reef_set.COLUMNS)]
    rows += [(i, *(row.get(c, "") for c in reef_set.COLUMNS)) for i, row in enumerate(found.rows)]
    return {name: _csv(rows)}


def _reef_set_clips(dataset, folder):
    rows = reef_set.read_csv(folder / _REEF_SET.manifest)
    return [(row["file_name"], dataset.classes.index(row["label"])) for row in rows]


def _urban_sound_lists(dataset, data_dir, ids, labels):
    """The rows of the test folds, fold by fold."""
    rows = urban_sound_8k.read_table(urban_sound_8k.find(data_dir) / urban_sound_8k.TABLE)
    folds = sorted({int(clip_id.partition("/")[0].removeprefix("fold")) for clip_id in ids})
    chosen = [tuple(row.values()) for fold in folds for row in rows if row["fold"] == str(fold)]
    return {urban_sound_8k.TABLE: _csv([tuple(rows[0]), *chosen])}


def _urban_sound_clips(dataset, folder):
    rows = urban_sound_8k.read_table(folder / urban_sound_8k.TABLE)
    return [(f"fold{row['fold']}/{row['slice_file_name']}", int(row["classID"])) for row in rows]


def _default_lists(dataset, data_dir, ids, labels):
    files = [str(file_name(clip_id)) for clip_id in ids]
    if len(set(files)) < len(files):
        twice = next(name for name in files if files.count(name) > 1)
        raise BadInput(f"{dataset.name}: two clips would be written to {twice}, expected names that differ")
    names = [dataset.classes[label] for label in labels]
    return {CLIPS: _csv([("id", "file", "class"), *zip(ids, files, names, strict=True)])}


def _default_clips(dataset, folder):
    path = folder / CLIPS
    found = read_rows(path, ("id", "class"), "id, file and class", errors="surrogateescape")
    rows = [(row["id"], row["class"]) for row in found]
    if not rows:
        raise BadInput(f"{path}: no rows, expected one for each clip")
    unknown = sorted({name for _, name in rows} - set(dataset.classes))
    if unknown:
        raise BadInput(f"{path}: class {unknown[0]!r}, expected one of {', '.join(dataset.classes)}")
    return [(clip_id, dataset.classes.index(name)) for clip_id, name in rows]


def _csv(rows: list[tuple]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogateescape")  # names of files need not be Unicode


_SPEECH_COMMANDS = CorruptedLayout(
    folder="SpeechCommandsV2-C",
    cell="{corruption}/{level}",
    corruptions=CORRUPTIONS,
    manifest=speech_commands.LISTS["test"],
    manifests=_speech_commands_lists,
    clips=_speech_commands_clips,
)
_VOCAL_SOUND = CorruptedLayout(
    folder="VocalSound-C",
    cell="audio_16k/{corruption}/{level}",
    corruptions=CORRUPTIONS,
    manifest="datafiles/te.json",
    manifests=_vocal_sound_lists,
    clips=_vocal_sound_clips,
)
_REEF_SET = CorruptedLayout(
    folder="ReefSet-C",
    cell="{corruption}/{level}",
    corruptions=CORRUPTIONS,
    manifest="test_annotations.csv",
    manifests=_reef_set_lists,
    clips=_reef_set_clips,
    stretched=MappingProxyType({"L1": 31_884, "L2": 33_689}),
)
_URBAN_SOUND = CorruptedLayout(
    folder="UrbanSound8K-C",
    cell="audio/{corruption}/{level}",
    corruptions=("WHN", "ENSC", "PSH", "TST"),
    manifest=urban_sound_8k.TABLE,
    manifests=_urban_sound_lists,
    clips=_urban_sound_clips,
    stretched=MappingProxyType({"L1": 186_984, "L2": 197_568}),
)
_DEFAULT = CorruptedLayout(
    folder="",
    cell="{corruption}/{level}",
    corruptions=CORRUPTIONS,
    manifest=CLIPS,
    manifests=_default_lists,
    clips=_default_clips,
)
_PUBLISHED = {
    "speech_commands_v2": _SPEECH_COMMANDS,
    "vocal_sound": _VOCAL_SOUND,
    "reef_set": _REEF_SET,
    "urban_sound_8k": _URBAN_SOUND,
}
