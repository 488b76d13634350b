"""Rows that are made when they are read: which clip, how far to the left, and zeros behind."""

import numpy as np

from dhauds_jax.data.pipeline import batches, from_arrays
from dhauds_jax.train.copies import copies, gathered

WAVES = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
CLIPS = from_arrays(("a", "b", "c"), WAVES, np.array([5, 6, 7]), np.full(3, 4), classes=("x",), sample_rate=8)


def test_copies_come_one_after_the_other_shifted():
    made = copies(CLIPS, np.array([2, 0]), (0, 1))
    assert made.ids == ("c", "a", "c", "a") and made.labels.tolist() == [7, 5, 7, 5]
    assert made.waves[np.arange(4)].tolist() == [[9, 10, 11, 12], [1, 2, 3, 4], [10, 11, 12, 0], [2, 3, 4, 0]]
    assert made.lengths.tolist() == [4] * 4 and len(made.waves) == 4


def test_batches_read_only_the_rows_that_they_ask_for():
    made = gathered(CLIPS, np.array([1, 1, 0]), np.array([3, 0, 2]))
    first, last = batches(made, np.array([2, 0, 1]), 2)
    assert first.wave.tolist() == [[3, 4, 0, 0], [8, 0, 0, 0]] and first.labels.tolist() == [5, 6]
    assert last.wave.tolist() == [[5, 6, 7, 8]] * 2 and last.weights.tolist() == [1, 0]
