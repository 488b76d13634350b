"""Windows of a recording that comes block by block."""

import numpy as np
import pytest

from dhauds_jax.data import windows


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize(
    ("samples", "overlap", "starts"),
    [
        (10, 0.0, [0]),
        (20, 0.0, [0, 10]),
        (25, 0.0, [0, 10, 15]),
        (25, 0.5, [0, 5, 10, 15]),
        (23, 0.5, [0, 5, 10, 13]),
        (11, 0.9, [0, 1]),
    ],
)
def test_windows_by_hand(samples, overlap, starts, block):
    wave = np.arange(samples, dtype=np.float32)
    cut = list(windows.cut(np.split(wave, range(block, samples, block)), 10, overlap))
    assert [int(w[0]) for w in cut] == starts == windows.starts(samples, 10, overlap)
    assert all(np.array_equal(w, wave[s : s + 10]) for w, s in zip(cut, starts, strict=True))
    assert np.array_equal(windows.spans(samples, 10, overlap, 5), [[s / 5, s / 5 + 2] for s in starts])


def test_a_short_recording_is_centred():
    (only,) = windows.cut([np.ones(2, np.float32), np.ones(3, np.float32)], 8, 0.0)
    assert np.array_equal(only, [0, 1, 1, 1, 1, 1, 0, 0])
    assert windows.spans(5, 8, 0.0, 10).tolist() == [[0, 0.5]]
