"""Corrupted ("-C") sets on disk in place of draws that are made in memory."""

from __future__ import annotations

import hashlib

import numpy as np

from dhauds_jax.cells.targets import Corrupted, Loaded
from dhauds_jax.errors import BadInput


def read_corrupted(
    loaded: Loaded, folder: str, corruption: str, level: str, *, split: str = "test", allow_partial: bool = False
) -> Corrupted:
    """A cell of a -C set on disk, its clips in the order of the clean ones; notices are printed.

    Args:
      loaded: the clean clips.
      folder: of the -C set.
      corruption: its name.
      level: its level's.
      split: that was corrupted.
      allow_partial: go on where the set's list names absent files; those of the clean clips must be there.

    Raises:
      BadInput: the folder has no such cell, or not the clips of this split.
    """
    from dhauds_jax.data.corrupted.reading import load_cell

    rate = loaded.clips.sample_rate
    how = {"sample_rate": rate, "length": loaded.length, "split": split, "allow_partial": allow_partial}
    how |= {"layout": loaded.layout, "resampler": loaded.resampler}
    clips = load_cell(loaded.dataset, folder, corruption, level, **how)
    for notice in clips.notices:
        print(f"note: {notice}")
    places = {clip: row for row, clip in enumerate(clips.ids)}
    absent = [clip for clip in loaded.clips.ids if clip not in places]
    if absent:
        raise BadInput(
            f"{folder}: {corruption}-{level} lacks {len(absent)} of {len(loaded.clips.ids)} clips (the first: "
            f"{absent[0]}), expected the -C set of {loaded.dataset.name}"
        )
    waves = np.stack([clips.waves[places[clip]] for clip in loaded.clips.ids])
    digest = hashlib.sha256(waves.tobytes()).hexdigest()
    named = f"samples:{digest[:16]}"
    return Corrupted(lambda: waves, (("draw", "single"), ("draw_seed", "read"), ("draw_checksum", named)))
