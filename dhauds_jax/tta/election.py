"""Test-time augmentation: the mean of what several views of a clip, and several models, say ((TTA)^2 of AMAuT)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from dhauds_jax.tta.metrics import softmax

MODES = ("single", "aug_elect", "multi_train", "hybrid")
"""One view of the first model; three views of it; one view of every model; three views of every model."""
AVERAGES = ("logits", "softmax")


def rolled(waves: Float[np.ndarray, "clips time"], share: float) -> list[Float[np.ndarray, "clips time"]]:
    """The clips as they are, and rolled left and right by `int(share * time)` samples."""
    shift = int(share * waves.shape[1])
    return [waves, np.roll(waves, -shift, axis=1), np.roll(waves, shift, axis=1)]


def elect(
    predict: Sequence[Callable[[np.ndarray], np.ndarray]],
    waves: Float[np.ndarray, "clips time"],
    *,
    share: float = 0.17,
    average: str = "logits",
) -> Mapping[str, Float[np.ndarray, "clips classes"]]:
    """Every mode's scores: the mean over its views and models of raw outputs, or of softmax (as log-probabilities).

    With one model, "multi_train" and "hybrid" are left out.

    Args:
      predict: `waves -> logits` of each model, the first being the one that "single" and "aug_elect" show.
      waves: clips, laid out to the network's length (views of padded clips; the reference rolls some sets before it
        pads them, quirk 61, which is not reproduced).
      share: roll as a share of the clip, 0 to 1.
      average: "logits", or "softmax" as the reference has it for VocalSound.

    Raises:
      ValueError: another average, or no model.

    Source: the AMAuT repository at 1c565c2, */fce_analysis.py.
    """
    if average not in AVERAGES:
        raise ValueError(f"unknown average {average!r}, expected {' or '.join(AVERAGES)}")
    if not predict:
        raise ValueError("elect: no model, expected at least one")
    views = rolled(waves, share)
    said = np.array([[np.asarray(model(view), np.float64) for view in views] for model in predict])
    if average == "softmax":
        said = softmax(said)
    chosen = {"single": said[0, 0], "aug_elect": said[0].mean(0)}
    if len(predict) > 1:
        chosen |= {"multi_train": said[:, 0].mean(0), "hybrid": said.mean((0, 1))}
    return {name: np.log(np.maximum(z, 1e-300)) if average == "softmax" else z for name, z in chosen.items()}
