"""Which clips of a data set: those of several splits together, those alone that a file names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dhauds_jax.cells.targets import Loaded
from dhauds_jax.data.sets.base import read_text
from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted


def together(parts: Sequence[Loaded]) -> Loaded:
    """Splits of one data set as one, in their order; of a clip that is in several the first one is taken."""
    seen: set[str] = set()
    rows = []
    for part in parts:
        rows.append([row for row, name in enumerate(part.clips.ids) if name not in seen])
        seen.update(part.clips.ids)
    each = [(part.clips, kept) for part, kept in zip(parts, rows, strict=True)]
    waves, labels, lengths = (
        np.concatenate([getattr(clips, field)[kept] for clips, kept in each])
        for field in ("waves", "labels", "lengths")
    )
    whole = each[0][0]._replace(
        ids=tuple(clips.ids[row] for clips, kept in each for row in kept),
        waves=waves,
        labels=labels,
        lengths=lengths,
        notices=tuple(line for clips, _ in each for line in clips.notices),
        skipped=tuple(bad for clips, _ in each for bad in clips.skipped),
    )
    return parts[0]._replace(clips=whole)


def ids_of(subset: str) -> list[str]:
    """The clip ids that a file names, one a line, in the file's order.

    Raises:
      BadInput: no such file, an empty one, or one that is not UTF-8.
    """
    path = Path(subset)
    if not path.is_file():
        raise BadInput(f"--subset={subset}: no such file, expected one with a clip id on each line")
    wanted = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    if not wanted:
        raise BadInput(f"--subset={subset}: holds no ids, expected one on each line")
    return wanted


def only(loaded: Loaded, subset: str) -> Loaded:
    """The clips that a file names, in the file's order; how many they are is printed.

    Raises:
      BadInput: what `ids_of` refuses, or an id that the split does not have.
    """
    wanted, clips = ids_of(subset), loaded.clips
    rows = {clip: row for row, clip in enumerate(clips.ids)}
    absent = [clip for clip in wanted if clip not in rows]
    if absent:
        found = f"{counted(len(absent), 'id that is', 'ids that are')} not in the split, the first {absent[0]!r}"
        raise BadInput(f"--subset={subset}: holds {found}, expected ids such as {clips.ids[0]!r}")
    keep = np.array([rows[clip] for clip in wanted])
    kept = clips._replace(
        ids=tuple(wanted), waves=clips.waves[keep], labels=clips.labels[keep], lengths=clips.lengths[keep]
    )
    print(f"of these, --subset={subset} takes {len(wanted)}")
    return loaded._replace(clips=kept)


def remark(subset: str | None) -> dict[str, str]:
    """What a record says of it: the file's name alone, since the clips name the cell."""
    return {"subset": Path(subset).name} if subset else {}
