"""Methods of the user's own, held to what protocols can use: what is wrong is said in a sentence, and whose it is."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array

from dhauds_jax.errors import BadInput
from dhauds_jax.tta import borders
from dhauds_jax.types import AdaptState, Batch, Method, Prediction, RunInfo, Variables


def held(name: str, method: Method, classes: int) -> Method:
    """The method, whose functions raise `BadInput` for what a protocol could not use; checked while tracing.

    Args:
      name: of the method, for the sentences.
      method: as its factory made it.
      classes: of the network.
    """

    def refused(fault: str | None) -> None:
        if fault is not None:
            raise BadInput(f"method {name}: its {fault}")

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = method.init(variables, info)
        refused(borders.fault_of_init(state))
        return state

    def step(state: AdaptState, batch: Batch, key: Array) -> tuple[AdaptState, Prediction]:
        found = method.step(state, batch, key)
        refused(borders.fault_of_step(state, batch, found, classes))
        return found

    def predict(state: AdaptState, batch: Batch) -> Any:
        logits = method.predict(state, batch)
        refused(borders.fault_of_predict(batch, logits, classes))
        return logits

    return method._replace(init=init, step=step, predict=predict)
