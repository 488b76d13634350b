"""What is tuned of each method, and the file of what was chosen."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax.errors import BadInput
from dhauds_jax.files import write_csv
from dhauds_jax.recipes.table import text_of
from dhauds_jax.tta import methods

FACTORS = (0.3, 1.0, 5.0, 25.0)
"""Learning rates that are tried first: the default times these."""

SGD_FACTORS = (1.0, 10.0, 40.0, 120.0)
"""The same of methods whose default is a plain SGD rate that hardly moves a network in a few updates."""

SGD_METHODS = ("eata", "rdumb", "sar", "deyo", "come")


class Line(NamedTuple):
    """Values of one option, in rising order, which go on at either end as a geometric row.

    Attributes:
      option: its name; "" for a line with a single trial, of `fixed` alone.
      values: tried first.
      grows: what the next value beyond an end is multiplied (or divided) by.
      fixed: other options of all its trials.
      lowest, highest: nothing beyond them is tried; a value that would be is none.
    """

    option: str
    values: tuple[Any, ...] = (None,)
    grows: float = 5.0
    fixed: tuple[tuple[str, Any], ...] = ()
    lowest: float = 0.0
    highest: float = math.inf

    def options(self, value: Any) -> dict[str, Any]:
        """The options of the trial at a value of this line."""
        return {**dict(self.fixed), **({self.option: value} if self.option else {})}

    def beyond(self, value: Any, up: bool) -> Any:
        """The value after an end of the line; None where there is none."""
        if not self.option:
            return None
        there = value * self.grows if up else value / self.grows
        there = round(there) if isinstance(value, int) else float(f"{there:.6g}")
        return there if self.lowest <= there <= self.highest and there != value else None


def _rates(lr: float, factors: Sequence[float], grows: float, **fixed: Any) -> Line:
    return Line("lr", tuple(float(f"{lr * factor:.6g}") for factor in factors), grows, tuple(fixed.items()))


_RUNNING = Line("", fixed=(("statistics", "running"),))
_BATCH = (("statistics", "batch"),)

SPACES: dict[str, tuple[Line, ...]] = {
    "norm": (_RUNNING, Line("prior", (16.0, 64.0, 256.0), 4.0, (("statistics", "blend"),))),
    "lame": (_RUNNING, Line("k", (1, 5, 9), 2.0, _BATCH, lowest=1)),
    "t3a": (_RUNNING, Line("supports", (5, 20, 100), 5.0, _BATCH, lowest=1)),
    "notela": (_RUNNING, Line("lr", (1e-4, 1e-3, 5e-3), 5.0, _BATCH)),
}
"""Methods for which something else than the learning rate decides most; the default is the first trial."""


def space(method: str, profile: str) -> tuple[Line, ...]:
    """The lines of values that are tried of a method, the default among them: options that differ from the defaults.

    SGD methods have a line of SGD rates and their authors' other optimiser, Adam at 1e-3. A method without a rate has
    one trial. Raises `BadInput` for an unknown method.
    """
    defaults = methods.default_options(method, profile)
    if method in SPACES:
        return SPACES[method]
    if "lr" not in defaults:
        return (Line(""),)
    if method in SGD_METHODS:
        adam = _rates(1e-3, (1.0,), 5.0, optimiser="adam")
        return (_rates(defaults["lr"], SGD_FACTORS, 3.0), adam)
    return (_rates(defaults["lr"], FACTORS, 5.0),)


def trials_of(space: Sequence[Line]) -> Iterator[tuple[int, Any]]:
    """(place of the line, value) of the trials that every run begins with."""
    for place, line in enumerate(space):
        yield from ((place, value) for value in line.values)


class Tuned(NamedTuple):
    """A row of a file of tuned options.

    Attributes:
      method, option, value: what was chosen; several options are separated by spaces.
      score: its metric in trials, 0 to 1, mean over seeds.
      nll: its negative log-likelihood in nats.
      floor: the metric of the same method at rate 0 (of the unadapted network, for methods without a rate).
      trials: values that were tried.
      why: a word of `tuning.REASONS`.
    """

    method: str
    option: str
    value: str
    score: float
    nll: float = math.nan
    floor: float = math.nan
    trials: int = 0
    why: str = ""


_FIRST = Tuned._fields[:4]
"""The columns of older files."""


def write(path: Path, rows: Sequence[Tuned]) -> None:
    """Writes tuned options as csv, in one piece."""
    numbers = [(f"{row.score:.4f}", f"{row.nll:.4f}", f"{row.floor:.4f}", row.trials, row.why) for row in rows]
    write_csv(path, [Tuned._fields, *((*row[:3], *rest) for row, rest in zip(rows, numbers, strict=True))], exact=True)


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
    if tuple(reader.fieldnames or ()) not in (Tuned._fields, _FIRST):
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
