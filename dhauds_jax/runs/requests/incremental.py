"""What `experiments.incremental` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.incremental.request import CACHE_DTYPES, IncrementalGrid
from dhauds_jax.names import CLEAN
from dhauds_jax.requests import Devices, OfDataSet, flag, like
from dhauds_jax.runs.requests.embed import EmbedRun


@dataclass(frozen=True, kw_only=True)
class IncrementalRun(IncrementalGrid, OfDataSet):
    """The flags of `experiments.incremental`: the grid's, and those of the clips and the network."""

    dataset: str | None = like(AdaptRun, "dataset", default=None)
    data_dir: str | None = like(AdaptRun, "data_dir")
    train_split: Sequence[str] = flag("Splits that shots come from.", ("train",))
    split: Sequence[str] = flag(
        "Splits that are tested; the same as --train_split: what the shots leave over, of other speakers or recordings "
        "where the set knows them.",
        ("test",),
    )
    checkpoint: str | None = flag(
        "The network: a folder of experiments.train or pretrain, or converters.convert.", None
    )
    net: str | None = flag(
        "The checkpoint's twin for clips of another length or classes: its position table is fitted to this net's.",
        None,
        names="net",
    )
    reading: str = flag(
        "What an embedding is: network, its own; bands, of each band of the spectrogram the mean and the deviation "
        "over time and four means; rows or rows:LEVEL, the same two of each row of patches after a block (from 0).",
        "network",
    )
    embeddings: str | None = flag(
        "In place of a network and a set: vectors of any tool, a folder of experiments.embed or an .npz with vectors, "
        "ids, labels, classes and perhaps splits and groups (docs/data.md); for learners that read embeddings.",
        None,
    )
    recipe: str = flag(
        "A published protocol by name, in place of its flags: ffcac:ede_ls100 (docs/incremental.md).", ""
    )
    noise_dir: str | None = like(AdaptRun, "noise_dir")
    corruption: Sequence[str] = like(AdaptRun, "corruption", default=(CLEAN,))
    level: Sequence[str] = like(AdaptRun, "level")
    workdir: str = flag("Folder for incremental.jsonl and the states of unfinished courses.")
    cache_dir: str | None = flag(
        "Folder that keeps what was read of the network for the next command (default: what does not fit into memory, "
        "in WORKDIR/cache).",
        None,
    )
    memory_budget_mb: float = flag("Most memory (MiB) for what was read of the network; more lies in a file.", 2048.0)
    cache_dtype: str = flag(
        "What is read of the network is kept as float32, or as bfloat16: half the room, each number 0.4 % off at most.",
        "float32",
        choices=CACHE_DTYPES,
    )
    batch_size: int = like(EmbedRun, "batch_size", default=32)
    allow_partial: bool = like(AdaptRun, "allow_partial")
    on_bad_file: str = flag(
        "skip clips that cannot be read, are silent or too short (WORKDIR/bad_files.txt lists them), or stop.",
        "skip",
    )
    precision: str = like(Devices, "precision")
