"""What `experiments.quickstart` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import CORRUPTIONS, LEVELS, PROFILES
from dhauds_jax.requests import Request, flag, listed


@dataclass(frozen=True, kw_only=True)
class Quickstart(Request):
    """The flags of `experiments.quickstart`."""

    workdir: str = flag("Folder for the checkpoint, the records and the report.")
    seed: int = flag("Seed of training, corruption and adaptation.", 0)
    profile: str = flag("reference (quirks of the PyTorch systems on) or corrected.", "corrected", choices=PROFILES)
    method: Sequence[str] = flag(
        "Methods to compare with the unadapted network.", ("norm", "tent", "dhauds"), names="method"
    )
    corruption: Sequence[str] = flag(
        f"Corruptions: {listed(CORRUPTIONS)}, all, or clean. The default leaves out TST, whose tempos (8 to 12 % off) "
        "lie among those of the speakers that the network learns from: it costs nothing.",
        ("clean", *(name for name in CORRUPTIONS if name != "TST")),
        names="corruption",
    )
    level: Sequence[str] = flag(f"Levels: {listed(LEVELS)}.", ("L2",))
    train_epochs: int = flag("Passes over the training clips.", 3)
    epochs: int = flag("Passes of the adaptation over each corrupted set.", 2)
