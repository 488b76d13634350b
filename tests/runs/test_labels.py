"""What stretches of time are compared with, where a threshold is not one of probabilities."""

import numpy as np

from dhauds_jax.model.predictions import Predictions, Segment
from dhauds_jax.runs.labels import Result


def test_a_stretch_is_as_sure_as_its_windows():
    spans = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 2.5], [0.0, 1.0]])
    owner = np.array([0, 0, 0, 1], np.int32)
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    found = Predictions(("a", "b"), ("x", "y"), shares[:2], shares, owner, spans)
    first, second = Segment(0, 0.0, 2.0, 0, 0.75), Segment(0, 2.0, 2.5, 1, 0.8)
    logits = Result(found, found, None, least=4.0, moments=np.array([6.0, 3.0, 2.0, 9.0]))
    assert (logits.sure_of(first), logits.sure_of(second)) == (4.5, 2.0)
    assert [logits.named(name, logits.sure_of(s)) for name, s in (("x", first), ("y", second))] == ["x", "unknown"]
    assert Result(found, found, None, least=0.5).sure_of(first) == 0.75
