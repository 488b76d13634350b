"""Sets whose splits are csv tables that were drawn once: reading such a table, one clip a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.data.sets.base import ClipRef, find_root, read_rows
from dhauds_jax.data.sets.copies import check_present
from dhauds_jax.errors import BadInput


class Tables(NamedTuple):
    """How a set's tables are called and read.

    Attributes:
      name: of the data set.
      inside: folders in which the tables may lie, below the one that is given.
      files: split -> name of its table.
      columns: those that every row must have.
      clip: row -> the clip's id, which is its path from the set's folder on, and its class.
      classes: what a class is called; a label is an index into them.
      built: whether `experiments.check_data --build` writes these tables.
    """

    name: str
    inside: tuple[str, ...]
    files: Mapping[str, str]
    columns: Sequence[str]
    clip: Callable[[Mapping[str, str]], tuple[str, str]]
    classes: tuple[str, ...]
    built: bool = True


def listing(
    tables: Tables, data_dir: Path | str | None, split: str, allow_partial: bool
) -> tuple[list[ClipRef], tuple[str, ...]]:
    """Lists a split in the order of its table.

    A clip that is there again, under another label, has "#" and that label behind its id: ids are unique, and the
    published tables of LibriSpeech-100 hold 2,500 files twice.

    Args:
      tables: of the set.
      data_dir: the folder of the tables, or its parent.
      split: of the set.
      allow_partial: go on when the table names absent files.

    Raises:
      BadInput: folder, table or columns missing, an unknown class, one clip twice under one label, absent files.
    """
    table = _root(tables, data_dir, split) / tables.files[split]
    refs, seen = [], {}
    for row in read_rows(table, tables.columns):
        path, name = tables.clip(row)
        if name not in tables.classes:
            first = ", ".join(tables.classes[:3])
            raise BadInput(f"{table}: unknown class {name!r}, expected one of {len(tables.classes)}: {first}, ...")
        label = tables.classes.index(name)
        if label in seen.setdefault(path, []):
            raise BadInput(f"{table}: names {path} twice with the class {name!r}, expected each clip once")
        clip = f"{path}#{label}" if seen[path] else path
        seen[path].append(label)
        refs.append(ClipRef(clip, table.parent / path, label))
    return check_present(refs, table, allow_partial)


def _root(tables: Tables, data_dir: Path | str | None, split: str) -> Path:
    try:
        return find_root(data_dir, tables.inside, tables.files[split], tables.name)
    except BadInput as error:
        if not (tables.built and data_dir and Path(data_dir).is_dir()):
            raise
        name = tables.name.partition("/")[0]
        raise BadInput(
            f"{error}; such tables are made by experiments.check_data --dataset={name} --data_dir={data_dir} "
            "--build=RAW, with the folder of the raw corpus"
        ) from error
