"""Reads JSON that others wrote: whatever is wrong with it is one kind of error, with words for a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dhauds_jax.errors import BadInput
from dhauds_jax.wording import kind_of


class NotJson(ValueError):
    """A text that is no JSON; its own text says why."""


def parsed(text: str | bytes) -> Any:
    """What a JSON text, or its bytes in UTF-8, stands for.

    Raises:
      NotJson: it is none, is no UTF-8, is nested deeper than Python follows, or has a number of thousands of digits.
    """
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError as error:
        known = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)
        raise NotJson(str(error) if known else "a number of thousands of digits") from None


def read(path: Path) -> Any:
    """What a JSON file holds; raises `NotJson` as `parsed`, and the system's errors."""
    return parsed(path.read_bytes())


def object_of(path: Path, expected: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
      path: the file.
      expected: what it should be, and what to do, for the end of the sentence.

    Raises:
      BadInput: it holds something else.
    """
    try:
        found = read(path)
    except NotJson as error:
        raise BadInput(f"{path}: is no JSON ({error}), expected {expected}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path}: holds {kind_of(found)}, expected {expected}")
    return found
