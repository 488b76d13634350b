"""QUT-NOISE: long recordings of five kinds of places, two places a kind, two recordings each."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.walking import files_in
from dhauds_jax.errors import BadInput

FOLDER = "QUT-NOISE"
CLASSES = ("CAFE", "CAR", "HOME", "REVERB", "STREET")


def listing(data_dir: Path | str | None, split: str, allow_partial: bool) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the recordings, sorted; the class is the file name's first field.

    Args:
      data_dir: the folder that holds the wav files, its parent or that one's.
      split: "all".
      allow_partial: go on when a class has no recordings.

    Raises:
      BadInput: unknown split, missing folder, a class without recordings, a wav file of an unknown class.
    """
    check_split(DATA_SET, split)
    root = find_root(data_dir, (FOLDER, f"{FOLDER}/{FOLDER}"), "*.wav", DATA_SET.name)
    refs = []
    for path in files_in(root):
        kind = path.stem.partition("-")[0]
        if kind not in CLASSES:
            raise BadInput(f"{path}: unknown class {kind!r}, expected <class>-<place>-<n>.wav, {', '.join(CLASSES)}")
        refs.append(ClipRef(path.name, path, CLASSES.index(kind)))
    found = {CLASSES[ref.label] for ref in refs}
    return refs, check_groups(found, CLASSES, what="classes", source=root, allow_partial=allow_partial)


DATA_SET = DataSet(
    name="qut_noise",
    classes=CLASSES,
    sample_rate=48_000,
    length=0,
    splits=("all",),
    metric="accuracy",
    order=Order(),
    licence="CC BY-SA (see the corpus's own notes)",
    citation="D. Dean, S. Sridharan, R. Vogt, M. Mason, The QUT-NOISE-TIMIT corpus for the evaluation of voice "
    "activity detection algorithms, Interspeech 2010",
    listing=listing,
    homepage="https://research.qut.edu.au/saivt/databases/qut-noise-databases-and-protocols/",
    layout="QUT-NOISE/<CLASS>-<PLACE>-<n>.wav     stereo; CAFE CAR HOME REVERB STREET, two places each, n 1 and 2",
    counts={"all": 20},
    class_counts={"all": dict.fromkeys(CLASSES, 4)},
)
DATA_SETS = (DATA_SET,)
