"""T3A: the last layer replaced by prototypes of confident clips; nothing is back-propagated."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets.normalisers import EVALUATIONS
from dhauds_jax.parallel import whole_batch
from dhauds_jax.tta import losses
from dhauds_jax.tta.neighbours import of_unit_length
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Linear,
    Method,
    Outputs,
    Prediction,
    RunInfo,
    Variables,
)


class Supports(NamedTuple):
    """Supports of each class, by rising entropy.

    Attributes:
      embedding: (classes, size, features).
      entropy: (classes, size) in nats; infinite where the place is empty.
      clip: (classes, size) position in the set, -1 for a column of the head and for an empty place.
    """

    embedding: Float[Array, "classes size features"]
    entropy: Float[Array, "classes size"]
    clip: Int[Array, "classes size"]


def added(
    supports: Supports,
    embedding: Float[Array, "rows features"],
    logits: Float[Array, "rows classes"],
    clip: Int[Array, " rows"],
    weights: Float[Array, " rows"],
) -> Supports:
    """The supports with the rows put under their predicted classes, the lowest entropies of each class kept.

    A clip that comes again (later epochs) takes the place of its earlier self; padded rows (weight 0) are left out.
    """
    classes, size = supports.entropy.shape
    real = weights > 0
    entropy = losses.entropy_rows(logits, 0.0)
    belongs = real[None] & (jnp.arange(classes)[:, None] == logits.argmax(-1)[None])
    again = ((supports.clip[..., None] == clip[None, None]) & (real & (clip >= 0))[None, None]).any(-1)
    kept = jnp.where(again, jnp.inf, supports.entropy)
    candidates = jnp.concatenate([kept, jnp.where(belongs, entropy[None], jnp.inf)], 1)
    lowest, place = jax.lax.top_k(-candidates, size)

    def choose(old: Array, place: Array) -> Array:
        return jnp.concatenate([old, embedding])[place]

    clips = jnp.concatenate([supports.clip, jnp.broadcast_to(clip, (classes, clip.shape[0]))], 1)
    filled = jnp.isfinite(lowest)
    return Supports(
        jnp.where(filled[..., None], jax.vmap(choose)(supports.embedding, place), 0.0),
        -lowest,
        jnp.where(filled, jnp.take_along_axis(clips, place, 1), -1),
    )


def first_supports(head: Linear, size: int) -> Supports:
    """The columns of the last layer, each under the class that the layer itself gives it."""
    features, classes = head.kernel.shape
    empty = Supports(
        jnp.zeros((classes, size, features), head.kernel.dtype),
        jnp.full((classes, size), jnp.inf, head.kernel.dtype),
        jnp.full((classes, size), -1, jnp.int32),
    )
    columns = head.kernel.T
    logits = columns @ head.kernel + head.bias[None]
    return added(empty, columns, logits, jnp.full(classes, -1, jnp.int32), jnp.ones(classes))


def prototypes(supports: Supports) -> Float[Array, "classes features"]:
    """Unit-length sum of the unit-length supports of each class; 0 for a class without any."""
    filled = jnp.isfinite(supports.entropy)[..., None]
    return of_unit_length(jnp.where(filled, of_unit_length(supports.embedding), 0.0).sum(1))


def t3a(
    classifier: Classifier, *, supports: int = 20, statistics: str = "running", axis_name: str | None = None
) -> Method:
    """Classifies by prototypes that the test clips themselves build up; the network stays as it is.

    Each clip's embedding z joins the supports of its predicted class; each class keeps the `supports` ones of lowest
    entropy (at first its column of the last layer, which has to hold its place like any other); the logits are
    `z . c_k`, with c_k the normalised sum of the normalised supports. The entropies are those of the last layer, not of
    the prototypes. A step predicts after its batch has joined; `predict` uses the supports as they are. A class whose
    column the last layer gives to another one has no support, and logit 0, until a clip joins it.

    Args:
      classifier: the network.
      supports: places of a class (the paper's M, chosen from 1, 5, 20, 50, 100 and no limit).
      statistics: BatchNorm's, "running" (the source's, as in the original) or "batch" (of each batch).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: fewer than one place, or unknown statistics.

    Source: Iwasawa and Matsuo, NeurIPS 2021 (no arXiv number), algorithm 1; domainbed/adapt_algorithms.py of its code.
    """
    if supports < 1:
        raise BadInput(f"t3a: supports is {supports}, expected at least 1 place a class")
    registry.check("statistics of method t3a", statistics, EVALUATIONS)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        memory = first_supports(classifier.head(variables), supports)
        return AdaptState(variables, (), memory, jnp.zeros((), jnp.int32))

    def forward(state: AdaptState, batch: Batch) -> Outputs:
        return classifier.apply(
            state.variables, batch.wave, mode=EVALUATIONS[statistics], weights=batch.weights, axis_name=axis_name
        )[0]

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state, batch).embedding @ prototypes(state.memory).T

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        outputs = forward(state, batch)
        whole = whole_batch((outputs.embedding, outputs.logits, batch.index, batch.weights), axis_name)
        memory = added(state.memory, *whole)
        logits = outputs.embedding @ prototypes(memory).T
        return state._replace(memory=memory, step=state.step + 1), Prediction(logits, {})

    return Method(init, step, predict, adapts="none", passes=(1, 0))
