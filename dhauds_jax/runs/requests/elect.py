"""What `experiments.elect` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.requests import OfDataSet, flag, like
from dhauds_jax.runs.requests.tune import TuneRun


@dataclass(frozen=True, kw_only=True)
class ElectRun(OfDataSet):
    """The flags of `experiments.elect`."""

    dataset: str = like(TuneRun, "dataset")
    data_dir: str | None = like(TuneRun, "data_dir")
    noise_dir: str | None = like(TuneRun, "noise_dir")
    checkpoint: Sequence[str] = flag("Folders of one or more models with equal layout and classes.")
    corruption: Sequence[str] = flag("Corruptions, or clean.", ("clean",), names="corruption")
    level: Sequence[str] = flag("Levels.", ("L2",))
    profile: str = like(TuneRun, "profile")
    seed: int = flag("Seed of the corruption draw.", 0)
    shift: float = flag("Roll of the views as a share of the clip.", 0.17)
    average: str = flag("What is averaged: logits, or softmax.", "logits")
    batch_size: int = flag("Clips in a forward pass.", 70)
    split: str = flag("Split to score.", "test")
    workdir: str = flag("Folder for results.jsonl.")
    views: str | None = flag(
        "Views of clips with their padding (padded) or of their own samples (unpadded; clean clips only). Default: "
        "padded, but with --profile=reference unpadded on clean audio_mnist, vocal_sound and cochl_scene, as "
        "published.",
        None,
    )
