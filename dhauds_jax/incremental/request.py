"""What class-incremental runs are asked for, as a record; its fields are flags of `experiments.incremental`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dhauds_jax import names
from dhauds_jax.names import PROFILES
from dhauds_jax.requests import Request, flag, listed

NONE = "none"
"""No adaptation after a session."""

SHOTS_CORRUPTION = ("clean", "same")
"""Shots as recorded, or corrupted as the clips that are tested."""

TTA_RESET = ("session", "never")
"""What a session starts from: the network as it was, or as the adaptation after the last session left it."""


TTA_SESSIONS = ("auto", "all", "last")
"""After which sessions an adaptation runs; auto: without gradients after all, with gradients after the last."""


CACHE_DTYPES = ("float32", "bfloat16")
"""What numbers that are read of a network are kept as."""


@dataclass(frozen=True, kw_only=True)
class IncrementalGrid(Request):
    """Every learner with every seed is one course of sessions, and gives a record a head, corruption and adaptation."""

    learner: Sequence[str] = flag(
        f"Learners: {listed(names.LEARNERS)}, or module:factory of your own (docs/incremental.md).",
        ("prototype",),
        names="learner",
    )
    way: int = flag("Classes of a session.", 5)
    shot: int = flag("Labelled clips of a new class.", 5)
    sessions: int = flag("Sessions, the first among them (0: as many as there are classes for).", 0)
    base_way: int = flag("Classes of the first session (0: --way).", 0)
    base_shot: str = flag("Labelled clips of each of its classes, or all (default: --shot).", "")
    order: str = flag(
        "Classes as the set lists them (identity) or in an order that the seed draws (random); default: random, in "
        "profile reference identity.",
        "",
        choices=("", "identity", "random"),
    )
    seeds: Sequence[int] = flag("Seeds of order, shots and learners.", (0,))
    memory: int = flag("Clips of each class that a learner with a memory may keep.", 1)
    profile: str = flag(
        "reference (quirks of the published code on, see docs/fidelity.md) or corrected.", "corrected", choices=PROFILES
    )
    head: Sequence[str] = flag("Heads to report, of those that each learner has; all: every one.", ("all",))
    options: Sequence[str] = flag(
        "Options of learners and of --tta, NAME.key=value (key=value: of every learner; an unknown one lists all).",
        (),
    )
    shots_corruption: str = flag(
        "What the shots are learnt under: clean, or the same corruption and level as what is tested.",
        "clean",
        choices=SHOTS_CORRUPTION,
    )
    tta: Sequence[str] = flag(
        f"After each session, adaptation to the unlabelled test clips: {NONE}, t3a, tent, dhauds or another of "
        "docs/methods.md.",
        (NONE,),
    )
    tta_reset: str = flag(
        "After an adaptation the next session starts from the network as it was (session) or as it is now (never).",
        "session",
        choices=TTA_RESET,
    )
    tta_sessions: str = flag(
        "Sessions after which --tta runs: all, the last alone (each number of classes compiles a method anew), or "
        "auto: methods without gradients (t3a) after all, others after the last.",
        "auto",
        choices=TTA_SESSIONS,
    )
    tta_batch_size: int = flag("Clips of an update of --tta.", 32)
    reject: float = flag(
        "Share of known clips that may be called unknown, by a threshold that the shots alone give (accepted says what "
        "came of it).",
        0.05,
    )
    max_classes: int = flag("More classes than these are refused.", 10_000)
