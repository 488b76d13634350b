"""Clips of a set as rows that are made when they are read: some of them, each perhaps several times, shifted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax.data.pipeline import ClipSplit


class Rows:
    """Rows of waves (clips, width), each moved to the left: what falls out is lost, zeros follow at the end.

    Indexed by row numbers as an array is; only what is asked for is made. One row of the waves may be many of these.
    """

    def __init__(
        self, waves: Float[np.ndarray, "clips width"], row: Int[np.ndarray, " rows"], shift: Int[np.ndarray, " rows"]
    ) -> None:
        """`row` says which clip each row is, `shift` by how many samples it is moved."""
        self.waves, self.row, self.shift = waves, row, shift

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, index: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some width"]:
        out = np.zeros((len(index), self.waves.shape[1]), np.float32)
        for made, row, shift in zip(out, self.row[index], self.shift[index], strict=True):
            made[: len(made) - shift] = self.waves[row, shift:]
        return out


def copies(clips: ClipSplit, rows: Int[np.ndarray, " some"], shifts: Sequence[int] = (0,)) -> ClipSplit:
    """Some clips of a split in memory, one copy of all after the other: row `v * len(rows) + n` is clip n, shifted.

    All rows count as wholly the clip's own.

    Args:
      clips: the split, at the network's length and in its layout.
      rows: positions of the clips.
      shifts: samples by which each copy is moved to the left, from 0 to less than a row.
    """
    return gathered(clips, np.tile(rows, len(shifts)), np.repeat(np.asarray(shifts, np.int64), len(rows)))


def gathered(clips: ClipSplit, row: Int[np.ndarray, " rows"], shift: Int[np.ndarray, " rows"]) -> ClipSplit:
    """Rows of a split in memory, each by its own number of samples to the left; as `copies`."""
    made = Rows(clips.waves, row, shift)
    return clips._replace(
        ids=tuple(clips.ids[k] for k in row),
        labels=clips.labels[row],
        lengths=np.full(len(row), clips.width, np.int32),
        waves=made,
    )
