"""What `experiments.evaluate` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.names import CLEAN
from dhauds_jax.requests import Devices, OfDataSet, flag, like
from dhauds_jax.runs.requests.classify import ClassifyRun


@dataclass(frozen=True, kw_only=True)
class EvaluateRun(OfDataSet):
    """The flags of `experiments.evaluate`."""

    checkpoint: str | None = like(ClassifyRun, "checkpoint")
    model: str | None = like(ClassifyRun, "model")
    dataset: str = like(AdaptRun, "dataset")
    data_dir: str | None = like(AdaptRun, "data_dir")
    noise_dir: str | None = like(AdaptRun, "noise_dir")
    split: Sequence[str] = flag("Splits to evaluate on, together; a clip of two is taken once.", ("test",))
    subset: str | None = like(AdaptRun, "subset")
    corruption: Sequence[str] = like(AdaptRun, "corruption", default=(CLEAN,))
    level: Sequence[str] = like(AdaptRun, "level")
    profile: str = like(AdaptRun, "profile", default="corrected")
    seed: int = flag("Seed of the corruption draw.", 0)
    output: str = flag("Folder of the results; those of an earlier evaluation are replaced.")
    batch_size: int = flag("Clips that are computed at once.", 64)
    worst: int = flag("Clips that the report lists: those whose truth the model believed least.", 20)
    bank: bool = flag(
        "Also make the bank of the model's own sounds, which classify's advice looks at, of the clean clips, and write "
        "it into the checkpoint's folder; it takes at least 200 clips that were not trained on. Training makes one by "
        "itself.",
        False,
    )
    allow_partial: bool = like(AdaptRun, "allow_partial")
    on_bad_file: str = like(AdaptRun, "on_bad_file")
    precision: str = like(Devices, "precision")
