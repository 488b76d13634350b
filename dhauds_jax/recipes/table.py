"""Recipes: tables of experiments, one a row, read and checked.

A table is a csv file; lines that begin with # say where it comes from. Columns: those of `REQUIRED` and `OPTIONAL`,
then options of the methods by their names, and options of a protocol as `protocol.NAME`; an empty cell takes the
default.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import digests
from dhauds_jax.cells.request import title
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.recipes.checks import BadCell, check_names, check_options

FOLDER = Path(__file__).resolve().parents[2] / "experiments" / "recipes"
NAMES = ("dhauds", "iom_eolr", "ntta", "amaut", "tta_in_ac", "synthetic")
"""Tables that come with the package."""

REQUIRED = ("dataset", "net", "corruption", "level", "method", "epochs", "batch_size", "seed")
OPTIONAL: Mapping[str, str] = {
    "protocol": "offline",
    "profile": "reference",
    "draw": "two",
    "evaluation_seed": "123456",
    "metric": "",
    "published_non_adapted": "",
    "published_adapted": "",
    "waits_for": "",
    "source": "",
    "remark": "",
}
"""Columns that may be left out, with their defaults."""


class Row(NamedTuple):
    """One experiment.

    Attributes:
      number: counted from 1, comments and header apart.
      dataset, net, corruption, level, method, protocol, profile, draw: names.
      epochs, batch_size, seed, evaluation_seed: as the flags of `experiments.adapt`.
      metric: of the data set.
      options, protocol_options: (name, text) of each that the row sets.
      published: `non_adapted` and `adapted` as fractions; None where nothing is published.
      waits_for: what the package does not have yet: a method, a network or its family, a data set, a corruption.
      source: the repository and commit that it comes from.
      remark: for the reader.
    """

    number: int
    dataset: str
    net: str
    corruption: str
    level: str
    method: str
    protocol: str
    profile: str
    draw: str
    epochs: int
    batch_size: int
    seed: int
    evaluation_seed: int
    metric: str
    options: tuple[tuple[str, str], ...]
    protocol_options: tuple[tuple[str, str], ...]
    published: dict[str, float | None]
    waits_for: tuple[str, ...]
    source: str
    remark: str

    @property
    def name(self) -> str:
        """What `--only` is matched with: dataset/net/corruption-level/method."""
        return f"{self.dataset}/{self.net}/{title(self.corruption, self.level)}/{self.method}"

    @property
    def folder(self) -> str:
        """Its checkpoint's folder under `--checkpoint_root`."""
        return f"{self.net}_{self.dataset}".replace("/", "_").replace(":", ".")

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of everything that decides its numbers."""
        parts = [value for name, value in zip(self._fields, self) if name not in _UNDECIDING]
        return digests.of_texts(*parts)


_UNDECIDING = ("number", "published", "waits_for", "source", "remark")


class Recipe(NamedTuple):
    """A table: its name (of `NAMES`, or the file's stem), its path, and its rows."""

    name: str
    path: Path
    rows: tuple[Row, ...]

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of its rows; remarks, published numbers and what rows wait for do not count."""
        return digests.of_text("".join(row.digest for row in self.rows))


def read(recipes: str) -> Recipe:
    """Reads a table and checks every row, before anything runs.

    Args:
      recipes: a name of `NAMES`, or the path of a csv file.

    Raises:
      BadInput: no such table, a column that is absent or foreign, an unknown name or an impossible value (with the
        row's number and the column).
    """
    path = FOLDER / f"{recipes}.csv" if recipes in NAMES else Path(recipes)
    if not path.is_file():
        raise BadInput(f"--recipes={recipes}: no such file, expected one of {', '.join(NAMES)} or a csv file")
    table = csv.reader(line for line in text_of(path) if not line.startswith("#"))
    header = next(table, [])
    found = [cells for cells in table if cells]
    absent = [name for name in REQUIRED if name not in header]
    if absent or len(set(header)) < len(header):
        what = f"lacks the columns {', '.join(absent)}" if absent else "has two columns of one name"
        raise BadInput(f"{path}: its header {what}, expected {', '.join(REQUIRED)} and options, each once")
    if not found:
        raise BadInput(f"{path}: has no rows, expected one for each experiment")
    rows = []
    for number, cells in enumerate(found, 1):
        if len(cells) != len(header):
            raise BadInput(f"{path}, row {number}: has {len(cells)} cells, expected {len(header)} as in the header")
        try:
            rows.append(_checked(number, dict(zip(header, (cell.strip() for cell in cells)))))
        except BadCell as error:
            raise BadInput(f"{path}, row {number}, column {error.column}: {error}") from None
    return Recipe(recipes if recipes in NAMES else path.stem, path, tuple(rows))


def text_of(path: Path) -> io.StringIO:
    """A table as text, for the csv reader; a byte order mark before it (Excel's) is left out.

    Raises:
      BadInput: it is not UTF-8.
    """
    try:
        return io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is no UTF-8 text (byte {error.start}), expected a csv file in UTF-8") from None


def _checked(number: int, cells: dict[str, str]) -> Row:
    """A row from its cells; raises `BadCell`."""
    text = {**OPTIONAL, **{name: value for name, value in cells.items() if value}}
    for name in REQUIRED:
        if name not in text:
            raise BadCell(name, "is empty, expected a value")
    least = {"epochs": 1, "batch_size": 2, "seed": 0, "evaluation_seed": 0}
    numbers = {name: _whole(name, text[name], low) for name, low in least.items()}
    names = {name: text[name] for name in _NAME_COLUMNS}
    waits = tuple(text["waits_for"].split())
    check_names(names, waits)
    others = [(name, value) for name, value in text.items() if name not in (*REQUIRED, *OPTIONAL)]
    row = Row(
        number=number,
        **names,
        **numbers,
        metric=text["metric"],
        options=tuple((name, value) for name, value in others if not name.startswith("protocol.")),
        protocol_options=tuple((n.removeprefix("protocol."), v) for n, v in others if n.startswith("protocol.")),
        published={name: _fraction(f"published_{name}", text) for name in ("non_adapted", "adapted")},
        waits_for=waits,
        source=text["source"],
        remark=text["remark"],
    )
    dataset = sets.REGISTRY.get(row.dataset)
    if dataset is not None and row.metric not in ("", dataset.metric):
        raise BadCell("metric", f"is {row.metric!r}, expected {dataset.metric}, the metric of {row.dataset}")
    check_options(names, row.options, row.protocol_options)
    return row._replace(metric=row.metric or (dataset.metric if dataset else ""))


_NAME_COLUMNS = ("dataset", "net", "corruption", "level", "method", "protocol", "profile", "draw")


def _whole(column: str, text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise BadCell(column, f"is {text!r}, expected a whole number, at least {least}")
    return int(text)


def _fraction(column: str, text: Mapping[str, str]) -> float | None:
    if not text[column]:
        return None
    try:
        value = float(text[column])
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise BadCell(column, f"is {text[column]!r}, expected a fraction from 0 to 1, or nothing")
    return value
