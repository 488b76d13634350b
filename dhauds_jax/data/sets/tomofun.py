"""The Tomofun dog-sound challenge and what is mapped onto its classes: a manifest of clips, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput
from dhauds_jax.files import printable
from dhauds_jax.registry import nearest

CLASSES = class_names.TOMOFUN
"""The fifteen sub-classes, which a manifest calls remarks; the published code ranks those that occur (quirk T9)."""
ALIASES: Mapping[str, str] = {"COSmoke": "CO_Smoke"}
"""The organisers' files write COSmoke, those made from AudioSet CO_Smoke."""
MERGED, GROUPS = class_names.TOMOFUN_MERGED, class_names.TOMOFUN_GROUPS
DOG = MERGED[:3]
"""A dog's sounds; the published system did best with extra data of all other classes."""
_OF = GROUPS["of"]

MANIFESTS: Mapping[str, tuple[str, str, str]] = {
    "manifest.csv": ("path", "label", "remark"),
    "meta_train.csv": ("Filename", "Label", "Remark"),
}
"""Manifests by name, with their columns: ours, then the organisers', whose names lack ".wav"."""
GROUP = "group"
_INSIDE = ("train", "raw")
_SUFFIX = ".wav"


class Row(NamedTuple):
    """A clip of a manifest: its path as written, its sub-class, its group ("" where none is given)."""

    path: str
    remark: int
    group: str


def find(data_dir: Path | str | None) -> Path:
    """The manifest of a folder, or `data_dir` itself if it is a csv file; raises `BadInput` if there is none."""
    if data_dir and Path(data_dir).is_file():
        return Path(data_dir)
    for name in MANIFESTS:
        if data_dir and (Path(data_dir) / name).is_file():
            return Path(data_dir) / name
    first = next(iter(MANIFESTS))
    return find_root(data_dir, _INSIDE, first, "tomofun") / first


def read_manifest(path: Path) -> list[Row]:
    """The rows of a manifest.

    Args:
      path: csv with the columns path, label (0 to 9), remark (one of `CLASSES` or `ALIASES`) and perhaps group; or the
        organisers' Filename, Label, Remark.

    Raises:
      BadInput: no such csv, no rows, or a row with an unknown remark, a label that is not its remark's, or a path that
        an earlier row has.
    """
    columns = MANIFESTS.get(path.name, MANIFESTS["manifest.csv"])
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(read_rows(path, columns), 2):
        name, label, remark = (row[column].strip() for column in columns)
        where = f"{printable(path)}, row {number} ({printable(name)})"
        index = _index_of(remark, where)
        if label != str(_OF[index]):
            raise BadInput(
                f"{where}: label {label!r} with remark {remark!r}, expected label {_OF[index]} ({MERGED[_OF[index]]}); "
                "mend the row"
            )
        name = name if Path(name).suffix else name + _SUFFIX
        if name in seen:
            raise BadInput(f"{where}: row {seen[name]} names the same file, expected each file once; leave one out")
        seen[name] = number
        rows.append(Row(name, index, (row.get(GROUP) or "").strip()))
    if not rows:
        raise BadInput(f"{printable(path)}: no rows, expected one for each clip")
    return rows


def _index_of(remark: str, where: str) -> int:
    name = ALIASES.get(remark, remark)
    if name not in CLASSES:
        raise BadInput(
            f"{where}: unknown remark {printable(remark)!r}, expected {nearest(remark, (*CLASSES, *ALIASES))}, one of "
            f"the {len(CLASSES)} sub-classes"
        )
    return CLASSES.index(name)


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the clips of a manifest in its order; ids are the paths that it has, files lie beside it.

    Args:
      data_dir: the folder that holds the manifest, or the manifest.
      split: "all".
      allow_partial: go on when the manifest names absent files.

    Raises:
      BadInput: see `read_manifest`; or absent files.
    """
    check_split(DATA_SET, split)
    table = find(data_dir)
    folders = [table.parent, *(table.parent / name for name in _INSIDE)]
    refs = [ClipRef(row.path, _place(folders, row.path), row.remark) for row in read_manifest(table)]
    return check_present(refs, table, allow_partial)


def _place(folders: list[Path], name: str) -> Path:
    """Where a file lies: beside the manifest, or in one of the folders that the published copies have."""
    found = (folder / name for folder in folders)
    return next((path for path in found if path.is_file()), folders[0] / name)


def at(data_dir: Path | str) -> DataSet:
    """The set with the groups of its manifest; without that column a clip's group is not known.

    A clip whose group is empty is a group of its own, by its id. Raises `BadInput` as `read_manifest` does.
    """
    groups = {row.path: row.group for row in read_manifest(find(data_dir))}
    if not any(groups.values()):
        return DATA_SET
    return DATA_SET._replace(group=lambda clip: groups.get(clip) or clip)


DATA_SET = DataSet(
    name="tomofun",
    classes=CLASSES,
    sample_rate=16_000,
    length=80_000,
    splits=("all",),
    metric="accuracy",
    order=Order(),
    licence="the challenge's data are not public; AudioSet's labels: CC BY 4.0",
    citation="Tomofun dog-sound recognition challenge, 2021; S. Hershey et al., The benefit of temporally-strong "
    "labels in audio event classification, ICASSP 2021",
    listing=listing,
    homepage="https://research.google.com/audioset/download_strong.html (experiments.audioset makes the manifest)",
    layout="""manifest.csv                          columns: path, label (0-9), remark, perhaps group
<path>                                from the manifest's folder on; 5 s, 8 or 16 kHz
or
meta_train.csv                        columns: Filename (without .wav), Label, Remark
{train,raw}/<Filename>.wav            or beside the csv""",
    seconds=(0.02, 5.01),
    class_groups=GROUPS,
    at=at,
)
DATA_SETS = (DATA_SET,)
