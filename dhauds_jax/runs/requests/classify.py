"""What `experiments.classify` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.names import PROFILES
from dhauds_jax.requests import Devices, flag, like
from dhauds_jax.runs.requests.named_classes import NamedClasses


@dataclass(frozen=True, kw_only=True)
class ClassifyRun(NamedClasses):
    """The flags of `experiments.classify`."""

    checkpoint: str | None = flag("Folder of the classifier, of experiments.train or converters.convert.", None)
    model: str | None = flag("A model that comes with the package, in place of --checkpoint.", None, names="model")
    audio_dir: str = flag("Folder of recordings, searched with its folders, or one recording.")
    method: str | None = flag(
        "Adaptation method (see docs/methods.md); source only labels (default: tent, with --class_names source).",
        None,
        names="method",
    )
    online: bool = flag("One pass in the order of the file names, labels as the recordings come by.", False)
    output: str = flag("Folder of the results, of one run.")
    overwrite: bool = flag("Replace the results of another run in --output.", False)
    truth: str | None = flag("A csv file with the columns file and label: accuracy and confusions are reported.", None)
    epochs: int = flag("Passes over the recordings (not with --online).", 5)
    batch_size: int = flag("Windows in an update.", 64)
    overlap: float = flag("Share of a window that the next one repeats, 0 up to below 1.", 0.0)
    profile: str = flag("reference (quirks of the PyTorch systems on) or corrected.", "corrected", choices=PROFILES)
    options: Sequence[str] = flag("Options of the method, key=value (an unknown one lists them).", ())
    criterion: str = flag("Label-free choice of the epoch (see docs/methods.md).", "information", names="criterion")
    reject: float | None = flag(
        "Call recordings unknown so that at most this share of held-out ones of the known classes is lost, 0 up to 1; "
        "with --class_names and --known_dir, or a checkpoint that has such scores, as of crossval or learn.",
        None,
    )
    reject_background: float | None = flag(
        "Call recordings unknown so that at most this share of held-out windows of background keeps a name, 0 to 1; "
        "with --class_names and --background_dir, or a checkpoint that has such scores.",
        None,
    )
    seed: int = flag("Seed of the adaptation.", 0)
    on_bad_file: str = flag("skip unreadable files (they are listed in the report) or stop.", "skip")
    save_every_s: float = flag("Least seconds between two saved states.", 20.0)
    precision: str = like(Devices, "precision")
