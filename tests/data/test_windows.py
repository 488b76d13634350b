"""Where the windows of a recording lie in it."""

import numpy as np
import pytest

from dhauds_jax.data import windows


@pytest.mark.parametrize(
    ("samples", "overlap", "starts"), [(10, 0.0, [0]), (25, 0.0, [0, 10, 15]), (23, 0.5, [0, 5, 10, 13])]
)
def test_spans_by_hand(samples, overlap, starts):
    assert np.array_equal(windows.spans(samples, 10, overlap, 5), [[s / 5, s / 5 + 2] for s in starts])


def test_the_span_of_a_short_recording_is_its_sound():
    assert windows.spans(5, 8, 0.0, 10).tolist() == [[0, 0.5]]


def test_some_windows_of_what_is_read_again_are_asked_for_when_they_are_wanted():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    asked = []

    def of_file(file):
        asked.append(file)
        return iter(rows[2 * file : 2 * file + 2])

    again = windows.Reread(of_file, np.repeat(np.arange(3, dtype=np.int32), 2), 2)
    some = windows.chosen(again, np.array([1, 4]))
    assert (len(some), some.shape, asked) == (2, (2, 2), [])
    np.testing.assert_array_equal(some[np.array([0, 1])], rows[[1, 4]])
    np.testing.assert_array_equal(windows.chosen(rows, np.array([1, 4])), rows[[1, 4]])
