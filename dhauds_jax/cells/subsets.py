"""Some of a split's clips alone: those that a file names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dhauds_jax.cells.targets import Loaded
from dhauds_jax.errors import BadInput
from dhauds_jax.wording import counted


def only(loaded: Loaded, subset: str) -> Loaded:
    """The clips that a file names, one id a line, in the file's order.

    Raises:
      BadInput: no such file, an empty one, or an id that the split does not have.
    """
    path = Path(subset)
    if not path.is_file():
        raise BadInput(f"--subset={subset}: no such file, expected one with a clip id on each line")
    wanted = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = {clip: row for row, clip in enumerate(loaded.clips.ids)}
    absent = [clip for clip in wanted if clip not in rows]
    if absent or not wanted:
        count = counted(len(absent), "id that is", "ids that are")
        found = f"{count} not in the split, the first {absent[0]!r}" if absent else "no ids"
        raise BadInput(f"--subset={subset}: holds {found}, expected ids such as {loaded.clips.ids[0]!r}")
    keep = np.array([rows[clip] for clip in wanted])
    clips = loaded.clips
    kept = clips._replace(
        ids=tuple(wanted), waves=clips.waves[keep], labels=clips.labels[keep], lengths=clips.lengths[keep]
    )
    return loaded._replace(clips=kept)
