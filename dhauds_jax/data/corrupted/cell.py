"""What a cell of a corrupted set is: what decides it, where it lies, and what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from dhauds_jax import digests, registry
from dhauds_jax.data import content
from dhauds_jax.data.clip_source import ClipSource
from dhauds_jax.data.corrupted.layouts import cell_path, clip_length, layout_of
from dhauds_jax.data.corruptions import public
from dhauds_jax.data.corruptions.noise import NoiseBank
from dhauds_jax.data.sets.base import DataSet, draw_name
from dhauds_jax.requests import set_names


class CellSpec(NamedTuple):
    """What decides a cell besides the clips themselves and the noise recordings.

    Attributes:
      dataset: the clean set.
      corruption, level: names.
      seed: of the draws.
      profile: "reference" or "corrected".
      split: the split that is corrupted.
      plug_ins: digest of the user's own files that make the set or the corruption (`plug_ins`), if there are some.
    """

    dataset: DataSet
    corruption: str
    level: str
    seed: int
    profile: str = "reference"
    split: str = "test"
    plug_ins: str | None = None

    @property
    def length(self) -> int:
        """Samples of every clip of the cell."""
        return clip_length(self.dataset, layout_of(self.dataset, self.split), self.corruption, self.level)


def cell_folder(cell: CellSpec, root: Path | str) -> Path:
    """Where a finished cell lies."""
    return Path(root) / cell_path(layout_of(cell.dataset, cell.split), cell.corruption, cell.level)


def identity(cell: CellSpec) -> dict[str, Any]:
    """What names a cell in its record: two cells with equal clips, noise and identity have equal draws."""
    names = ("split", "corruption", "level", "seed", "profile")
    named = {name: getattr(cell, name) for name in names}
    return {"dataset": draw_name(cell.dataset), **named, "corruption": public(cell.corruption)}


def plug_ins(dataset: str, corruption: str) -> str | None:
    """The digest of the user's own files behind a data set's and a corruption's name; None where both are ours."""
    return digests.together(map(registry.source_digest, (*set_names(dataset), corruption)))


def content_of(cell: CellSpec, source: ClipSource, bank: NoiseBank | None) -> dict[str, str]:
    """What a cell is made from, beside its identity: the clips' ids, labels and sizes, the noise, the user's own code.

    The clips are streamed, so their files stand for them: "clips" by name and size in bytes, in any order,
    "files" by what they hold. Clips that are made in memory are known by name. `verify=samples` compares samples.
    """
    paths = source.paths or [None] * len(source.ids)
    stats = [path.stat() if path is not None and path.is_file() else None for path in paths]
    sizes = [-1 if stat is None else stat.st_size for stat in stats]
    there = [(name, path) for name, path, stat in zip(source.ids, paths, stats) if stat is not None]
    found = {
        "clips": digests.of_texts(sorted(zip(source.ids, source.labels.tolist(), sizes, strict=True))),
        "files": content.of_files(there) if there else None,
        "noise": content.of_bank(bank),
        "plug_ins": cell.plug_ins,
    }
    return {name: digest for name, digest in found.items() if digest is not None}
