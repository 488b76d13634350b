"""Rows of one length from recordings of any length."""

from itertools import islice

import numpy as np
import pytest

from dhauds_jax.dsp.clip_layout import cut, lay_out, starts


@pytest.mark.parametrize(
    ("samples", "length", "expected"),
    [
        (3, 8, [1, 2, 3, 1, 2, 3, 0, 0]),
        (4, 8, [1, 2, 3, 4, 1, 2, 3, 4]),
        (5, 8, [1, 2, 3, 4, 5, 0, 0, 0]),
        (8, 8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (9, 8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (0, 2, [0, 0]),
    ],
)
def test_a_short_clip_is_repeated(samples, length, expected):
    row = lay_out(np.arange(1, samples + 1, dtype=np.float32), length, layout="repeat_pad")
    assert row.dtype == np.float32 and row.tolist() == expected


@pytest.mark.parametrize(
    ("share", "expected"), [(-1.0, [0, 1, 2, 0, 0]), (0.0, [1, 2, 0, 0, 0]), (0.99, [0, 0, 0, 1, 2])]
)
def test_a_short_clip_lies_in_silence(share, expected):
    assert lay_out(np.array([1, 2], np.float32), 5, share).tolist() == expected


def test_a_short_clip_comes_first():
    assert lay_out(np.array([1, 2], np.float32), 4, layout="start").tolist() == [1, 2, 0, 0]
    assert lay_out(np.array([1, 2], np.float32), 1, layout="start").tolist() == [1]


@pytest.mark.parametrize("block", [1, 7, 100])
@pytest.mark.parametrize(
    ("samples", "overlap", "first"),
    [
        (10, 0.0, [0]),
        (20, 0.0, [0, 10]),
        (25, 0.0, [0, 10, 15]),
        (25, 0.5, [0, 5, 10, 15]),
        (23, 0.5, [0, 5, 10, 13]),
        (11, 0.9, [0, 1]),
        (12, 0.99, [0, 1, 2]),
    ],
)
def test_windows_by_hand(samples, overlap, first, block):
    wave = np.arange(samples, dtype=np.float32)
    windows = list(islice(cut(np.split(wave, range(block, samples, block)), 10, overlap), samples))
    assert [int(w[0]) for w in windows] == first == starts(samples, 10, overlap)
    assert all(np.array_equal(w, wave[s : s + 10]) for w, s in zip(windows, first, strict=True))


def test_a_short_recording_is_one_window():
    blocks = [np.ones(2, np.float32), np.full(1, 2, np.float32)]
    (centred,) = cut(blocks, 8, 0.0)
    (repeated,) = cut(blocks, 8, 0.0, "repeat_pad")
    assert centred.tolist() == [0, 0, 1, 1, 2, 0, 0, 0]
    assert repeated.tolist() == [1, 1, 2, 1, 1, 2, 0, 0]
