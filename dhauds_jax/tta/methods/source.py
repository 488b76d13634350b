"""No adaptation: the source model as it is."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, RunInfo, Variables


def source(classifier: Classifier, *, axis_name: str | None = None) -> Method:
    """The unadapted classifier in evaluation mode: the baseline of every table. Nothing ever changes."""

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return AdaptState(variables, (), (), jnp.zeros((), jnp.int32))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return classifier.apply(state.variables, batch.wave, mode=EVAL)[0].logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        return state._replace(step=state.step + 1), Prediction(predict(state, batch), {})

    return Method(init, step, predict, adapts="none", passes=(1, 0))
