"""Which epoch of a training its checkpoint holds: the last one, the best one, or a mean over some."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax.train.request import TrainOptions
from dhauds_jax.types import Variables

BY_VALIDATION = ("best_validation", "best_nll")
"""Values of `TrainOptions.selection` by which the validation clips choose the epoch."""


def row(epoch: int, loss: float, scores: Mapping[str, float], options: TrainOptions) -> dict[str, float]:
    """What the history holds of an epoch: what its choice needs, of those numbers that `scores` has."""
    chosen_by = {"nll": scores["nll"]} if options.selection == "best_nll" else {}
    return {"epoch": epoch, "loss": loss, "validation": scores["accuracy"], **chosen_by}


def kept_variables(
    best: Variables,
    now: Variables,
    scores: Mapping[str, float],
    history: list[dict[str, float]],
    options: TrainOptions,
) -> Variables:
    """What a state keeps beside the newest variables: those of the best epoch so far, or the mean from an epoch on.

    Args:
      best: what was kept after the last epoch.
      now: the newest variables.
      scores: accuracy and nll of the validation clips with these.
      history: a `row` of every earlier epoch.
      options: the recipe.
    """
    if options.selection == "average":
        count = len(history) + 2 - options.average_from  # epochs in the mean, this one included
        if count <= 1:
            return jax.tree.map(jnp.copy, now)
        return jax.tree.map(lambda mean, new: mean + (new - mean) / count, best, now)
    if options.selection == "best_nll":
        better = scores["nll"] <= min((h["nll"] for h in history), default=math.inf)
    else:
        better = scores["accuracy"] >= max((h["validation"] for h in history), default=0.0)
    return jax.tree.map(jnp.copy, now) if better else best


def chosen(state: Any, options: TrainOptions) -> Variables:
    """The variables that a run ends with, of its last `train.loop.TrainState`."""
    return state.variables if options.selection == "last" else state.best


def kept_words(history: list[dict[str, float]], options: TrainOptions) -> str:
    """Which epoch `chosen` gives, and why, for the command's sentence."""
    if options.selection == "last":
        return f"kept: epoch {len(history)}, the last one (--selection=last)"
    if options.selection == "average":
        return f"kept: the mean of the weights after epochs {options.average_from} to {len(history)}"
    if options.selection == "best_nll":
        least = min(history, key=lambda h: (h["nll"], -h["epoch"]))
        return (
            f"kept: epoch {least['epoch']}, the likeliest labels of the validation clips (nll {least['nll']:.3f}, "
            f"accuracy {100 * least['validation']:.1f} %)"
        )
    scores = [h["validation"] for h in history]
    best = [epoch for epoch, score in enumerate(scores, 1) if score == max(scores)]
    latest = f", the latest of {len(best)} that are" if len(best) > 1 else ""
    return f"kept: epoch {best[-1]}, the best on the validation clips{latest} ({100 * max(scores):.1f} %)"
