"""Numbers of the forms of files that outlive a version: older forms are read, newer ones refused in one sentence.

A kind of file has one `Schema` beside what reads it. The number grows when a form can no longer be read as the one
before it; a step from each number to the next then changes what was read, in memory. What has no number is of the
first form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from dhauds_jax import __version__
from dhauds_jax.errors import BadInput

FORMAT, WRITTEN_BY = "format", "written_by"
"""The keys of the stamp: the number, and the version of the package that wrote the file."""

Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes of a record of one number that of the next."""

_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,39}")


class Newer(BadInput):
    """A file that a newer version of the package wrote."""


class Schema(NamedTuple):
    """The form of one kind of file.

    Attributes:
      number: of what is written now, at least 1.
      steps: by the number that each starts from; where there is none, the record means the same in the next form.
    """

    number: int
    steps: Mapping[int, Step] = MappingProxyType({})


def stamp(schema: Schema) -> dict[str, Any]:
    """What a file says of its form."""
    return {FORMAT: schema.number, WRITTEN_BY: __version__}


def migrated(record: Mapping[str, Any], schema: Schema, where: str) -> dict[str, Any]:
    """A record in the form of now, without its stamp.

    Args:
      record: as it was read.
      schema: of its kind.
      where: the file, for the sentence.

    Raises:
      Newer: a newer form.
      BadInput: a number that is none.
    """
    refuse_newer(record, schema, where)
    number = record.get(FORMAT, 1)
    if not _is_whole(number) or number < 1:
        raise BadInput(f"{where}: its {FORMAT} is {number!r}, expected a whole number from 1 to {schema.number}")
    found = {key: value for key, value in record.items() if key not in (FORMAT, WRITTEN_BY)}
    for place in range(number, schema.number):
        found = schema.steps[place](found) if place in schema.steps else found
    return found


def refuse_newer(record: Mapping[str, Any], schema: Schema, where: str) -> None:
    """Raises `Newer`, which says who wrote it and what to do, for a record of a newer form; others may be no record."""
    number = record.get(FORMAT)
    if not _is_whole(number) or number <= schema.number:
        return
    found = _writer(record)
    wrote = f"dhauds_jax {found} wrote it: install that version or a newer one"
    if found in (None, __version__):  # a version that was never released may have this one's name
        wrote = "a newer version wrote it: install the newest one"
    raise Newer(
        f"{where}: is of format {number}, expected at most {schema.number}, the newest that dhauds_jax {__version__} "
        f"reads; {wrote}"
    )


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _writer(record: Mapping[str, Any]) -> str | None:
    """The version that wrote a record: its stamp's, or among the versions that a result names; None where none is."""
    versions = record.get("versions")
    named = (record.get(WRITTEN_BY), versions.get("dhauds_jax") if isinstance(versions, Mapping) else None)
    return next((text for text in named if isinstance(text, str) and _VERSION.fullmatch(text)), None)
