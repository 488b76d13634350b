"""BatchNorm statistics of a whole set before its first update: about what the running ones come to in many passes.

An update moves them by a tenth of the way, so few updates over a small set end far from it: a third of the source
model's are left after ten.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax.nets import normalisers
from dhauds_jax.tta.evaluation import Compiled
from dhauds_jax.tta.feeding import batch_of
from dhauds_jax.tta.streams import padded_batches
from dhauds_jax.types import AdaptState, Batch, Classifier, Mode, Variables

_OBSERVING = Mode(dropout=False, norm=normalisers.observed)
_KEPT = 4


def follows(run: Compiled, state: AdaptState, batch: Batch) -> bool:
    """Whether a method's step moves the BatchNorm statistics of its network; False where there are none.

    Read from the traced step, which its first call then finds traced: statistics that stay are handed on as they came.

    Args:
      run: on one device.
      state: as the method's `init` makes it.
      batch: one of those that the step will be given.
    """
    marked = jax.tree_util.tree_map_with_path(lambda path, _: _is_statistic(path), state)
    leaves = jax.tree.leaves(marked)
    if not any(leaves):
        return False
    traced = run.step.trace(state, batch, jax.random.key(0)).jaxpr.jaxpr
    return any(statistic and traced.invars[k] is not traced.outvars[k] for k, statistic in enumerate(leaves))


def _is_statistic(path: tuple[Any, ...]) -> bool:
    return [getattr(key, "name", getattr(key, "key", None)) for key in path[:2]] == ["variables", "batch_stats"]


def settled(
    classifier: Classifier,
    variables: Variables,
    waves: Float[np.ndarray, "clips time"],
    batch_size: int,
    order: np.ndarray,
) -> Variables:
    """The variables with the means over batches of their means and unbiased variances, each normalised by its own.

    The running statistics of `normalisers.batch` tend to about these over batches of that size, of which a last one of
    fewer clips counts less here. Without dropout, one forward pass over the set; statistics of a head for another task
    stay, and so do counters.

    Args:
      classifier: the network.
      variables: its variables.
      waves: the set.
      batch_size: clips in a batch; the last one may have fewer and weighs less.
      order: in which the clips are batched.
    """
    observe, mean, seen = _observer(classifier), None, 0.0
    for rows, weights in padded_batches(order, batch_size):
        found = observe(variables, batch_of(waves, rows, weights))
        seen += float(weights.sum())
        share = float(weights.sum()) / seen
        mean = found if mean is None else jax.tree.map(lambda a, b, share=share: a + share * (b - a), mean, found)
    kept = variables["batch_stats"]
    mean = jax.tree.map(lambda old, new: new if jnp.issubdtype(old.dtype, jnp.floating) else old, kept, mean)
    return {**variables, "batch_stats": mean}


@functools.lru_cache(maxsize=_KEPT)
def _observer(classifier: Classifier) -> Callable[[Variables, Batch], Any]:
    def observe(variables: Variables, batch: Batch) -> Any:
        return classifier.apply(variables, batch.wave, mode=_OBSERVING, weights=batch.weights)[1]

    return jax.jit(observe)
