"""What `experiments.adapt` is asked for, as a record; its fields are the flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax import names
from dhauds_jax.names import CLEAN, PROFILES
from dhauds_jax.requests import ON_BAD_FILE, Devices, OfDataSet, flag, like, listed

DRAWS = ("two", "single")
"""Draws of a corruption: one to adapt to and another to report (offline), or one for both."""

SHIFT_EXAMPLES = "SCN:running_tap@10dB, CLP:vocal_sound@3dB, UNI:0.005"
OURS_BESIDE = (
    f"ENU:FOLDER, noises of your own; transmissions ({listed(names.TRANSMISSIONS)}; or mixtures, as MIC+TEL), which "
    "all does not hold"
)


@dataclass(frozen=True, kw_only=True)
class AdaptRun(OfDataSet):
    """The flags of `experiments.adapt`."""

    dataset: str = flag(
        f"Data set: {listed(names.DATA_SETS)}; or a variant, such as audio_mnist/fold1 (docs/data.md).",
        names="data set",
    )
    data_dir: str | None = flag("Folder of the data set (not for synthetic).", None)
    noise_dir: str | None = flag(
        "Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/ (CLP: VocalSound/, "
        "CochlScene/).",
        None,
    )
    net: str | None = flag("Network, checked against the checkpoint's when given.", None, names="net")
    checkpoint: str = flag(
        "Folder of the source model, of experiments.train or converters.convert; or the name of one that comes with "
        "the package, such as words15."
    )
    method: Sequence[str] = flag(f"Methods: {listed(names.METHODS)} (docs/methods.md).", ("dhauds",), names="method")
    corruption: Sequence[str] = flag(
        f"Corruptions: {listed(names.CORRUPTIONS)}, all, or clean; shifts ({listed(names.SHIFTS)}) with their "
        f"parameter: {SHIFT_EXAMPLES}; {OURS_BESIDE} (docs/data.md).",
        names="corruption",
    )
    level: Sequence[str] = flag(
        f"Levels: {listed(names.LEVELS)}; of transmissions S0 to S1 too, such as S0.3.", ("L2",)
    )
    protocol: Sequence[str] = flag(
        f"Protocols: {listed(names.PROTOCOLS)} (docs/methods.md; offline: epochs over the set, the others: one pass).",
        ("offline",),
        names="protocol",
    )
    profile: str = flag("reference (quirks of the PyTorch systems on) or corrected.", "reference", choices=PROFILES)
    seed: int = flag("Seed of the corruption draw and of the adaptation.", 0)
    epochs: int = flag("Passes of the offline protocol.", 15)
    batch_size: int = flag("Clips in an update; the last partial batch is kept.", 70)
    options: Sequence[str] = flag(
        "Options of the methods, key=value or method.key=value; an unknown one lists them, recipe=NAME sets many.", ()
    )
    criterion: str = flag(
        f"Label-free choice of the epoch: {listed([*names.CRITERIA, *names.CRITERIA_WITH_VIEWS])}.",
        "information",
        names="criterion",
    )
    split: str = flag("Split to adapt to.", "test")
    workdir: str = flag("Folder for results.jsonl and the states of unfinished cells.")
    save_every_s: float = flag("Least seconds between two saved states of an unfinished cell.", 20.0)
    allow_partial: bool = flag("Go on when a list names files that are absent (the count goes on record).", False)
    protocol_options: Sequence[str] = flag("Options of the protocols, key=value or protocol.key=value.", ())
    draw: str = flag("two (offline: adapt to one draw, report another, as published) or single.", "two")
    evaluation_seed: int = flag("Seed of the draw that is reported, with --draw=two.", 123456)
    corrupted_dir: str | None = flag("Read the draw that is reported from this -C set instead of drawing it.", None)
    adaptation_dir: str | None = flag("Read the draw that is adapted to from this -C set.", None)
    source_clips: int = flag("Training clips that methods in need of source data get.", 500)
    agreement: bool = flag("Record the agreement of two views after each epoch (one evaluation more).", False)
    subset: str | None = flag("Take these clips of the split alone: a file of clip ids, one a line.", None)
    on_bad_file: str = flag(
        "At a bad file: stop, or leave it out and list it in WORKDIR/bad_files.txt.", "stop", choices=ON_BAD_FILE
    )
    embeddings: bool = flag(
        "Store up to 500 embeddings a cell before and after adaptation in WORKDIR/embeddings, their silhouettes in the "
        "record; a finished cell that has none is run again.",
        False,
    )
    parallel: str = like(Devices, "parallel")
    updates_per_dispatch: int = like(Devices, "updates_per_dispatch")
    precision: str = like(Devices, "precision")
    remat: bool = like(Devices, "remat")


def title(corruption: str, level: str) -> str:
    """A cell's corruption and level in one word."""
    return corruption if corruption == CLEAN else f"{corruption}-{level}"
