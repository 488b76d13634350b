"""What `experiments.listen` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax import names
from dhauds_jax.requests import Request, flag, like
from dhauds_jax.serve.request import ServeRun


@dataclass(frozen=True, kw_only=True)
class ListenRun(Request):
    """The flags of `experiments.listen`."""

    checkpoint: Sequence[str] = like(ServeRun, "checkpoint")
    input: str = flag(
        "- for raw samples from stdin, the name of a pipe (mkfifo) with them, or a recording that is heard as if live.",
        "-",
    )
    rate: int | None = flag("Raw samples a second, in Hz; default: the checkpoint's own rate.", None)
    format: str = flag("Of raw samples: 16-bit whole numbers or 32-bit floats.", "s16le", choices=("s16le", "f32le"))
    channels: int = flag("Of raw samples, one after the other in each frame; their mean is heard.", 1)
    hop: float = flag("Seconds from one window to the next, at most a window; 0: a window.", 0.5)
    smooth: int = flag("Windows, the last ones, over whose probabilities a label is the mean.", 1)
    threshold: float | None = flag("A label whose probability is lower is called unknown, 0 to 1.", None)
    reject: float | None = flag(
        "In place of --threshold: call windows unknown so that at most this share of the left-out clips of the known "
        "classes is lost, 0 up to 1, as experiments.classify does; with a checkpoint that has such scores, as of learn "
        "or crossval.",
        None,
    )
    reject_background: float | None = like(ServeRun, "reject_background")
    every: bool = flag("Print every window, not only where the label changes.", False)
    output: str | None = flag("A csv file with a row for each window, written as it is said.", None)
    speed: float = flag(
        "Of a recording: 1 hears it as fast as it was recorded, 2 twice as fast. Sound that comes faster than it is "
        "computed is dropped after --buffer, counted and said; 0 waits for the computation and drops nothing.",
        1.0,
    )
    buffer: float = flag("Seconds of sound that may wait for the computation.", 10.0)
    max_batch: int = flag("Windows that are computed at once when several wait.", 8)
    precision: str = like(ServeRun, "precision")
    adapt: str = flag("none, or session: the model adapts to what it hears.", "none", choices=("none", "session"))
    method: str = like(ServeRun, "method")
    options: Sequence[str] = like(ServeRun, "options")
    adapt_batch: int = like(ServeRun, "adapt_batch")
    update: str = like(ServeRun, "update")
    canary: str | None = like(ServeRun, "canary")
    canary_drop: float = like(ServeRun, "canary_drop")
    max_drift: float = like(ServeRun, "max_drift")
    filters: bool = like(ServeRun, "filters")
    profile: str = flag("reference or corrected: the method's default options.", "corrected", choices=names.PROFILES)
    seed: int = like(ServeRun, "seed")
