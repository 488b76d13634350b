"""The text files of classes by name: their names, and the sentences that they are put into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dhauds_jax.errors import BadInput
from dhauds_jax.zeroshot import templates


def text_of(path: str, flag: str) -> str:
    """The text of a file that a flag names; raises `BadInput` where it cannot be read or is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{flag}={path}: cannot be read ({error.strerror}), expected a text file") from None
    except UnicodeDecodeError:
        raise BadInput(f"{flag}={path}: is not UTF-8, expected a text file in that encoding") from None


def template_lines(named: str) -> Sequence[str]:
    """The templates of a name, or those of a file.

    Raises:
      BadInput: an unknown name, a file that cannot be read, or one whose lines do not have one place for a name each.
    """
    if named in templates.TEMPLATES or not Path(named).exists():
        return templates.templates(named)
    text = text_of(named, "--template")
    if templates.PLACE not in text:
        raise BadInput(f"--template={named}: no line has {templates.PLACE}, expected one in each, for the class name")
    try:
        return templates.templates(text)
    except BadInput as error:
        raise BadInput(f"--template={named}: {error}") from None
