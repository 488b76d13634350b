"""Plain cosines with the prototypes."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines


def plain() -> Scorer:
    """`s = a . P`: every clip by itself, its embedding as it is. State: the prototypes (classes, width)."""

    def init(
        prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo
    ) -> Float[Array, "classes width"]:
        return jnp.asarray(prototypes)

    def step(
        state: Float[Array, "classes width"], vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Float[Array, "classes width"], Float[Array, "rows classes"]]:
        return state, cosines(vectors, state)

    def move(state: Array, vectors: Array, weights: Array) -> tuple[Array, Array]:
        return state, vectors

    def linear(state: Array) -> tuple[Array, Array]:
        return jnp.zeros(state.shape[1]), state.T

    return Scorer(init, step, (), move, linear)
