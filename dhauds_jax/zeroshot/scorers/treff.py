"""A cache of few labelled clips beside the prototypes, without training."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines


class Cached(NamedTuple):
    """State: prototypes, the labelled clips' unit vectors, and their classes as rows of 0 and 1."""

    prototypes: Float[Array, "classes width"]
    shots: Float[Array, "shots width"]
    labels: Float[Array, "shots classes"]
    scale: Float[Array, ""]


def treff(*, alpha: float = 1.0, beta: float = 5.5) -> Scorer:
    """`scale * s = scale * a . P + alpha * exp(-beta (1 - a . F)) L`: F labelled clips, L their classes as rows.

    Rows and labelled clips are brought to unit length first. Ours after the paper's form without training; alpha and
    beta begin as in its parent, Tip-Adapter.

    Args:
      alpha: weight of the labelled clips beside the scaled cosines.
      beta: how fast a labelled clip's vote falls with its distance.

    Source: Liang et al., Interspeech 2023, arXiv 2305.17719; Zhang et al., ECCV 2022, arXiv 2207.09519.
    """
    check_number("scorer treff: option beta", beta, 0.0)

    def init(prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo) -> Cached:
        if info.shots is None:
            raise BadInput(
                "scorer treff needs labelled clips, and this run has none: give embeddings with labels, or scorer em"
            )
        vectors, labels = info.shots
        rows = jax.nn.one_hot(labels, len(prototypes))
        return Cached(jnp.asarray(prototypes), unit_rows(jnp.asarray(vectors)), rows, jnp.float32(info.scale))

    def step(
        state: Cached, vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Cached, Float[Array, "rows classes"]]:
        clips = unit_rows(vectors)
        near = jnp.exp(-beta * (1 - cosines(clips, state.shots)))
        votes: Array = jnp.matmul(near, state.labels, precision="highest")
        return state, cosines(clips, state.prototypes) + alpha * votes / state.scale

    return Scorer(init, step, ("train_labels",))
