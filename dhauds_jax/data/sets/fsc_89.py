"""FSC-89: seconds of 89 classes of Freesound, cut from the soundscapes of FSD-MIX-SED; 59 base classes, 30 later ones.

`/published` reads the published tables (setup 1), which were drawn without a seed and whose later classes share
soundscapes between train and test; the plain set's are drawn by a hash of names and share none.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path

from dhauds_jax.data.sets.base import DataSet, Order, check_split
from dhauds_jax.data.sets.clip_tables import Tables, listing
from dhauds_jax.errors import BadInput

RATE = 44_100
CLASSES = tuple(str(label) for label in range(89))
"""The labels of FSD-MIX-CLIPS; what they are called is in the authors' vocabulary."""
BASE = 59
SIZES = {"train": (800, 500), "val": (200, 0), "test": (200, 200)}
"""Clips of each base class and of each later one."""
DRAWN = {split: f"fsc_89_{split}.csv" for split in SIZES}
PUBLISHED = {split: f"Fsc89-setup1-fsci_{split}.csv" for split in SIZES}
COLUMNS = ("data_folder", "FSD_MIX_SED_filename", "start_time", "label")


def clip_name(soundscape: str, start_time: str) -> str:
    """The file of a clip: `soundscape_7.wav` from 1.23 s on is `soundscape_7_54243.wav`, by its first sample.

    The published cut rounds the product of binary numbers down, and so does this: 2.3 s is sample 101,429.

    Raises:
      BadInput: a time that is no number.
    """
    try:
        seconds = float(Decimal(start_time))
    except InvalidOperation as error:
        raise BadInput(f"start_time {start_time!r} of {soundscape}: expected seconds, such as 1.23") from error
    return f"{soundscape.removesuffix('.wav')}_{int(seconds * RATE)}.wav"


def clip_of(row: Mapping[str, str]) -> tuple[str, str]:
    """The id and the class of a row of a table."""
    return f"audio/{row['data_folder']}/{clip_name(row['FSD_MIX_SED_filename'], row['start_time'])}", row["label"]


def group_of(clip: str) -> str:
    """The soundscape of a clip's id."""
    return clip.partition("#")[0].rpartition("_")[0]


def build(raw_dir: Path | str, data_dir: Path | str) -> tuple[str, ...]:
    """Draws the tables and cuts the clips into `data_dir` from FSD-MIX-SED, see `data.built.fsc_89`."""
    from dhauds_jax.data.built import fsc_89

    return fsc_89.build(raw_dir, data_dir)


def _per_class(split: str) -> dict[str, int]:
    base, later = SIZES[split]
    return {name: base if label < BASE else later for label, name in enumerate(CLASSES)}


def _data_set(variant: str, files: Mapping[str, str], built: bool) -> DataSet:
    name = f"fsc_89{variant}"
    tables = Tables(name, ("FSD_MIX_CLIPS_data", "FSC-89"), files, COLUMNS, clip_of, CLASSES, built)

    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(tables, data_dir, split, allow_partial)

    counts = {split: _per_class(split) for split in SIZES}
    made = DataSet(
        name=name,
        classes=CLASSES,
        sample_rate=RATE,
        length=RATE,
        splits=tuple(SIZES),
        metric="accuracy",
        order=Order(),
        licence="CC BY 4.0 (FSD-MIX-SED)",
        citation="Y. Wang, N. J. Bryan, J. Salamon, M. Cartwright, J. P. Bello, Who calls the shots? Rethinking "
        "few-shot learning for audio, WASPAA 2021; clips chosen by W. Xie, Y. Li, Q. He, 2023",
        listing=checked,
        homepage="https://zenodo.org/records/5574135",
        layout=f"""audio/<folder>/<soundscape>_<first sample>.wav
{files["train"]}  {files["val"]}  {files["test"]}      columns: {", ".join(COLUMNS)}""",
        counts={split: sum(per_class.values()) for split, per_class in counts.items()},
        class_counts=counts,
        seconds=(1.0, 1.0),
        group=group_of,
        build=build if built else None,
    )
    return made


DATA_SETS = (_data_set("", DRAWN, True), _data_set("/published", PUBLISHED, False))
