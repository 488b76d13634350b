"""The background's own profile is taken off, weighted: the seed's correction."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines


class Subtracted(NamedTuple):
    """State: prototypes, the background's mean (width,) or a row a clip, and rows seen so far."""

    prototypes: Float[Array, "classes width"]
    mean: Array
    row: Int[Array, ""]


def subtract(*, weight: float = 0.5) -> Scorer:
    """`s = a . P - weight * (e . P)`, e the background's mean embedding: the same as moving `a` by `-weight * e`.

    With a background that has a row for each clip, row i of all steps so far is corrected by row i of the background.

    Args:
      weight: of the background's profile (the seed's `--temperature`); 0 is `plain`.

    Source: Acevedo et al., Interspeech 2025, arXiv 2506.04376, section 4 of its repository's
    scripts/sound_classification.py.
    """

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Subtracted:
        if background is None:
            raise BadInput("scorer subtract needs a background, and this run has none: give one, or take scorer plain")
        return Subtracted(jnp.asarray(prototypes), jnp.asarray(background.mean), jnp.int32(0))

    def move(state: Subtracted, vectors: Array, weights: Array) -> tuple[Subtracted, Array]:
        if state.mean.ndim == 1:
            return state, vectors - weight * state.mean[None]
        rows = jnp.minimum(state.row + jnp.arange(len(vectors), dtype=jnp.int32), len(state.mean) - 1)
        return state._replace(row=state.row + len(vectors)), vectors - weight * state.mean[rows]

    def step(
        state: Subtracted, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Subtracted, Float[Array, "rows classes"]]:
        state, moved = move(state, vectors, weights)
        return state, cosines(moved, state.prototypes)

    def linear(state: Subtracted) -> tuple[Array, Array]:
        if state.mean.ndim == 2:
            raise BadInput(
                "scorer subtract has a background for each clip, which is no one layer: expected one background for all"
            )
        return weight * state.mean, state.prototypes.T

    return Scorer(init, step, ("background",), move, linear)
