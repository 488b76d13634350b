"""What `experiments.check_data` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.requests import OfDataSet, flag


@dataclass(frozen=True, kw_only=True)
class CheckRun(OfDataSet):
    """The flags of `experiments.check_data`."""

    dataset: str = flag("Data set or noise corpus (--list names them).", names="data set")
    data_dir: str = flag("Folder of the data set.")
    split: Sequence[str] = flag("Splits to check (default: all of the set's).", ())
    allow_partial: bool = flag("Absent files, missing classes and other counts are warnings only.", False)
    json: bool = flag("Print one JSON object a finding, and a last one with the summary.", False)
    build: str | None = flag(
        "First make the copy in --data_dir from the raw corpus in this folder (librispeech_100, nsynth_100, fsc_89).",
        None,
    )
    prepare: str | None = flag("If the copy can serve, build its TFDS cache (TFRecord files) in this folder.", None)
