"""Weight, template or scorer chosen without labels: the one of a grid that a criterion of `tta.selection` prefers.

Nothing here takes labels, so nothing can be tuned on them; the record says fixed, chosen and best by labels apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.tta import selection
from dhauds_jax.types import Background

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(13))
"""The weights that a choice looks at: 0, 0.1, ..., 1.2."""

SCALE = 20.0
"""What cosines are multiplied by for the criterion. Fixed, so that the choice does not hang on a model's scale."""


Scores = Float[Array | np.ndarray, "clips classes"]
Profile = Float[Array | np.ndarray, " classes"] | Scores
Prototypes = Float[Array | np.ndarray, "classes width"]


class Chosen(NamedTuple):
    """A choice: which of the candidates, and what the criterion says of each (None where it is not finite)."""

    index: int
    values: tuple[float | None, ...]


def choose(candidates: Sequence[Scores], criterion: str = selection.DEFAULT, scale: float = SCALE) -> Chosen:
    """The candidate with the highest criterion; of equal ones the first, so the plainest should stand there.

    Args:
      candidates: the scores (clips, classes) of every weight, template or scorer, before any scale.
      criterion: a name of `selection.CRITERIA` (of one's own too).
      scale: what scores are multiplied by.

    Raises:
      BadInput: no candidate, an unknown criterion.
    """
    if not candidates:
        raise BadInput("no candidates to choose from, expected at least one")
    judge = selection.CRITERIA[criterion]
    found = [float(judge(scale * np.asarray(scores, np.float64))) for scores in candidates]
    values = tuple(value if np.isfinite(value) else None for value in found)
    return Chosen(selection.choose(values), values)


def with_none(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights in order, 0 (no correction) first and always among them.

    Raises:
      BadInput: a negative weight or one that is not finite.
    """
    for weight in weights:
        check_number("background weight", weight, 0.0)
    return tuple(sorted({0.0, *map(float, weights)}))


def weighted(scores: Scores, profile: Profile, weights: Sequence[float]) -> list[np.ndarray]:
    """`scores - weight * profile` for each weight.

    Args:
      scores: (clips, classes) plain scores.
      profile: the background's own scores, (classes,) or (clips, classes).
      weights: of the profile.
    """
    return [np.asarray(scores) - weight * np.asarray(profile) for weight in weights]


def profile(background: Background, prototypes: Prototypes) -> np.ndarray:
    """The background's own scores: `e . P`, (classes,) or a row for each clip."""
    return np.asarray(background.mean, np.float64) @ np.asarray(prototypes, np.float64).T


def choose_weight(
    vectors: Float[Array | np.ndarray, "clips width"],
    prototypes: Prototypes,
    background: Background,
    weights: Sequence[float] = WEIGHTS,
    criterion: str = selection.DEFAULT,
    scale: float = SCALE,
) -> tuple[float, Chosen]:
    """The weight of scorer subtract for these clips, and what the criterion says of each of `with_none(weights)`.

    Args:
      vectors: (clips, width) unit vectors of the unlabelled clips.
      prototypes: (classes, width).
      background: of the clips.
      weights: to choose from.
      criterion: as in `choose`.
      scale: as in `choose`.
    """
    grid = with_none(weights)
    plain = np.asarray(vectors, np.float64) @ np.asarray(prototypes, np.float64).T
    chosen = choose(weighted(plain, profile(background, prototypes), grid), criterion, scale)
    return grid[chosen.index], chosen
