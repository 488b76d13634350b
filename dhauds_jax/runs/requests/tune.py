"""What `experiments.tune` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.names import PROFILES
from dhauds_jax.requests import OfDataSet, flag, like

SCORES = ("offline", "online")
"""What a trial is scored by, as a cell of a board is: accuracy after the last epoch, or as the stream went by."""


@dataclass(frozen=True, kw_only=True)
class TuneRun(OfDataSet):
    """The flags of `experiments.tune`."""

    dataset: str = flag("Data set, as in experiments.adapt.", names="data set")
    data_dir: str | None = flag("Folder of the data set.", None)
    noise_dir: str | None = flag("Folder of the noise recordings.", None)
    checkpoint: str = like(AdaptRun, "checkpoint")
    method: Sequence[str] = flag("Methods, or all.", ("all",), names="method")
    corruption: str = flag("The validation corruption, such as CLP:esc50@6dB or WHN.", names="corruption")
    level: str = flag("Its level, where the name does not hold one.", "L2")
    profile: str = flag("reference or corrected.", "reference", choices=PROFILES)
    split: str = flag("Labelled split to tune on; test is refused.", "val")
    clips: int = flag("Clips of the split, evenly spread over its list; 0 takes all.", 300)
    score: str = flag(
        "What a value is scored by: offline (after the last epoch) or online (predictions as the stream goes by).",
        "offline",
        choices=SCORES,
    )
    epochs: int = flag("Passes of an offline trial; its updates should be as many as those of the cells to come.", 5)
    batch_size: int = flag("Clips in an update.", 70)
    seed: Sequence[str] = flag("Seeds of the draw and of the adaptation; a value's score is the mean.", ("0", "1", "2"))
    workdir: str = flag("Folder of the trials' records and of tuning.jsonl.")
    output: str = flag("The csv file to write.")
