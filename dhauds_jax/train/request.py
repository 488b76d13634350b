"""The flags of `experiments.train` as a record."""

from __future__ import annotations

from typing import NamedTuple

from dhauds_jax.data import pipeline
from dhauds_jax.train.loop import TrainOptions


class TrainRun(NamedTuple):
    """The flags of `experiments.train` that are not options of the recipe (see its `--help`)."""

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    net: str
    workdir: str
    seed: int
    options: TrainOptions
    train_noise: str = "pink_noise"
    checkpoint: str | None = None
    profile: str = "reference"
    input_statistics: str = "checkpoint"
    save_every_s: float = 20.0
    allow_partial: bool = False
    on_bad_file: str = "stop"
    memory_budget_mb: float = pipeline.MEMORY_BUDGET_MB
    cache_dir: str | None = None
    parallel: str = "jit"
    precision: str = "float32"
    remat: bool = False
