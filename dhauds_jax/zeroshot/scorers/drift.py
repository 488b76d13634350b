"""A bonus for drifting where the text says that the class drifts in noise."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import BadInput
from dhauds_jax.types import Background, Scorer, ScorerInfo
from dhauds_jax.zeroshot.unit_vectors import cosines


def drift(*, bonus: float = 0.5) -> Scorer:
    """`s_c = a . P_c + bonus * a . d_c`, `d_c = unit(mean_p(text("c with p") - text(c)))` over noise phrases p.

    Ours after the paper's equation; phrases and bonus are the user's, and none of its numbers is claimed. State: the
    prototypes with their bonus (classes, width).

    Args:
      bonus: weight of the drift (the paper's lambda).

    Source: Drift-Augmented Scoring, Vo et al. 2026, arXiv 2606.04844.
    """

    def init(
        prototypes: Float[Array, "classes width"], background: Background | None, info: ScorerInfo
    ) -> Float[Array, "classes width"]:
        if info.text is None or info.noisy_text is None:
            raise BadInput(
                "scorer drift needs text vectors of the classes and of each with noise phrases, and this run has none: "
                "give a model with a text tower, or take scorer plain"
            )
        return jnp.asarray(prototypes) + bonus * unit_rows((info.noisy_text - info.text[None]).mean(0))

    def step(
        state: Float[Array, "classes width"], vectors: Float[Array, "rows width"], weights: Float[Array, " rows"]
    ) -> tuple[Float[Array, "classes width"], Float[Array, "rows classes"]]:
        return state, cosines(vectors, state)

    def linear(state: Array) -> tuple[Array, Array]:
        return jnp.zeros(state.shape[1]), state.T

    return Scorer(init, step, ("text",), linear=linear)
