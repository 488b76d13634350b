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
