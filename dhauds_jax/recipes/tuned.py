"""What is tuned of each method: one option, four values, so that every method gets the same budget."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_csv
from dhauds_jax.recipes.table import text_of
from dhauds_jax.tta import methods

TRIALS = 4
"""Values that are tried of each method's option."""

FACTORS = (0.3, 1.0, 5.0, 25.0)
"""Learning rates are the default times these."""

SPACES: dict[str, tuple[dict[str, Any], ...]] = {
    "norm": ({"statistics": "running"}, *({"statistics": "blend", "prior": prior} for prior in (16.0, 64.0, 256.0))),
    "lame": ({"statistics": "running"}, *({"statistics": "batch", "k": k} for k in (1, 5, 9))),
    "t3a": ({"statistics": "running"}, *({"statistics": "batch", "supports": count} for count in (5, 20, 100))),
    "notela": ({"statistics": "running"}, *({"statistics": "batch", "lr": lr} for lr in (1e-4, 1e-3, 5e-3))),
}
"""Methods for which something else than the learning rate decides most; the default is the first trial."""


class Tuned(NamedTuple):
    """A row of a file of tuned options."""

    method: str
    option: str
    value: str
    score: float


def space(method: str, profile: str) -> list[dict[str, Any]]:
    """The trials of a method, the default among them: options that differ from the defaults.

    `source` has nothing to tune. Raises `BadInput` for an unknown method.
    """
    defaults = methods.default_options(method, profile)
    if method in SPACES:
        return [dict(trial) for trial in SPACES[method]]
    if "lr" not in defaults:
        return [{}]
    return [{"lr": float(f"{defaults['lr'] * factor:.6g}")} for factor in FACTORS]


def write(path: Path, rows: Sequence[Tuned]) -> None:
    """Writes tuned options as csv, in one piece."""
    write_csv(path, [Tuned._fields, *((*row[:3], f"{row.score:.4f}") for row in rows)])


def read(path: Path | str) -> dict[str, list[str]]:
    """`key=value` texts by method, as `--options` takes them.

    Raises:
      BadInput: no such file, other columns, an unknown method or option (row and column are named).
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput(f"--tuned={path}: no such file, expected one that experiments.tune wrote")
    found: dict[str, list[str]] = {}
    reader = csv.DictReader(text_of(path), restval="")
    if tuple(reader.fieldnames or ()) != Tuned._fields:
        raise BadInput(f"{path}: columns {reader.fieldnames}, expected {', '.join(Tuned._fields)}")
    for number, row in enumerate(reader, 2):
        if row["method"] not in methods.METHODS:
            raise BadInput(f"{path} row {number}, column method: unknown method {row['method']!r}")
        names, values = row["option"].split(), row["value"].split()
        if len(names) != len(values):
            raise BadInput(
                f"{path} row {number}, column value: {len(values)} values, expected {len(names)}, one a name"
            )
        options = dict(zip(names, values))
        try:
            methods.resolve_options(row["method"], "reference", options)
        except BadInput as error:
            raise BadInput(f"{path} row {number}, column option: {error}") from error
        found[row["method"]] = [f"{name}={value}" for name, value in options.items()]
    return found
