"""What `experiments.learn` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax.requests import ON_BAD_FILE, Devices, Request, flag, like
from dhauds_jax.runs.requests.classify import ClassifyRun
from dhauds_jax.runs.requests.incremental import IncrementalRun

KEEPS = ("none", "clips", "head")
"""Values of `LearnRun.keep`."""

SCORES = ("max_logit", "energy", "max_probability")
"""Values of `LearnRun.score`, keys of `incremental.rejection.SCORES`."""

LEARNER = "prototype"
"""The learner of a first session, unless another is named."""


@dataclass(frozen=True, kw_only=True)
class LearnRun(Request):
    """The flags of `experiments.learn`."""

    checkpoint: str | None = flag(
        "Folder of the classifier whose network is kept, of experiments.train or converters.convert; or one of "
        "experiments.learn, which learns more.",
        None,
    )
    model: str | None = like(ClassifyRun, "model")
    audio_dir: str | None = flag(
        "Folder of what is to be learnt, CLASS/*.wav (or flac, ogg, mp3, ...); clips of a class that was learnt before "
        "are added to it (classes that the network was trained on: --keep).",
        None,
    )
    remove: Sequence[str] = flag("Classes that are to be forgotten, in place of --audio_dir.", ())
    merge: Sequence[str] = flag("Two checkpoints of experiments.learn that become one, in place of --audio_dir.", ())
    learner: str | None = flag(
        f"Learner of a first session (see docs/incremental.md; default: {LEARNER}); later ones take the checkpoint's.",
        None,
        names="learner",
    )
    reading: str = like(IncrementalRun, "reading")
    head: str | None = flag("Which of the learner's heads labels recordings (default: its own).", None)
    options: Sequence[str] = flag("Options of the learner, key=value (an unknown one lists them).", ())
    keep: str | None = flag(
        "Classes that the checkpoint has, at the first session: none (default) starts anew, clips learns them from "
        "--base_dir, head takes the rows of its last layer (learners by angle alone; not measured).",
        None,
        choices=KEEPS,
    )
    base_dir: str | None = flag("Folder of clips of the checkpoint's classes, CLASS/*.wav, for --keep=clips.", None)
    base_clips: int = flag("Clips of each of these classes at most, evenly taken from their names in order.", 10)
    reject: float = flag(
        "Share of known recordings that may be called unknown, 0 up to 1: the report says where that threshold lies "
        "(experiments.classify --reject takes any).",
        0.05,
    )
    score: str = flag("What tells known from unknown recordings.", "max_logit", choices=SCORES)
    output: str = flag("Folder of the results; they appear together when all is done.")
    overwrite: bool = flag("Replace what an earlier run left in --output.", False)
    min_clips: int = flag("Clips that a class must have; of a class with one nothing can be measured.", 2)
    max_classes: int = flag("More classes than that, old and new, are refused.", 10_000)
    memory: int = flag("Clips of each class that learners with exemplars keep.", 1)
    batch_size: int = flag("Windows that are computed at once.", 32)
    seed: int = flag("Seed of the learner.", 0)
    on_bad_file: str = flag("skip unreadable files (they are listed) or stop.", "skip", choices=ON_BAD_FILE)
    precision: str = like(Devices, "precision")
