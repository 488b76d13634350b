"""Sentences for a text tower: templates of classes, background prompts, noise phrases, and the rules of class names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dhauds_jax import registry
from dhauds_jax.errors import BadInput

PLACE = "{}"
"""Where a template has the class name."""

_BRACES = re.compile(r"\{[^{}]*\}?|\}")
"""A place of another name, or a brace that is alone."""

TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "laion": ("This is a sound of {}",),
    "hf": ("This is a sound of {}.",),
    "bare": ("{}",),
    "ensemble": (
        "{}",
        "This is a sound of {}",
        "This is a sound of {}.",
        "a recording of {}",
        "{} can be heard",
        "{} in the distance",
        "the noise that {} makes",
        "a field recording with {} in it",
    ),
}
"""Templates by name: LAION's, which is the seed's too, has no full stop, Hugging Face's has; the ensemble is ours."""

NOISE_PHRASES = ("background noise", "wind", "rain", "traffic", "people talking", "a humming machine", "music playing")
"""Our list for scorer drift: "rain with wind"."""


def templates(name_or_text: str) -> tuple[str, ...]:
    """The templates of a name, or those of a file's text, one a line.

    Args:
      name_or_text: a name of `TEMPLATES`, or lines that each hold `{}` once; blank lines are left out.

    Raises:
      BadInput: an unknown name, a line without one `{}`, or with another place, such as `{place}`.
    """
    if name_or_text in TEMPLATES:
        return TEMPLATES[name_or_text]
    lines = [line.strip() for line in name_or_text.splitlines() if line.strip()]
    if len(lines) <= 1 and PLACE not in name_or_text:
        raise BadInput(
            f"{registry.unknown('template', name_or_text, TEMPLATES)}, or a file of lines with {PLACE} in each"
        )
    for number, line in enumerate(lines, 1):
        if line.count(PLACE) != 1:
            raise BadInput(
                f"template {number}, {line!r}, has {line.count(PLACE)} places {PLACE}, expected one, for the class name"
            )
        strange = _BRACES.findall(line.replace(PLACE, ""))
        if strange:
            raise BadInput(
                f"template {number}, {line!r}, has {strange[0]}, which nothing fills in and would be spoken as it is: "
                f"expected {PLACE} alone, for the class name"
            )
    return tuple(lines)


def sentences(names: Sequence[str], lines: Sequence[str]) -> list[str]:
    """Every template with every class name, template by template: (templates x classes) sentences."""
    return [line.replace(PLACE, spoken(name)) for line in lines for name in names]


def spoken(name: str) -> str:
    """A class or scene as it is said: underscores are spaces, outer ones and double ones go."""
    return " ".join(name.replace("_", " ").split())


def class_names(text: str, source: str) -> tuple[str, ...]:
    """The class names of a file's text, one a line, as they are written; a last empty line is none.

    Args:
      text: of the file.
      source: its name or flag, for the sentence.

    Raises:
      BadInput: fewer than two names, a blank line between, two lines that are said alike (`dog_bark`, `dog bark`).
    """
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if len(lines) < 2:
        raise BadInput(f"{source}: holds {len(lines)} class names, expected at least two, one a line")
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        said = spoken(line).casefold()
        if not said:
            raise BadInput(f"{source}: line {number} is blank, expected a class name in each: take the line out")
        if said in seen:
            raise BadInput(
                f"{source}: lines {seen[said]} and {number} are both {spoken(line)!r}, expected every class once: take "
                "one out"
            )
        seen[said] = number
    return tuple(lines)


def background_prompts(scene: str) -> tuple[str, str, str]:
    """The seed's three sentences of a background, whose profiles are averaged.

    The second one's capital lowers all letters behind it, as the seed's does.

    Raises:
      BadInput: a name without letters.

    Source: get_background_profile_text, src/domain_adaptation_utils.py of the seed.
    """
    said = spoken(scene)
    if not said:
        raise BadInput(f"background {scene!r} has no name, expected a word or two such as park or metro_station")
    return (
        f"This is a sound of {said}",
        f"{said.capitalize()} sounds in the background",
        f"This is a sound of {said} in the background",
    )


def noisy_sentences(names: Sequence[str], phrases: Sequence[str] = NOISE_PHRASES) -> list[str]:
    """Every class name with every noise phrase, phrase by phrase, for scorer drift: "rain with wind"."""
    return [f"{spoken(name)} with {phrase}" for phrase in phrases for name in names]
