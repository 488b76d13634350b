"""Labels over time, by hand."""

import numpy as np

from dhauds_jax.data import recordings
from dhauds_jax.model.predictions import Segment, predictions


def test_labels_over_time_by_hand():
    """Two files: windows of 2 s every second over 4 s, the last two of another label; and one short window."""
    found = recordings.of_waves(
        [np.zeros(40, np.float32), np.zeros(5, np.float32)], sample_rate=10, length=20, overlap=0.5
    )
    assert found.spans.tolist() == [[0, 2], [1, 3], [2, 4], [0, 0.5]]
    made = predictions(found, ("a", "b"), np.array([[1.0, 0.0], [0.5, 0.5], [0.2, 0.8], [0.3, 0.7]]))
    # 0-1: 1; 1-2: mean of 1 and 0.5; 2-3: b, mean of 0.5 and 0.8; 3-4: 0.8.
    assert [s._replace(confidence=round(s.confidence, 9)) for s in made.segments()] == [
        Segment(0, 0.0, 2.0, 0, 0.875),
        Segment(0, 2.0, 4.0, 1, 0.725),
        Segment(1, 0.0, 0.5, 1, 0.7),
    ]
    assert np.allclose(made.probabilities, [[1.7 / 3, 1.3 / 3], [0.3, 0.7]])
    assert made.labels == ("a", "b") and np.allclose(made.confidence, [1.7 / 3, 0.7])
    assert made.top(2)[1] == [("b", 0.7), ("a", 0.3)] and len(made.top(1)[0]) == 1


def test_twelve_hours_are_cut_in_the_time_of_their_windows():
    """Each moment is looked up, not searched for: 43,200 windows would else take 1.9 thousand million comparisons."""
    spans = np.stack([np.arange(43_200.0), np.arange(43_200.0) + 1], axis=1)
    owner = np.zeros(43_200, np.int32)
    sure = np.eye(2)[(np.arange(43_200) // 60) % 2]
    found = recordings.Recordings(("a",), sure, owner, spans, np.array([43_200.0]), "")
    segments = predictions(found, ("a", "b"), sure).segments()
    assert len(segments) == 720
    assert segments[1] == Segment(0, 60.0, 120.0, 1, 1.0)
