"""The flags of classes that are given by name to an audio-text model."""

from __future__ import annotations

from dataclasses import dataclass

from dhauds_jax.requests import Request, flag
from dhauds_jax.zeroshot.request import ENTROPY, EQUAL

SCALES = ("checkpoint", "none", "agreement")
"""What cosines are multiplied by: the checkpoint's scale, 1 (as published), or so that confidence is agreement."""

BACKGROUNDS = ("background_text", "background_dir", "background_quiet")
"""Flags of which one says what recordings were made over."""


@dataclass(frozen=True, kw_only=True)
class NamedClasses(Request):
    """Classes by name, and what to take off for the background."""

    class_names: str | None = flag(
        "A file of class names, one a line: --checkpoint is an audio-text model (converters.convert --family=clap).",
        None,
    )
    template: str = flag(
        "With --class_names: the sentence of a class, laion, hf, bare or ensemble, or a file of lines with {} for the "
        "name.",
        "laion",
    )
    template_weights: str = flag(
        "With --class_names: how several templates count, equal, or entropy: the more the surer the windows are named "
        "by one, without labels.",
        EQUAL,
        choices=(EQUAL, ENTROPY),
    )
    known_dir: str | None = flag(
        "With --class_names: a folder of recordings in which named classes sound (which need not be said), by which "
        "--reject sets its threshold.",
        None,
    )
    background_text: str | None = flag("With --class_names: what was recorded over, a word or two such as park.", None)
    background_dir: str | None = flag("With --class_names: a folder of recordings of the background alone.", None)
    background_quiet: bool = flag(
        "With --class_names: the background is what the quietest and least certain windows share.", False
    )
    background_weight: str = flag(
        "How much of the background's profile is taken off, a number from 0, or auto: chosen without labels.", "0.5"
    )
    scorer: str | None = flag(
        "With --class_names: plain, subtract, centre, drift, em, whiten, or a chain, chain:subtract+em (default: "
        "subtract where a background is given, else plain).",
        None,
        names="scorer",
    )
    scale: str = flag(
        "With --class_names: how cosines become probabilities, by the checkpoint's scale, by none (as published), or "
        "so that the mean confidence is the share of windows to which two halves of the templates give one class.",
        "checkpoint",
        choices=SCALES,
    )
