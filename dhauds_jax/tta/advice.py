"""Signs, without labels, of whether an adaptation did good or harm, and what follows from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dhauds_jax import metrics
from dhauds_jax.tta import selection

UNLIKE = 0.5
"""When more than this share of the labels changed, somebody should listen to some of the recordings."""


class Signs(NamedTuple):
    """Label-free signs before and after adaptation.

    Attributes:
      top_share: share of the most frequent label, (before, after).
      entropy: mean entropy of a file's probabilities in nats.
      information: mutual information of file and label in nats.
      changed: share of labels that changed.
      files: how many there are.
      classes: how many there are.
    """

    top_share: tuple[float, float]
    entropy: tuple[float, float]
    information: tuple[float, float]
    changed: float
    files: int
    classes: int

    def rows(self) -> list[tuple[str, str, str]]:
        """The table's rows: name, before, after."""
        return [
            ("share of the most frequent label", *(f"{100 * v:.1f} %" for v in self.top_share)),
            ("mean entropy (nats)", *(f"{v:.3f}" for v in self.entropy)),
            ("mutual information of file and label (nats)", *(f"{v:.3f}" for v in self.information)),
        ]


def signs(before: np.ndarray, after: np.ndarray) -> Signs:
    """Signs of logits (files, classes) of the source model and of the adapted one."""
    both = (before, after)
    return Signs(
        tuple(metrics.top_share(z) for z in both),
        tuple(-selection.negative_entropy(z) for z in both),
        tuple(selection.information(z) for z in both),
        float(np.mean(before.argmax(-1) != after.argmax(-1))),
        len(before),
        before.shape[-1],
    )


def advise(told: Signs) -> str:
    """One sentence: keep the source model, use the adapted one, either, or look closer first."""
    if told.top_share[1] > metrics.COLLAPSE_SHARE and told.top_share[1] > told.top_share[0]:
        return (
            f"Keep the source model: after adaptation {100 * told.top_share[1]:.0f} % of the recordings get one label, "
            "which is what a collapse looks like (unless they are in truth of one class)."
        )
    if told.information[1] < told.information[0]:
        return (
            "Keep the source model: the labels say less about the recordings than before (mutual information "
            f"{told.information[1]:.3f} after {told.information[0]:.3f} nats)."
        )
    if not told.changed and told.information[1] == told.information[0]:
        return "Either will do: no label changed, and the adapted model is no more certain of them."
    if told.changed > UNLIKE:
        return (
            f"Look closer: {100 * told.changed:.0f} % of the labels changed, so either the source model was lost or "
            "the adapted one is; listen to some of them before you use either."
        )
    before, after = told.information
    return (
        f"Use the adapted model: its labels say more about the recordings (mutual information {after:.3f} after "
        f"{before:.3f} nats), and {100 * (1 - told.changed):.0f} % of them are as before."
    )
