"""DEMAND: five minutes of noise in each of 17 places (18 at 48 kHz), recorded by 16 microphones at once."""

from __future__ import annotations

from pathlib import Path

from dhauds_jax.data.sets.base import ClipRef, DataSet, Order, check_split, find_root
from dhauds_jax.data.sets.copies import check_groups
from dhauds_jax.data.walking import files_in, folders_in
from dhauds_jax.errors import BadInput

_NAMES = """DKITCHEN DLIVING DWASHING NFIELD NPARK NRIVER OHALLWAY OMEETING OOFFICE PCAFETER PRESTO PSTATION
SPSQUARE STRAFFIC TBUS TCAR TMETRO"""
CLASSES = tuple(_NAMES.split())
"""The environments of the benchmark, all there are at 16 kHz."""
CLASSES_48K = (*CLASSES, "SCAFE")
"""SCAFE is published at 48 kHz only; the benchmark does not use it."""
CHANNELS = 16


def listing(
    release: str, classes: tuple[str, ...], data_dir: Path | str | None, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists the channels of every environment, sorted by environment, then file name.

    Args:
      release: "DEMAND_16k" or "DEMAND_48k".
      classes: its environments, in label order.
      data_dir: the folder that holds the environments' folders, its parent or that one's.
      allow_partial: go on when environments are absent.

    Raises:
      BadInput: missing folder, environments without recordings, an unknown environment.
    """
    root = find_root(data_dir, (release, "DEMAND", f"DEMAND/{release}"), "*/ch[0-9][0-9].wav", f"demand ({release})")
    refs = []
    for folder in filter(files_in, folders_in(root)):
        if folder.name not in classes:
            raise BadInput(f"{folder}: unknown environment, expected one of {', '.join(classes)}")
        label = classes.index(folder.name)
        refs += [ClipRef(f"{folder.name}/{path.name}", path, label) for path in files_in(folder)]
    found = {classes[ref.label] for ref in refs}
    return refs, check_groups(found, classes, what="environments", source=root, allow_partial=allow_partial)


def _data_set(name: str, sample_rate: int, classes: tuple[str, ...]) -> DataSet:
    release = f"DEMAND_{sample_rate // 1000}k"

    def checked(data_dir: Path | str | None, split: str, allow_partial: bool):
        check_split(made, split)
        return listing(release, classes, data_dir, allow_partial)

    made = DataSet(
        name=name,
        classes=classes,
        sample_rate=sample_rate,
        length=0,
        splits=("all",),
        metric="accuracy",
        order=Order(),
        licence="CC BY-SA 3.0",
        citation="J. Thiemann, N. Ito, E. Vincent, The diverse environments multi-channel acoustic noise database "
        "(DEMAND): a database of multichannel environmental noise recordings, ICA 2013",
        listing=checked,
        homepage=f"https://zenodo.org/record/1227121 (the files <ENV>_{sample_rate // 1000}k.zip)",
        layout=f"{release}/<ENV>/ch01..ch16.wav         {' '.join(classes)}",
        counts={"all": CHANNELS * len(classes)},
        class_counts={"all": dict.fromkeys(classes, CHANNELS)},
        seconds=(299.0, 301.0),
    )
    return made


DATA_SETS = (
    _data_set("demand", 16_000, CLASSES),
    _data_set("demand/16k", 16_000, CLASSES),
    _data_set("demand/48k", 48_000, CLASSES_48K),
)
