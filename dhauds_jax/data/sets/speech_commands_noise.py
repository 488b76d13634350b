"""The background noises of Speech Commands v0.02: six recordings of one to one and a half minutes."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.sets.speech_commands import BACKGROUND, V2, folders
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput

CLASSES = ("doing_the_dishes", "dude_miaowing", "exercise_bike", "pink_noise", "running_tap", "white_noise")


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the recordings, sorted; a file's name is its class.

    Args:
      data_dir: the folder `_background_noise_/`, the release's folder that holds it, or its parents.
      split: "all".
      allow_partial: go on when kinds are absent.

    Raises:
      BadInput: unknown split, missing folder, absent kinds, a wav file of another name.
    """
    check_split(DATA_SET, split)
    inside = (BACKGROUND, *(f"{parent}/{BACKGROUND}" for parent in folders(V2)))
    root = find_root(data_dir, inside, "*.wav", DATA_SET.name)
    refs = []
    for path in files_in(root):
        if path.stem not in CLASSES:
            raise BadInput(f"{path}: unknown background noise, expected one of {', '.join(CLASSES)}")
        refs.append(ClipRef(path.name, path, CLASSES.index(path.stem)))
    found = {CLASSES[ref.label] for ref in refs}
    return refs, check_groups(found, CLASSES, what="kinds", source=root, allow_partial=allow_partial)


DATA_SET = DataSet(
    name="speech_commands_noise",
    classes=CLASSES,
    sample_rate=16_000,
    length=0,
    splits=("all",),
    metric="accuracy",
    order=Order(),
    licence="CC BY 4.0",
    citation="P. Warden, Speech Commands: a dataset for limited-vocabulary speech recognition, 2018, arXiv:1804.03209",
    listing=listing,
    homepage=f"http://download.tensorflow.org/data/{V2}.tar.gz (its folder {BACKGROUND}/)",
    layout=f"{BACKGROUND}/<kind>.wav              {' '.join(CLASSES)}",
    counts={"all": 6},
    class_counts={"all": dict.fromkeys(CLASSES, 1)},
    seconds=(60.0, 96.0),
)
DATA_SETS = (DATA_SET,)
