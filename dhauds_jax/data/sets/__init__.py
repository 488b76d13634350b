"""The data sets by name; variants are called "set/variant". A module is imported when one of its sets is asked for.

A new set is its file here, with `DATA_SETS` (the set, then its variants), its line in `dhauds_jax.names` and its row in
docs/data.md. "module:attribute" is a set of a user's own code: a `DataSet`, or a tuple of a set and its variants.
"A+B" joins sets (`sets.joined`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dhauds_jax.data.sets.base import ClipRef, DataSet, Generated, Order, draw_name
from dhauds_jax.errors import BadInput
from dhauds_jax.names import DATA_SETS
from dhauds_jax.registry import find, is_foreign, unknown
from dhauds_jax.requests import JOIN
from dhauds_jax.wording import kind_of

__all__ = ["REGISTRY", "ClipRef", "DataSet", "Generated", "Order", "all_names", "get"]


def get(name: str, data_dir: Path | str | None = None) -> DataSet:
    """The data set of that name, as it lies in `data_dir` if its classes are found on disk.

    Args:
      name: one of ours, "set/variant", or a user's own "module:attribute" or "module:attribute/variant"; several of
        them with "+" between them, see `sets.joined`.
      data_dir: the set's folder; of joined sets one for all, or one for each, separated by commas.

    Raises:
      BadInput: an unknown name (the nearest ones are given), an attribute that is no data set, or a folder in which
        such a set is not found.
    """
    if JOIN in name:
        from dhauds_jax.data.sets import joined  # which most runs do without

        return joined.join(name, data_dir, get)
    try:
        found = _find(name)
    except BadInput as error:
        if not Path(name).is_dir():
            raise
        raise BadInput(f"{error}; a folder of your own is --dataset=folder --data_dir={name}") from None
    return found.at(data_dir) if found.at and data_dir else found


def all_names() -> tuple[str, ...]:
    """The names of all sets of ours and of their variants."""
    return tuple(dataset.name for base in DATA_SETS for dataset in _variants(base))


def _find(name: str) -> DataSet:
    base, _, variant = name.partition("/")
    sets = _variants(base)
    for dataset in sets:
        if dataset.name.partition("/")[2] == variant:
            return dataset
    known = [base + dataset.name.removeprefix(draw_name(dataset)) for dataset in sets]
    raise BadInput(unknown("data set", name, known))


def _variants(base: str) -> tuple[DataSet, ...]:
    """A set and its variants."""
    if not is_foreign(base):
        return tuple(dataset for dataset in find("data set", base, DATA_SETS) if draw_name(dataset) == base)
    found = find("data set", base, DATA_SETS)
    sets = (found,) if isinstance(found, DataSet) else found
    if not (isinstance(sets, tuple) and sets and all(isinstance(dataset, DataSet) for dataset in sets)):
        raise BadInput(
            f"data set {base!r}: is {kind_of(found)}, expected a dhauds_jax.data.sets.DataSet or a tuple of a "
            "set and its variants"
        )
    bases = {draw_name(dataset) for dataset in sets}
    if len(bases) > 1 or bases & set(DATA_SETS):
        raise BadInput(
            f"data set {base!r}: is called {' and '.join(sorted(bases))}, expected one name (variants are called "
            "name/variant) that none of ours has"
        )
    return sets


class _Registry(Mapping[str, DataSet]):
    """All sets by name; iterating imports all of their modules, a look-up only one."""

    def __getitem__(self, name: str) -> DataSet:
        try:
            return get(name)
        except BadInput as error:
            raise KeyError(name) from error

    def __iter__(self) -> Iterator[str]:
        return iter(all_names())

    def __len__(self) -> int:
        return len(all_names())


REGISTRY: Mapping[str, DataSet] = _Registry()
