"""What `experiments.study` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.requests import OfDataSet, flag, like


@dataclass(frozen=True, kw_only=True)
class StudyRun(OfDataSet):
    """The flags of `experiments.study`; what it does not have is as `AdaptRun` has it by default."""

    dataset: str = like(AdaptRun, "dataset", help="Data set, as in experiments.adapt.")
    data_dir: str | None = like(AdaptRun, "data_dir")
    noise_dir: str | None = like(AdaptRun, "noise_dir", help="Folder of the noise recordings, as in experiments.adapt.")
    checkpoint: str = like(AdaptRun, "checkpoint")
    method: str = flag("Method (docs/methods.md); best one that moves few parameters.", "tent", names="method")
    corruption: str = flag("Corruption, clean, or a shift, as in experiments.adapt; one.", names="corruption")
    level: str = flag("Level: L1 or L2.", "L2")
    protocol: str = flag("Protocol: offline (epochs over the set) or online (one pass).", "offline")
    lr: Sequence[str] | None = flag(
        "Learning rates, above 0 (not given: the method's own, and for methods without one).", None
    )
    seeds: Sequence[str] = flag("Seeds; each is one of the corruption draw and of the adaptation.", ("0",))
    copies: int = flag("Runs that go at once, at the most: memory for activations grows with them.", 8)
    draw: str = like(AdaptRun, "draw")
    evaluation_seed: int = like(AdaptRun, "evaluation_seed")
    source_clips: int = like(AdaptRun, "source_clips")
    profile: str = like(AdaptRun, "profile")
    epochs: int = like(AdaptRun, "epochs")
    batch_size: int = like(
        AdaptRun, "batch_size", help="Clips in an update of one run; the last partial batch is kept."
    )
    options: Sequence[str] = flag("Options of the method, key=value (an unknown one lists them).", ())
    criterion: str = like(AdaptRun, "criterion", help="Label-free choice of the epoch, as in experiments.adapt.")
    split: str = like(AdaptRun, "split")
    subset: str | None = like(AdaptRun, "subset")
    workdir: str = flag("Folder for results.jsonl.")
    allow_partial: bool = like(AdaptRun, "allow_partial")
