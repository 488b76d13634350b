"""What `experiments.zeroshot` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.names import CLEAN
from dhauds_jax.requests import Devices, OfDataSet, flag, like
from dhauds_jax.runs.requests.embed import EmbedRun
from dhauds_jax.zeroshot.request import ZeroshotGrid


@dataclass(frozen=True, kw_only=True)
class ZeroshotRun(ZeroshotGrid, OfDataSet):
    """The flags of `experiments.zeroshot`: the grid's, and those of what is embedded on the way."""

    checkpoint: str | None = flag(
        "The network that embedded the sets: an audio-text model's folder, for sentences, or any classifier, for "
        "--prototypes=head; with --dataset, what embeds it.",
        None,
    )
    recipe: str = flag(
        "A published grid by name, in place of the lists: audiotext:us8k; what is not there waits with its reason.", ""
    )
    data_root: str | None = flag("With --recipe: folder of the embedded sets, and of clap/, the model.", None)
    dataset: str | None = like(
        AdaptRun,
        "dataset",
        default=None,
        help="Data set to embed on the way, into WORKDIR/embeddings, in place of --embeddings.",
    )
    data_dir: str | None = like(AdaptRun, "data_dir")
    split: str = flag("Split of --dataset to classify.", "test")
    train_split: str = flag("Split that prototypes of clips are made of, of --dataset and of an index.", "train")
    noise_dir: str | None = like(AdaptRun, "noise_dir")
    corruption: Sequence[str] = like(AdaptRun, "corruption", default=(CLEAN,))
    level: Sequence[str] = like(AdaptRun, "level")
    batch_size: int = like(EmbedRun, "batch_size")
    allow_partial: bool = like(AdaptRun, "allow_partial")
    on_bad_file: str = like(EmbedRun, "on_bad_file")
    precision: str = like(Devices, "precision")
