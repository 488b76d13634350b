"""VocalSound: laughter, sighs, coughs, throat clearing, sneezes and sniffs of 3,365 people; speakers disjoint."""

from __future__ import annotations

import functools
from pathlib import Path, PurePosixPath

from dhauds_jax import class_names, json_texts
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_rows, read_text
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput

FOLDERS = ("vs_release_16k", "vs_release_44k", "VocalSound", "VocalSound/vs_release_16k", "VocalSound/vs_release_44k")
LABELS = "class_labels_indices_vs.csv"
CLASSES = class_names.VOCAL_SOUND
_LISTS = {"train": "tr", "val": "val", "test": "te"}
_AUDIO = {"16k": ("audio_16k",), "44k": ("data_44k", "audio_44k")}


def find(data_dir: Path | str | None) -> Path:
    """The set's folder from itself, a parent, or its `datafiles/`; raises `BadInput` when it is none of these."""
    if data_dir and Path(data_dir).name == "datafiles":
        data_dir = Path(data_dir).parent
    return find_root(data_dir, FOLDERS, LABELS, DATA_SET.name)


def read_mids(root: Path) -> dict[str, int]:
    """Class indices by AudioSet identifier ("mid"), from the set's own table (columns index, mid, display_name).

    Raises:
      BadInput: columns missing, or other classes than the six in their published order.
    """
    columns = ("index", "mid", "display_name")
    rows = [tuple(row[name] for name in columns) for row in read_rows(root / LABELS, columns, skip_spaces=True)]
    if [(index, name) for index, _, name in rows] != [(str(i), name) for i, name in enumerate(CLASSES)]:
        found = ", ".join(f"{index} {name}" for index, _, name in rows)
        raise BadInput(f"{root / LABELS}: classes {found or 'none'}, expected {', '.join(CLASSES)} in this order")
    return {mid: int(index) for index, mid, _ in rows}


def read_list(path: Path, mids: dict[str, int]) -> list[tuple[str, int]]:
    """`(file name, class index)` of each clip of a list, in its order; of a listed path only the last part counts.

    Raises:
      BadInput: the list is missing or no such JSON, empty, or names a class that is not in the table.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file, expected the list of a split of VocalSound")
    try:
        rows = [(PurePosixPath(row["wav"]).name, row["labels"]) for row in json_texts.parsed(read_text(path))["data"]]
    except (json_texts.NotJson, KeyError, TypeError) as error:
        raise BadInput(f'{path}: no list of clips ({error!r}), expected {{"data": [{{"wav", "labels"}}]}}') from error
    if not rows:
        raise BadInput(f"{path}: no clips, expected at least one")
    for name, mid in rows:
        if mid not in mids:
            raise BadInput(f"{path}: {name} has class {mid!r}, expected one of {', '.join(mids)} ({LABELS})")
    return [(name, mids[mid]) for name, mid in rows]


def listing(
    data_dir: Path | str | None, split: str, allow_partial: bool, *, version: str = "16k"
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split after its JSON list; ids are the file names, so both versions share their draws.

    Args:
      data_dir: the folder that holds the class table, its `datafiles/`, or a parent.
      split: "train" (15,531 clips), "val" (1,855) or "test" (3,591).
      allow_partial: go on when the list names absent files.
      version: "16k" (`audio_16k/`, `tr.json`, `val.json`, `te.json`) or "44k" (`data_44k/`, or `audio_44k/` as the
        authors' archive has it; `*_rev.json`, or the plain lists).

    Raises:
      BadInput: folder, table or list missing or wrong, absent files.
    """
    check_split(DATA_SET, split)
    root = find(data_dir)
    audio = next((root / name for name in _AUDIO[version] if (root / name).is_dir()), root / _AUDIO[version][0])
    table = root / "datafiles" / f"{_LISTS[split]}.json"
    if version == "44k" and (revised := table.with_name(f"{_LISTS[split]}_rev.json")).is_file():
        table = revised
    refs = [ClipRef(name, audio / name, label) for name, label in read_list(table, read_mids(root))]
    return check_present(refs, table, allow_partial)


def group_of(clip: str) -> str:
    """The speaker of a clip's id `<speaker>_<take>_<sound>.wav`."""
    return clip.partition("_")[0]


_LAYOUT = """class_labels_indices_vs.csv          columns: index, mid, display_name
{lists}          {{"data": [{{"wav": path, "labels": mid}}]}}
{audio}/<speaker>_<take>_<sound>.wav
meta/te_meta.csv"""

DATA_SET = DataSet(
    name="vocal_sound",
    classes=CLASSES,
    sample_rate=16_000,
    length=160_000,
    splits=("train", "val", "test"),
    metric="accuracy",
    order=Order(),
    licence="CC BY-SA 4.0",
    citation="Y. Gong, J. Yu, J. Glass, VocalSound: a dataset for improving human vocal sounds recognition, 2022",
    listing=listing,
    homepage="https://github.com/YuanGongND/vocalsound",
    layout=_LAYOUT.format(lists="datafiles/{tr,val,te}.json", audio="audio_16k"),
    counts={"train": 15_531, "val": 1_855, "test": 3_591},
    seconds=(0.1, 12.0),
    group=group_of,
)
DATA_SETS = (
    DATA_SET,
    DATA_SET._replace(
        name="vocal_sound/44k",
        sample_rate=44_100,
        length=441_000,
        listing=functools.partial(listing, version="44k"),
        layout=_LAYOUT.format(lists="datafiles/{tr,val,te}_rev.json", audio="data_44k"),
    ),
)
