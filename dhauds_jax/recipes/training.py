"""Recipes of source training: a table's row stands for the flags of `experiments.train`."""

from __future__ import annotations

import csv
import re
from typing import Any, NamedTuple

from dhauds_jax.errors import BadInput
from dhauds_jax.recipes.table import FOLDER

TABLES = {"ssast": "train", "tomofun": "crossval"}
"""Tables that come with the package, files `recipes/TABLE_training.csv`, and the command that each is of."""

NOT_FLAGS = ("name", "source", "metric", "published", "waits_for", "remark")


class TrainingRecipe(NamedTuple):
    """A row.

    Attributes:
      name: TABLE:ROW.
      flags: name and text of every flag that the row sets.
      metric: that the published number is of.
      published: a fraction, None where none is published.
      waits_for: what the package does not have ("": it can run).
      remark: for the reader.
    """

    name: str
    flags: dict[str, str]
    metric: str
    published: float | None
    waits_for: str
    remark: str


def milestones(text: str) -> list[str]:
    """Epochs of "5", "6-9" (6, 7, 8, 9) or "10-24/5" (10, 15, 20).

    Raises:
      BadInput: another form.
    """
    if not text:
        return []
    found = re.fullmatch(r"(\d+)(?:-(\d+)(?:/(\d+))?)?", text)
    if found is None:
        raise BadInput(f"milestones {text!r}: expected a form such as 5, 6-49 or 10-24/5")
    first, last, step = (int(part) if part else None for part in found.groups())
    return [str(epoch) for epoch in range(first, (last or first) + 1, step or 1)]


def read(table: str) -> dict[str, TrainingRecipe]:
    """The rows of a table by name.

    Raises:
      BadInput: an unknown table.
    """
    if table not in TABLES:
        raise BadInput(f"--recipe: table {table!r} is unknown, expected one of {', '.join(TABLES)}")
    with (FOLDER / f"{table}_training.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        flags = {key: text for key, text in row.items() if key not in NOT_FLAGS and text != ""}
        published = float(row["published"]) if row["published"] else None
        name = f"{table}:{row['name']}"
        found[name] = TrainingRecipe(name, flags, row["metric"], published, row["waits_for"], row["remark"])
    return found


def names() -> dict[str, str]:
    """Every recipe TABLE:ROW with a line about it."""
    found = [recipe for table in TABLES for recipe in read(table).values()]
    waiting = {recipe.name: f"waits for {recipe.waits_for}" for recipe in found if recipe.waits_for}
    return {recipe.name: published_sentence(recipe).partition(": ")[2] for recipe in found} | waiting


def find(name: str) -> TrainingRecipe:
    """The recipe TABLE:ROW.

    Raises:
      BadInput: there is none (those that there are are listed), or it waits for something.
    """
    rows = read(name.partition(":")[0])
    if name not in rows:
        raise BadInput(f"--recipe={name}: unknown, expected one of {', '.join(rows)}")
    if rows[name].waits_for:
        raise BadInput(f"--recipe={name}: waits for {rows[name].waits_for}, which the package does not have")
    return rows[name]


def apply(name: str, flag_values: Any, command: str = "train") -> TrainingRecipe:
    """Makes a recipe's values the defaults of the flags; what the command line says goes before.

    Raises:
      BadInput: no such recipe, or one of another command.
    """
    recipe = find(name)
    own = TABLES[name.partition(":")[0]]
    if own != command:
        raise BadInput(f"--recipe={name}: is one of experiments.{own}, expected one of experiments.{command}")
    for flag, text in recipe.flags.items():
        flag_values.set_default(flag, milestones(text) if flag == "milestones" else text)
    return recipe


def published_sentence(recipe: TrainingRecipe) -> str:
    """One sentence on the published number."""
    if recipe.published is None:
        return f"recipe {recipe.name}: no published number"
    remark = f" ({recipe.remark})" if recipe.remark else ""
    return f"recipe {recipe.name}: published {recipe.metric} {recipe.published:.3f}{remark}"
