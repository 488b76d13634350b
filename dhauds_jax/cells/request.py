"""The flags of `experiments.adapt` as a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dhauds_jax.names import CLEAN

DRAWS = ("two", "single")
"""Draws of a corruption: one to adapt to and another to report (offline), or one for both."""


class AdaptRun(NamedTuple):
    """The flags of `experiments.adapt` (see its `--help`)."""

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    net: str | None
    checkpoint: str
    method: Sequence[str]
    corruption: Sequence[str]
    level: Sequence[str]
    protocol: Sequence[str]
    profile: str
    seed: int
    epochs: int
    batch_size: int
    options: Sequence[str]
    criterion: str
    split: str
    workdir: str
    save_every_s: float
    allow_partial: bool
    protocol_options: Sequence[str] = ()
    draw: str = "two"
    evaluation_seed: int = 123456
    corrupted_dir: str | None = None
    adaptation_dir: str | None = None
    source_clips: int = 500
    agreement: bool = False
    subset: str | None = None
    on_bad_file: str = "stop"
    embeddings: bool = False
    parallel: str = "jit"
    updates_per_dispatch: int = 1
    precision: str = "float32"
    remat: bool = False


def title(corruption: str, level: str) -> str:
    """A cell's corruption and level in one word."""
    return corruption if corruption == CLEAN else f"{corruption}-{level}"
