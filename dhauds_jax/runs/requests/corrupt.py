"""What `experiments.corrupt` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.cells.request import OURS_BESIDE, SHIFT_EXAMPLES, AdaptRun
from dhauds_jax.names import CORRUPTIONS, LEVELS, PROFILES, SHIFTS
from dhauds_jax.requests import ON_BAD_FILE, OfDataSet, flag, like, listed
from dhauds_jax.train.request import TrainRun


@dataclass(frozen=True, kw_only=True)
class CorruptRun(OfDataSet):
    """The flags of `experiments.corrupt`."""

    dataset: str = flag(
        "Name of the data set (--list names them); --verify=checksum alone can do without.", "", names="data set"
    )
    data_dir: str | None = flag("Folder of the data set (not for sets that are made in memory).", None)
    noise_dir: str | None = like(AdaptRun, "noise_dir")
    corruption: Sequence[str] = flag(
        f"Corruptions: {listed(CORRUPTIONS)}, or all that the set has; shifts ({listed(SHIFTS)}) with their parameter: "
        f"{SHIFT_EXAMPLES}; {OURS_BESIDE} (docs/data.md).",
        names="corruption",
    )
    level: Sequence[str] = like(AdaptRun, "level", default=LEVELS)
    output: str = flag("Folder of the corrupted set.")
    profile: str = flag("reference (quirks of the PyTorch corruptions on) or corrected.", "reference", choices=PROFILES)
    seed: int = flag("Seed of the draws; the default is that of the published sets.", 123456)
    split: str = flag("Split to corrupt; the published layouts are those of test splits.", "test")
    allow_partial: bool = like(TrainRun, "allow_partial")
    on_bad_file: str = flag("At a file that cannot be read: stop, or leave it out.", "stop", choices=ON_BAD_FILE)
    runner: str = flag("Where to compute: here, or by Apache Beam (extra beam).", "direct", choices=("direct", "beam"))
    beam_options: Sequence[str] = flag("Options of Apache Beam without their dashes, such as direct_num_workers=4.", ())
    verify: str = flag(
        "Write nothing; compare the files with a fresh computation.",
        "",
        choices=("samples", "checksum"),
        alone="samples",
    )
