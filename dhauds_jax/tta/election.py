"""Test-time augmentation: the mean of what several views of a clip, and several models, say ((TTA)^2 of AMAuT)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import softmax

MODES = ("single", "aug_elect", "multi_train", "hybrid")
"""One view of the first model; three views of it; one view of every model; three views of every model."""
AVERAGES = ("logits", "softmax")


class OwnSamples(NamedTuple):
    """Clips without their padding.

    Attributes:
      waves: (clips, time), each row its clip and then zeros.
      lengths: (clips,) samples of each clip.
    """

    waves: Float[np.ndarray, "clips time"]
    lengths: Int[np.ndarray, " clips"]


def rolled(waves: Float[np.ndarray, "clips time"], share: float) -> list[Float[np.ndarray, "clips time"]]:
    """The clips as they are, and rolled left and right by `int(share * time)` samples."""
    shift = int(share * waves.shape[1])
    return [waves, np.roll(waves, -shift, axis=1), np.roll(waves, shift, axis=1)]


def rolled_alone(
    waves: Float[np.ndarray, "clips time"], lengths: Int[np.ndarray, " clips"], share: float
) -> list[OwnSamples]:
    """The clips without their padding, as they are, and rolled left and right by `int(share * length)` samples each.

    Args:
      waves: clips centred in their rows, half of the padding, rounded down, before them.
      lengths: samples of each clip.
      share: roll as a share of each clip's own length.
    """
    views = [OwnSamples(np.zeros_like(waves), np.asarray(lengths, np.int32)) for _ in range(3)]
    for row, (wave, length) in enumerate(zip(waves, lengths, strict=True)):
        head = (len(wave) - length) // 2
        clip, shift = wave[head : head + length], int(share * length)
        for view, by in zip(views, (0, -shift, shift)):
            view.waves[row, :length] = np.roll(clip, by)
    return views


def elect(
    predict: Sequence[Callable[[Any], np.ndarray]],
    waves: Float[np.ndarray, "clips time"],
    *,
    share: float = 0.17,
    average: str = "logits",
    lengths: Int[np.ndarray, " clips"] | None = None,
) -> Mapping[str, Float[np.ndarray, "clips classes"]]:
    """Every mode's scores: the mean over its views and models of raw outputs, or of softmax (as log-probabilities).

    With one model, "multi_train" and "hybrid" are left out.

    Args:
      predict: `waves -> logits` of each model, the first being the one that "single" and "aug_elect" show; with
        `lengths` it is given `OwnSamples` too.
      waves: clips, centred in rows of the network's length.
      share: roll as a share of the clip, 0 to 1.
      average: "logits", or "softmax" as the reference has it for VocalSound.
      lengths: (clips,) samples of each clip: the three views are then of unpadded clips, what is no view ("single",
        "multi_train") stays padded, as the reference has it for AudioMNIST, VocalSound and CochlScene (quirk 61; it
        cuts the spectrograms of longer clips, here the clips are cut before). None: views are of padded clips.

    Raises:
      BadInput: another average, or no model.

    Source: the AMAuT repository at 1c565c2, */fce_analysis.py.
    """
    registry.check("average", average, AVERAGES)
    if not predict:
        raise BadInput("elect: no model, expected at least one")
    views = rolled(waves, share) if lengths is None else [waves, *rolled_alone(waves, lengths, share)]
    said = np.array([[np.asarray(model(view), np.float64) for view in views] for model in predict])
    if average == "softmax":
        said = softmax(said)
    plain, views = said[:, 0], said[:, -3:]
    chosen = {"single": plain[0], "aug_elect": views[0].mean(0)}
    if len(predict) > 1:
        chosen |= {"multi_train": plain.mean(0), "hybrid": views.mean((0, 1))}
    return {name: np.log(np.maximum(z, 1e-300)) if average == "softmax" else z for name, z in chosen.items()}
