"""What `experiments.leaderboard` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import PROFILES
from dhauds_jax.requests import Request, flag


@dataclass(frozen=True, kw_only=True)
class LeaderboardRun(Request):
    """The flags of `experiments.leaderboard`."""

    dataset: str = flag("Data set, as in experiments.adapt.", "arabic_speech_commands", names="data set")
    data_dir: str | None = flag("Folder of the data set (none: one that is made in memory).", None)
    checkpoint_root: str | None = flag("Folder with seed<N>/checkpoint for every seed, a source of its own.", None)
    checkpoint: str | None = flag(
        "In place of --checkpoint_root one source for all seeds: a folder, or a model of the package such as words15.",
        None,
    )
    noise_dir: str | None = flag(
        "Folder that holds _background_noise_/ (ENSC; none: no corruption has recordings).", None
    )
    seed: Sequence[str] = flag("Seeds; each has its own draw and adaptation, and source.", ("0", "1", "2"))
    method: Sequence[str] = flag("Methods, or all.", ("all",), names="method")
    protocol: Sequence[str] = flag(
        "Protocols, in this order.", ("offline", "online", "continual", "mixed", "batch1"), names="protocol"
    )
    corruption: Sequence[str] = flag("Corruptions, each at --level.", ("WHN", "ENSC", "PSH", "TST"), names="corruption")
    level: str = flag("Level of the corruptions.", "L2")
    profile: str = flag("reference or corrected.", "reference", choices=PROFILES)
    options: Sequence[str] = flag("Options of the methods, METHOD.key=value; those of --tuned go before them.", ())
    protocol_options: Sequence[str] = flag("Options of the protocols, as in experiments.adapt.", ())
    floors: bool = flag(
        "Also run every method at rate 0, and norm with running statistics: what gain and harm are measured against.",
        True,
    )
    tuned: str | None = flag("Options of the methods, a csv file of experiments.tune (none: the defaults).", None)
    subset: str | None = flag("Clips of the test split, a file of ids (none: all).", None)
    epochs: int = flag("Passes of the offline protocol.", 5)
    batch_size: int = flag("Clips in an update.", 70)
    shard: str = flag("This run's share of the methods: 1/2 or 2/2, for instance.", "1/1")
    workdir: str = flag("Folder of the records.")
