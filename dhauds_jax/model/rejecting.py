"""When a recording is called unknown: one rule for whatever labels recordings, in a folder or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dhauds_jax import calibration
from dhauds_jax.data.recordings import per_file
from dhauds_jax.types import Calibration


class Rejecting(NamedTuple):
    """A threshold, and what is compared with it.

    Attributes:
      made: what held-out clips say.
      groups: of the classifier's config, whose probabilities are summed before they are compared.
      least: recordings that are less sure are unknown.
    """

    made: Calibration
    groups: Mapping[str, Any]
    least: float

    def compared(self, logits: Float[np.ndarray, "windows classes"]) -> Float[np.ndarray, "windows some"]:
        """What is averaged over a recording's windows, and its largest then compared; float64.

        Probabilities are those of what is reported.
        """
        found = calibration.compared(self.made, logits)
        return calibration.by_group(found, self.groups) if self.made.score == "max_probability" else found

    def sure(
        self, compared: Float[np.ndarray, "windows some"], owner: Int[np.ndarray, " windows"], files: int
    ) -> Float[np.ndarray, " files"]:
        """How sure the label of each recording is, of what is `compared` of its windows."""
        return per_file(compared, owner, files).max(-1)


def rejecting(
    made: Calibration | None, groups: Mapping[str, Any], reject: float | None, reject_background: float | None = None
) -> Rejecting | None:
    """The rule of a calibration at some rates; None where none is asked for.

    Args:
      made: of the checkpoint; None where it has none.
      groups: of the classifier's config.
      reject: share of known held-out clips that may be called unknown.
      reject_background: share of held-out windows of background that may keep a name.

    Raises:
      BadInput: a rate out of its range, or without the held-out scores that it needs.
    """
    made = made or Calibration(1.0, "none", "max_probability")
    least = calibration.threshold(made, reject, reject_background)
    return None if least is None else Rejecting(made, groups, least)
