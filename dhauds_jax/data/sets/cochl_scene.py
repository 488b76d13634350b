"""CochlScene: 13 acoustic scenes, 10 s each, recorded by 831 people; splits are folders."""

from __future__ import annotations

import re
from pathlib import Path

from dhauds_jax import class_names
from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.walking import files_in

FOLDERS = ("CochlScene", "CochlScene/CochlScene")
CLASSES = class_names.COCHL_SCENE
_SPLITS = {"train": "Train", "val": "Val", "test": "Test"}
_PERSON = re.compile(r"_(user\d+)_")


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split's scene folders in class order, files sorted by name.

    Args:
      data_dir: the folder that holds Train/, Val/ and Test/, or a parent.
      split: "train" (60,855 clips), "val" (7,573) or "test" (7,687).
      allow_partial: go on when a scene's folder is absent or empty.

    Raises:
      BadInput: the split's folder is missing, a scene has no files, or none has any.
    """
    check_split(DATA_SET, split)
    folder = _SPLITS[split]
    root = find_root(data_dir, FOLDERS, folder, DATA_SET.name)
    refs = [
        ClipRef(f"{folder}/{scene}/{path.name}", path, label)
        for label, scene in enumerate(CLASSES)
        for path in files_in(root / folder / scene)
    ]
    found = {CLASSES[ref.label] for ref in refs}
    return refs, check_groups(found, CLASSES, what="scenes", source=root / folder, allow_partial=allow_partial)


def group_of(clip: str) -> str:
    """The person who recorded a clip, `user0009` of `Train/Bus/Bus_user0009_14897252_005.wav`.

    A clip whose name is of another form is a group of its own.
    """
    found = _PERSON.search(clip)
    return found[1] if found else clip


DATA_SET = DataSet(
    name="cochl_scene",
    classes=CLASSES,
    sample_rate=44_100,
    length=441_000,
    splits=("train", "val", "test"),
    metric="accuracy",
    order=Order(),
    licence="CC BY-SA 3.0",
    citation="I.-Y. Jeong, J. Park, CochlScene: acquisition of acoustic scene data using crowdsourcing, APSIPA 2022",
    listing=listing,
    homepage="https://zenodo.org/record/7080122",
    layout="""Train/<Scene>/*.wav
Val/<Scene>/*.wav
Test/<Scene>/*.wav""",
    counts={"train": 60_855, "val": 7_573, "test": 7_687},
    seconds=(9.9, 10.1),
    group=group_of,
)
DATA_SETS = (DATA_SET,)
