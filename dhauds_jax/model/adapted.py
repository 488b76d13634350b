"""How a model was adapted, as a frozen record."""

from __future__ import annotations

from dataclasses import dataclass

from dhauds_jax.model.adapting import Outcome, Request
from dhauds_jax.model.predictions import Predictions
from dhauds_jax.tta.advice import Advice
from dhauds_jax.types import AdaptState, Method


@dataclass(frozen=True, eq=False)
class Adapted:
    """How a model was adapted, and what its method predicts with.

    Attributes:
      how: the request.
      method: the method.
      state: the chosen state.
      outcome: what the adaptation came to.
      predictions: of the recordings, by the source model and after adaptation.
      advice: whether to use it, by signs that need no labels.
    """

    how: Request
    method: Method
    state: AdaptState
    outcome: Outcome
    predictions: tuple[Predictions, Predictions]
    advice: Advice

    def __repr__(self) -> str:
        """The method, where the result was taken from, and the verdict; never the weights."""
        return f"<Adapted by {self.how.method}, position {self.outcome.position}: {self.advice.verdict}>"
