"""Scores of recordings of classes by name, from those of their windows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import calibration
from dhauds_jax.data.recordings import per_file
from dhauds_jax.types import Calibration


def by_file(
    made: Calibration, scores: Float[np.ndarray, "windows classes"], files: Int[np.ndarray, " windows"]
) -> Float[np.ndarray, "files classes"]:
    """Scores whose probabilities are the mean over a file's windows, as recordings are compared with a threshold."""
    shares = per_file(calibration.probabilities(made, scores), files, int(files.max()) + 1)
    return made.temperature * calibration.log_probabilities(shares)
