"""Methods of the user's own, held to what protocols can use: a wrong shape is said in a sentence, and whose it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Array

from dhauds_jax.errors import BadInput
from dhauds_jax.tta.traced import Seen
from dhauds_jax.types import AdaptState, Batch, Method, Prediction, RunInfo, Variables


def held(name: str, method: Method, classes: int) -> Method:
    """The method, whose functions raise `BadInput` for what a protocol could not use; checked while tracing.

    Args:
      name: of the method, for the sentences.
      method: as its factory made it.
      classes: of the network.
    """

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = method.init(variables, info)
        if not isinstance(state, AdaptState):
            raise BadInput(f"method {name}: its init returned {_kind(state)}, expected a types.AdaptState")
        return state

    def step(state: AdaptState, batch: Batch, key: Array) -> tuple[AdaptState, Prediction]:
        found = method.step(state, batch, key)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Prediction)):
            raise BadInput(f"method {name}: its step returned {_kind(found)}, expected (AdaptState, types.Prediction)")
        after, prediction = found
        _check_logits(f"method {name}: its step", prediction.logits, batch, classes)
        for loss, value in _losses(name, prediction).items():
            if np.shape(value) != ():  # a Python number is one too
                raise BadInput(
                    f"method {name}: its step's loss {loss!r} is {_kind(value)}, expected an array of shape (), such "
                    "as losses.weighted_mean gives"
                )
        difference = Seen.of({"state": state}).difference(Seen.of({"state": after}))
        if difference is not None:
            raise BadInput(
                f"method {name}: its step must keep the structure, shapes and types of its state, but {difference}"
            )
        return after, prediction

    def checked(what: str, predict: Callable[[AdaptState, Batch], Any]) -> Callable[[AdaptState, Batch], Any]:
        def predicted(state: AdaptState, batch: Batch) -> Any:
            logits = predict(state, batch)
            _check_logits(f"method {name}: its {what}", logits, batch, classes)
            return logits

        return predicted

    return method._replace(init=init, step=step, predict=checked("predict", method.predict))


def _losses(name: str, prediction: Prediction) -> Mapping[str, Any]:
    if not isinstance(prediction.losses, Mapping):
        raise BadInput(
            f"method {name}: its step's losses are {_kind(prediction.losses)}, expected a dict of scalars by name"
        )
    return prediction.losses


def _check_logits(what: str, logits: Any, batch: Batch, classes: int) -> None:
    expected = (batch.weights.shape[0], classes)
    if getattr(logits, "shape", None) != expected:
        raise BadInput(f"{what} returned {_kind(logits)} as logits, expected shape {expected}: (batch, classes)")


def _kind(value: Any) -> str:
    """What something is, in words: its shape, the kinds in a tuple, or its type."""
    if hasattr(value, "shape"):
        return f"an array of shape {tuple(value.shape)}"
    if type(value) is tuple:
        return f"({', '.join(_kind(part) for part in value)})"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
