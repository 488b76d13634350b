"""What a method's functions must return so that protocols can use it, checked while tracing: one rule for all methods.

Of a method of ours something else is a bug, of a user's own it is the user's to mend: who asks decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import chex
import numpy as np

from dhauds_jax.tta.traced import Seen
from dhauds_jax.types import AdaptState, Batch, Prediction
from dhauds_jax.wording import kind_of


def fault_of_init(state: Any) -> str | None:
    """What is wrong with what `init` returned, in words that follow the method's name; None where nothing is."""
    return None if isinstance(state, AdaptState) else f"init returned {_kind(state)}, expected a types.AdaptState"


def fault_of_step(state: AdaptState, batch: Batch, found: Any, classes: int | None) -> str | None:
    """What is wrong with what `step` returned for a state and a batch, as `fault_of_init`.

    Args:
      state: that it was given.
      batch: likewise.
      found: what it returned.
      classes: of the network; None where they are not known.
    """
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Prediction)):
        return f"step returned {_kind(found)}, expected (AdaptState, types.Prediction)"
    after, prediction = found
    fault = _fault_of_logits("step", prediction.logits, batch, classes) or _fault_of_losses(prediction.losses)
    if fault is not None:
        return fault
    difference = Seen.of({"state": state}).difference(Seen.of({"state": after}))
    return difference and f"step must keep the structure, shapes and types of its state, but {difference}"


def fault_of_predict(batch: Batch, logits: Any, classes: int | None) -> str | None:
    """What is wrong with what `predict` returned for a batch, as `fault_of_step`."""
    return _fault_of_logits("predict", logits, batch, classes)


def _fault_of_logits(name: str, logits: Any, batch: Batch, classes: int | None) -> str | None:
    rows = batch.weights.shape[0]
    try:
        chex.assert_shape(logits, (rows, classes))
        return None
    except (AssertionError, AttributeError, TypeError, ValueError):  # the last three where it is no array
        pass
    expected = f"({rows}, {'classes' if classes is None else classes})"
    return f"{name} returned {_kind(logits)} as logits, expected shape {expected}: (batch, classes)"


def _fault_of_losses(losses: Any) -> str | None:
    if not isinstance(losses, Mapping):
        return f"step's losses are {_kind(losses)}, expected a dict of scalars by name"
    for loss, value in losses.items():
        if np.shape(value) != ():  # a Python number is one too
            kind = f"{_kind(value)}, expected an array of shape (), such as losses.weighted_mean gives"
            return f"step's loss {loss!r} is {kind}"
    return None


def _kind(value: Any) -> str:
    """What something is, in words: its shape, the kinds in a tuple, or its type."""
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if type(value) is tuple:
        return f"({', '.join(_kind(part) for part in value)})"
    return kind_of(value)
