"""Where the golden files lie."""

from pathlib import Path

import numpy as np

GOLDENS = Path(__file__).parent / "goldens"


def golden(name: str) -> dict[str, np.ndarray]:
    """The arrays of one golden file."""
    with np.load(GOLDENS / f"{name}.npz") as arrays:
        return dict(arrays)


def largest_error(ours, theirs) -> float:
    """Largest absolute difference."""
    return float(np.max(np.abs(np.asarray(ours, np.float64) - np.asarray(theirs, np.float64))))
