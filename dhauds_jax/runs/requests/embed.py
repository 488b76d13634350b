"""What `experiments.embed` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.names import CLEAN, LONG_RULES
from dhauds_jax.requests import Devices, OfDataSet, flag, like, listed


@dataclass(frozen=True, kw_only=True)
class EmbedRun(OfDataSet):
    """The flags of `experiments.embed`."""

    checkpoint: str = flag(
        "Folder of the network, of experiments.train or converters.convert; or the name of one that comes with the "
        "package, such as words15."
    )
    audio_dir: str | None = flag(
        "Recordings: a folder, searched with its folders, one file, or a text file (.txt) that names one on each line, "
        "relative to itself.",
        None,
    )
    dataset: str | None = like(AdaptRun, "dataset", default=None)
    data_dir: str | None = like(AdaptRun, "data_dir")
    split: Sequence[str] = flag("Splits of the data set, one after the other; a clip of two is taken once.", ("test",))
    noise_dir: str | None = like(AdaptRun, "noise_dir")
    corruption: Sequence[str] = like(AdaptRun, "corruption", default=(CLEAN,))
    level: Sequence[str] = like(AdaptRun, "level")
    profile: str = like(AdaptRun, "profile", default="corrected")
    seed: int = flag("Seed of the corruption draw.", 0)
    output: str = flag("Folder of the embeddings; of several corruptions each has a folder in it.")
    long: str = flag(
        f"Recordings longer than the network's clip: {listed(LONG_RULES)}, with settings behind them, such as "
        "windows:overlap=0.5 (the mean over windows); those of fusion are for audio-text networks (docs/data.md).",
        "windows",
    )
    batch_size: int = flag("Windows in a dispatch.", 16)
    truth: str | None = flag(
        "What is known of the recordings of --audio_dir: a csv file with the columns file and, of label, fold, "
        "background, split and group, those that there are; default: of a scene of soundscapes its index.csv.",
        None,
    )
    text: str | None = flag("Phrases in place of recordings: a file with one on each line (audio-text networks).", None)
    export: Sequence[str] = flag(
        "Write them for other programs too: npz (OUTPUT/embeddings.npz), hear (OUTPUT/hear/, as HEAR's kit has them), "
        "pt (OUTPUT/embeddings.pt, the dict of Acevedo et al.).",
        (),
    )
    allow_partial: bool = like(AdaptRun, "allow_partial")
    on_bad_file: str = flag("skip unreadable files (the manifest lists them) or stop.", "skip")
    save_every_s: float = flag("Least seconds between two parts that a killed command goes on from.", 20.0)
    precision: str = like(Devices, "precision")
