"""Scores of files from those of windows, as a threshold is compared with them."""

import numpy as np
import pytest

from dhauds_jax import calibration
from dhauds_jax.runs.named_scores import by_file
from dhauds_jax.types import Calibration


def test_a_threshold_is_that_of_files_as_it_is_applied():
    """Before, windows set it: 0.9 and 0.9 of one file, each of another class, are 0.5 where it is compared."""
    made = Calibration(2.0, "none", "max_probability")
    p = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    scores = by_file(made, 2 * np.log(p), np.array([0, 0, 1]))
    np.testing.assert_allclose(calibration.probabilities(made, scores), [[0.5, 0.5], [0.8, 0.2]])
    found = calibration.with_scores(made, known=scores)
    assert found.known == pytest.approx([0.5, 0.8])
