"""What a recording is called: its best class, or unknown where the service has a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dhauds_jax import calibration
from dhauds_jax.data.recordings import per_file
from dhauds_jax.model.rejecting import Rejecting


class Named(NamedTuple):
    """A recording's, or a window's, label.

    Attributes:
      label: the best class, or the unknown one.
      best: index of the best class.
      probabilities: (classes,), the mean over the windows.
      sure: what is compared with the threshold; None where there is none.
    """

    label: str
    best: int
    probabilities: Float[np.ndarray, " classes"]
    sure: float | None

    @property
    def confidence(self) -> float:
        """The probability of the best class."""
        return float(self.probabilities[self.best])


def named(rows: Float[np.ndarray, "windows columns"], classes: Sequence[str], rule: Rejecting | None = None) -> Named:
    """The label of a recording, by the rule that `experiments.classify` has.

    Args:
      rows: the answers to its windows (`contracts.Served.answers`): with a rule what is compared stands behind the
        probabilities.
      classes: names of what is reported.
      rule: which recordings are unknown; None: none is.
    """
    one, owner = len(classes), np.zeros(len(rows), np.int64)
    probabilities = per_file(rows[:, :one], owner, 1)[0]
    best = int(probabilities.argmax())
    if rule is None:
        return Named(classes[best], best, probabilities, None)
    sure = rule.sure(rows[:, one:], owner, 1)
    (label,) = calibration.labels(classes, np.array([best]), sure, rule.least)
    return Named(label, best, probabilities, float(sure[0]))
