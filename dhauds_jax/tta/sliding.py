"""Single clips under the BatchNorm statistics of the last clips: a sliding window, which needs no batch to wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.nets import normalisers
from dhauds_jax.parallel import Parallel
from dhauds_jax.tta.feeding import Waves, batch_of
from dhauds_jax.tta.streams import StreamBatch
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Running, Variables


def of_window(
    x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
) -> tuple[Array, Running]:
    """The batch's own mean and (biased) variance normalise, and are what is kept: nothing of the running ones stays."""
    mean, var, _ = normalisers.batch_moments(x, weights, axis_name)
    return normalisers.batch_frozen(x, running, epsilon, weights, axis_name)[0], Running(mean, var)


_WINDOW = Mode(dropout=False, norm=of_window)


def predictor(
    classifier: Classifier, method: Method
) -> Callable[[AdaptState, Batch, Batch], Float[Array, "batch classes"]]:
    """`(state, batch, before) -> logits`: each clip of the batch predicted with the statistics of a window.

    The window of a clip is itself and as many clips before it as `before` has (weight 0 where the stream had none
    yet). One forward pass gives its BatchNorm statistics, which stand in for the running ones while the method predicts
    the whole window in its own way; the clip's row is taken. A network without BatchNorm has no first pass. Of a method
    that predicts with several networks each has a pass of its own: every tree of the state that is built as its
    variables are.

    Source: the rule for single samples of Doebler's online test-time adaptation library, whose window is the batch that
    the network sees in training mode; there the window's length is also the number of clips between two updates.
    """

    def one(state: AdaptState, window: Batch) -> Array:
        window = window._replace(weights=window.weights.at[-1].set(1.0))
        if jax.tree.leaves(state.variables["batch_stats"]):
            state = _under(
                state, lambda network: classifier.apply(network, window.wave, mode=_WINDOW, weights=window.weights)[1]
            )
        return method.predict(state, window)[-1]

    def predict(state: AdaptState, batch: Batch, before: Batch) -> Array:
        clips, earlier = len(batch.weights), len(before.weights)
        both = Batch(*(jnp.concatenate([old, new]) for old, new in zip(before[:3], batch[:3], strict=True)))

        def at(place: Array) -> Array:
            window = Batch(*(jax.lax.dynamic_slice_in_dim(x, place, earlier + 1) for x in both[:3]))
            return one(state, window)

        return jax.lax.map(at, jnp.arange(clips))

    return predict


def _under(state: AdaptState, statistics: Callable[[Variables], Any]) -> AdaptState:
    """The state with other BatchNorm statistics in each of its networks; what nobody predicts with is not computed."""
    built = jax.tree.structure(state.variables)

    def network(tree: Any) -> bool:
        return jax.tree.structure(tree) == built

    def replaced(tree: Any) -> Any:
        return {**tree, "batch_stats": statistics(tree)} if network(tree) else tree

    return jax.tree.map(replaced, state, is_leaf=network)


def before(waves: Waves, stream: Sequence[StreamBatch], index: int, window: int, parallel: Parallel) -> Batch:
    """The `window - 1` clips that came before a batch of a stream, oldest first; missing ones have weight 0."""
    earlier = [one.rows[one.weights > 0] for one in stream[:index]]
    rows = np.concatenate([np.zeros(0, np.int64), *earlier])[-(window - 1) :] if window > 1 else np.zeros(0, np.int64)
    missing = window - 1 - len(rows)
    weights = np.concatenate([np.zeros(missing, np.float32), np.ones(len(rows), np.float32)])
    filled = np.concatenate([np.full(missing, stream[index].rows[0]), rows])
    return batch_of(waves, filled, weights, parallel)
