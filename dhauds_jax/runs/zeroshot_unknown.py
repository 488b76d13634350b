"""Sure or unknown in a zero-shot grid: which clips keep a name at a rate of known ones that may lose theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_rows import NO_TRAIN, Row
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.types import Calibration
from dhauds_jax.zeroshot.request import ZeroshotGrid

SEES = "known_clips"
"""Of a row whose threshold is set by clips that are known to be of the classes, not of which."""


def check(run: ZeroshotGrid, row: Row, one: LabelledSet) -> None:
    """Raises `BadInput` where no held-out clips of known classes are there."""
    if run.reject is None:
        return
    if len(one.folds) < 2:
        raise BadInput(
            f"--reject: {one.name} has one fold, and no clip outside it is held out; expected folds in the index, or "
            "--folds=5, so that the other folds' clips set the threshold of each"
        )
    if row.train not in (NO_TRAIN, "same"):
        raise BadInput(
            "--reject: prototypes of clean clips say that nothing of the place is known, and a threshold needs clips "
            "that were recorded there; expected --train=same, or prototypes text or head"
        )


def named_at(
    rate: float, logits: Float[np.ndarray, "tested classes"], hits: Shaped[np.ndarray, " tested"], fold: np.ndarray
) -> dict[str, Any]:
    """The share of clips that keep a name, and the share of those that is right (None where none does).

    Args:
      rate: of known clips that may become unknown.
      logits: of the tested clips, each by what its own fold knows.
      hits: whether each clip's best class is its label.
      fold: the fold that each is tested in; the other folds' clips set its threshold.
    """
    base = Calibration(1.0, "none", "max_probability")
    sure, kept = calibration.sureness(base, logits), np.zeros(len(fold), bool)
    for number in np.unique(fold):
        here = fold == number
        least = calibration.threshold(calibration.with_scores(base, logits[~here]), rate)
        kept[here] = sure[here] >= least
    accepted = [float(np.mean(kept[fold == number])) for number in np.unique(fold)]
    right = float(np.mean(hits[kept])) if kept.any() else None
    return {"rate": rate, "accepted": float(np.mean(kept)), "right": right, "folds": accepted}
