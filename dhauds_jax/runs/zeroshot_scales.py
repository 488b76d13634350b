"""What the scores of a zero-shot row are multiplied by to be logits."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.zeroshot_scores import SCALE, Scored
from dhauds_jax.runs.zeroshot_sets import LabelledSet
from dhauds_jax.runs.zeroshot_towers import Towers
from dhauds_jax.zeroshot import prototypes
from dhauds_jax.zeroshot.request import ZeroshotGrid


def _asked_scale(run: ZeroshotGrid, towers: Towers) -> str:
    """What is asked for, else the profile's."""
    if run.scale is not None:
        return run.scale
    return "none" if run.profile == "reference" else "checkpoint" if towers.scale is not None else f"{SCALE:g}"


def check_scale(run: ZeroshotGrid, towers: Towers, kinds: Sequence[str], sources: Sequence[LabelledSet]) -> None:
    """Raises `BadInput` where some row could not be scaled as asked.

    Args:
      run: the flags.
      towers: what the checkpoint gives.
      kinds: the rows' prototypes.
      sources: the sets whose training clips the likelihood would be of.
    """
    asked = _asked_scale(run, towers)
    if asked == "checkpoint" and towers.scale is None:
        raise BadInput("--scale=checkpoint: only an audio-text model has a scale, expected --checkpoint of one, or 20")
    if asked == "agreement" and (set(kinds) != {"text"} or len(towers.template) < 2):
        raise BadInput(
            f"--scale=agreement: compares two halves of the templates, expected --prototypes=text alone (got "
            f"{', '.join(kinds)}) and a --template of two sentences or more, such as ensemble"
        )
    if asked == "nll" and any(one.about.label_rows is not None for one in sources):
        raise BadInput("--scale=nll: is the likelihood of one label a clip, and clips have several; expected a number")
    if asked == "nll" and not all(one.training.any(1).all() for one in sources):
        raise BadInput("--scale=nll: there are no training clips, expected folds or a split of them in the index")
    if asked not in calibration.HOW and not 0 < _number(asked) < float("inf"):
        raise BadInput(f"--scale={asked}: expected none, checkpoint, agreement, nll, or a number above 0 such as 20")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def scale_of(run: ZeroshotGrid, towers: Towers, it: Scored) -> tuple[tuple[float, ...], str]:
    """What the scores of each fold are multiplied by to be logits, and how it was chosen; `check_scale` has passed it.

    The likelihood is, as prototypes are, of each fold's own training clips: no tested clip's label reaches its scale.
    """
    asked, folds = _asked_scale(run, towers), len(it.prototypes)
    if asked == "agreement":
        halves = [np.asarray(prototypes.text(jnp.asarray(towers.anchors[half::2]))) for half in (0, 1)]
        both = (it.vectors @ halves[0].T, it.vectors @ halves[1].T)
        return (1 / calibration.temperature(asked, it.plain, halves=both),) * folds, asked
    if asked == "nll":
        return tuple(_likeliest(it, fold) for fold in range(folds)), asked
    if asked in calibration.HOW:
        return (1 / calibration.temperature(asked, it.plain, scale=towers.scale),) * folds, asked
    return (float(asked),) * folds, "fixed"


def _likeliest(it: Scored, fold: int) -> float:
    rows = np.flatnonzero(it.source.training[fold])
    plain = it.source.vectors[rows] @ np.asarray(it.prototypes[fold]).T
    return 1 / calibration.temperature("nll", plain, labels=it.source.labels[rows])
