"""The set's mean is taken off, and its loud directions are turned down: no background need be known."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines, real


class Whitened(NamedTuple):
    """State: prototypes, the mean and the matrix of the clips seen last, and how many these were."""

    prototypes: Float[Array, "classes width"]
    mean: Float[Array, " width"]
    matrix: Float[Array, "width width"]
    clips: Float[Array, ""]


def whiten(*, ridge: float = 0.1) -> Scorer:
    """`s = (a - m) W . P`, `W = (C / v + ridge I)^(-1/2)`; m and C the clips' mean and covariance, v = tr(C) / d.

    A background that comes and goes spreads the clips along a few directions, which `centre` leaves as they are. The
    step's clips are the set, so the whole set is one step; it needs about as many clips as a vector has numbers, of
    most of the classes. Ours: the half of CORAL that needs no other set's covariance.

    Args:
      ridge: added to the variances as a share of their mean; the larger, the more like `centre`.

    Source: Sun, Feng and Saenko, AAAI 2016, arXiv 1511.05547 (CORAL); Kessy, Lewin and Strimmer 2018, arXiv 1512.00809
    (the symmetric root).
    """
    check_number("scorer whiten: option ridge", ridge, 0.0, above=True)

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Whitened:
        if info.clips == 1:
            raise BadInput("scorer whiten needs the spread of the set, and the set is one clip: take scorer plain")
        width = prototypes.shape[1]
        return Whitened(jnp.asarray(prototypes), jnp.zeros(width), jnp.eye(width), jnp.float32(0))

    def move(state: Whitened, vectors: Array, weights: Array) -> tuple[Whitened, Array]:
        seen = (weights > 0).astype(vectors.dtype)
        clips = jnp.maximum(seen.sum(), 1.0)
        mean = real(vectors, weights).sum(0) / clips
        apart = (real(vectors, weights) - mean[None]) * seen[:, None]
        spread = jnp.matmul(apart.T, apart, precision="highest") / clips
        variances, axes = jnp.linalg.eigh(spread / jnp.maximum(jnp.trace(spread) / len(spread), 1e-30))
        scaled = axes / jnp.sqrt(jnp.maximum(variances, 0.0) + ridge)[None]
        matrix = jnp.matmul(scaled, axes.T, precision="highest")
        moved = jnp.matmul(vectors - mean[None], matrix, precision="highest")
        return Whitened(state.prototypes, mean, matrix, seen.sum()), moved

    def step(
        state: Whitened, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Whitened, Float[Array, "rows classes"]]:
        state, moved = move(state, vectors, weights)
        return state, cosines(moved, state.prototypes)

    def linear(state: Whitened) -> tuple[Array, Array]:
        if not float(state.clips):
            raise BadInput("scorer whiten has seen no clips yet, expected the state after the set: score the set first")
        return state.mean, jnp.matmul(state.matrix, state.prototypes.T, precision="highest")

    return Scorer(init, step, ("set",), move, linear, turns=True)
