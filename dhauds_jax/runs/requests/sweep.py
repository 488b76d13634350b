"""What `experiments.sweep` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.requests import ON_BAD_FILE, Devices, Request, flag, like


@dataclass(frozen=True, kw_only=True)
class SweepRun(Request):
    """The flags of `experiments.sweep`."""

    recipes: str = flag("Table: dhauds, iom_eolr, ntta, amaut, tta_in_ac, synthetic, or a csv file.")
    only: Sequence[str] = flag(
        "Patterns of dataset/net/corruption-level/method, such as speech_commands_v2/hubert_base/*; * stands for "
        "anything, capitals and underscores do not matter, the published names do too (SpeechCommandsV2/HuBERT/*).",
        (),
    )
    shard: str = flag("Which part of the rows, as 2/8; every machine its own part and its own --workdir.", "1/1")
    engine: str = flag(
        "local: rows one after the other here; ray: a task a row on the machines of a Ray cluster, one result.",
        "local",
        choices=("local", "ray"),
    )
    workers: int = flag("Rows at a time of --engine=ray (0: one a GPU of the cluster, or one a core).", 0)
    retries: int = flag("How often a row of --engine=ray is tried again whose worker was lost.", 2)
    ray_address: str = flag("Cluster of --engine=ray: local starts one here; else its address, or auto.", "local")
    data_root: str | None = flag("Folder with one folder a data set, named as --dataset of experiments.adapt.", None)
    noise_dir: str | None = flag("Folder that holds QUT-NOISE/, DEMAND_16k/ or DEMAND_48k/, _background_noise_/.", None)
    checkpoint_root: str | None = flag(
        "Folder with one checkpoint <net>_<dataset>/ each (or <net>_<dataset>/checkpoint/).", None
    )
    workdir: str | None = flag("Folder for results.jsonl, unavailable.jsonl and the states of unfinished rows.", None)
    list: bool = flag("Print the rows and the commands that they stand for, and stop.", False)
    cost: bool = flag("Print what the rows cost in floating-point operations (XLA's count), and stop.", False)
    dry_run: bool = flag("Say of each row whether it is finished, can run, or why not, and stop.", False)
    save_every_s: float = flag("Least seconds between two saved states of an unfinished row.", 20.0)
    allow_partial: bool = like(AdaptRun, "allow_partial")
    on_bad_file: str = flag("At a bad file: stop the row, or leave the file out.", "stop", choices=ON_BAD_FILE)
    parallel: str = like(Devices, "parallel")
    updates_per_dispatch: int = like(Devices, "updates_per_dispatch")
    precision: str = like(Devices, "precision")
    remat: bool = like(Devices, "remat")
