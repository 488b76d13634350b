"""TAU Urban Acoustic Scenes 2019, development set: ten scenes of twelve towns, 10 s each, as in DCASE 2019 task 1A."""

from __future__ import annotations

import csv
from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data import walking
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root, read_text
from dhauds_jax.data.sets.copies import check_present, unlisted
from dhauds_jax.errors import BadInput

FOLDERS = ("TAU-urban-acoustic-scenes-2019-development", "tau2019uas/TAU-urban-acoustic-scenes-2019-development")
CLASSES = class_names.TAU_URBAN_2019
TABLE = "meta.csv"
_FOLD_COUNTS = {
    "train": (911, 928, 902, 897, 946, 945, 896, 924, 942, 894),
    "test": (421, 415, 433, 435, 386, 387, 441, 429, 402, 436),
}
_LISTS = {"train": "evaluation_setup/fold1_train.csv", "test": "evaluation_setup/fold1_evaluate.csv"}


def read_list(path: Path) -> list[tuple[str, str]]:
    """`(file, scene)` of each row of a list, whose columns are separated by tabs.

    Raises:
      BadInput: no such file, no UTF-8, columns missing, or a scene that there is not.
    """
    if not path.is_file():
        raise BadInput(f"{path}: no such file, expected the list of the published copy")
    reader = csv.DictReader(read_text(path).splitlines(), delimiter="\t")
    if not {"filename", "scene_label"} <= set(reader.fieldnames or ()):
        raise BadInput(f"{path}: columns {reader.fieldnames}, expected filename and scene_label separated by tabs")
    rows = []
    for row in reader:
        name, scene = row["filename"], row["scene_label"]
        if scene not in CLASSES:
            raise BadInput(f"{path}: {name} has scene {scene!r}, expected one of {', '.join(CLASSES)}")
        rows.append((name, scene))
    return rows


def place_of(root: Path, name: str, scene: str) -> Path:
    """Where a clip lies: in `audio/` as published, or sorted into `audio/<scene>/`, as Scaper wants it."""
    flat = root / name
    sorted_ = flat.parent / scene / flat.name
    return sorted_ if sorted_.is_file() else flat


def listing(table: str, data_dir: Path | str | None, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the clips of a list in its order; ids are `audio/<file>` wherever the files lie.

    Args:
      table: `meta.csv`, or a list of `evaluation_setup/`, from the set's folder on.
      data_dir: the folder that holds `audio/` and `meta.csv`, or a parent.
      allow_partial: go on when the list names absent files.

    Raises:
      BadInput: folder or list missing or wrong, absent files.
    """
    root = find_root(data_dir, FOLDERS, TABLE, DATA_SET.name)
    refs = [ClipRef(name, place_of(root, name, scene), CLASSES.index(scene)) for name, scene in read_list(root / table)]
    if not refs:
        raise BadInput(f"{root / table}: names no clips, expected some")
    present, notices = check_present(refs, root / table, allow_partial)
    if table != TABLE:
        return present, notices
    folders = [root / "audio", *(f for f in walking.folders_in(root / "audio") if f.name in CLASSES)]
    return present, (*notices, *unlisted(folders, {Path(ref.id).name for ref in refs}, root / table))


def _all(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """The whole set in the order of `meta.csv`."""
    check_split(DATA_SET, split)
    return listing(TABLE, data_dir, allow_partial)


def _fold(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """A split of the one published fold; what it leaves out is in neither."""
    check_split(FOLD, split)
    return listing(_LISTS[split], data_dir, allow_partial)


def group_of(clip: str) -> str:
    """The place of a clip's id `audio/<scene>-<town>-<place>-<segment>-a.wav`, as "town-place"."""
    return "-".join(clip.rpartition("/")[2].split("-")[1:3])


DATA_SET = DataSet(
    name="tau_urban_2019",
    classes=CLASSES,
    sample_rate=48_000,
    length=480_000,
    splits=("all",),
    metric="accuracy",
    order=Order(),
    licence="for non-commercial use (Tampere University)",
    citation="A. Mesaros, T. Heittola, T. Virtanen, A multi-device dataset for urban acoustic scene classification, "
    "DCASE 2018",
    listing=_all,
    homepage="https://zenodo.org/records/2589280",
    layout="""audio/<scene>-<town>-<place>-<segment>-a.wav   (or audio/<scene>/...)
meta.csv                              columns: filename, scene_label, identifier, source_label; tabs
evaluation_setup/fold1_{train,evaluate}.csv""",
    counts={"all": 14_400},
    class_counts={"all": dict.fromkeys(CLASSES, 1_440)},
    seconds=(10.0, 10.0),
    group=group_of,
)
FOLD = DATA_SET._replace(
    name="tau_urban_2019/fold1",
    splits=("train", "test"),
    listing=_fold,
    counts={"train": 9_185, "test": 4_185},
    class_counts={split: dict(zip(CLASSES, counts, strict=True)) for split, counts in _FOLD_COUNTS.items()},
)
DATA_SETS = (DATA_SET, FOLD)
