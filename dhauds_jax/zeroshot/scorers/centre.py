"""The mean of the clips themselves is taken off: no background need be known."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines, real


class Centred(NamedTuple):
    """State: prototypes, the mean that was taken off last, and sum and number of the clips that it is of."""

    prototypes: Float[Array, "classes width"]
    mean: Float[Array, " width"]
    total: Float[Array, " width"]
    clips: Float[Array, ""]


def centre(*, running: bool = False, prior: float = 8.0) -> Scorer:
    """`s = (a - m) . P`, m the mean embedding of the clips: what all of them share is background, not class.

    Without `running` m is the mean of the step's own clips, so the whole set is one step. It harms where the set holds
    few classes, whose common part is then taken off too.

    Args:
      running: m is the mean of all clips so far, those of this step included, `sum / (clips + prior)`: online, where a
        step is a clip.
      prior: clips' worth of no correction that a running mean begins with; the first clip keeps its prediction.
    """
    check_number("scorer centre: option prior", prior, 0.0)

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Centred:
        if info.clips == 1 and not running:
            raise BadInput("scorer centre takes off the mean of the set, and the set is one clip: take scorer plain")
        zero = jnp.zeros(prototypes.shape[1])
        return Centred(jnp.asarray(prototypes), zero, zero, jnp.float32(0))

    def move(state: Centred, vectors: Array, weights: Array) -> tuple[Centred, Array]:
        total, clips = real(vectors, weights).sum(0), (weights > 0).sum().astype(jnp.float32)
        if running:
            total, clips = state.total + total, state.clips + clips
        mean = total / jnp.maximum(clips + (prior if running else 0.0), 1.0)
        return Centred(state.prototypes, mean, total, clips), vectors - mean[None]

    def step(
        state: Centred, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Centred, Float[Array, "rows classes"]]:
        state, moved = move(state, vectors, weights)
        return state, cosines(moved, state.prototypes)

    def linear(state: Centred) -> tuple[Array, Array]:
        if not float(state.clips):
            raise BadInput("scorer centre has seen no clips yet, expected the state after the set: score the set first")
        return state.mean, state.prototypes.T

    return Scorer(init, step, ("past",) if running else ("set",), move, linear)
