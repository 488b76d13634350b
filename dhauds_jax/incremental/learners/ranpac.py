"""Ridge regression on random features of the embedding: wide, and never trained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import check_number
from dhauds_jax.incremental import normal_draws
from dhauds_jax.incremental.learners.ridge import ridge
from dhauds_jax.incremental.regressing import FeatureMap, regressing, rule_of
from dhauds_jax.types import Classifier, LearnedHead, Learner

AT_ONCE = 1000
"""Columns of the projection that are drawn at once."""


def ranpac(classifier: Classifier | None, *, M: int = 2000, lambda_: str = "loo", scale: float = 16.0) -> Learner:
    """Logits are `scale relu(x P) W`, P (width, M) standard normal, W the ridge solution on these features.

    P is drawn anew from the key of `init` wherever it is needed, so none is held. While sessions x clips are fewer than
    M the matrix of M x M is never made (the dual).

    Args:
      classifier: not needed.
      M: number of random features; 0: the embedding itself, which is `ridge`.
      lambda_: as of `ridge`.
      scale: as of `ridge`.

    Raises:
      BadInput: M below 0, a lambda that is none.

    Source: McDonnell et al. 2023, "RanPAC: random projections and pre-trained models for continual learning", arXiv
    2307.02251.
    """
    check_number("learner ranpac: option M", M, 0)
    if not M:
        return ridge(classifier, lambda_=lambda_, scale=scale)

    def apply(words: Array, inputs: Array) -> Array:
        return features_of(words, inputs, M)

    def head(words: Array, width: int, kernel: Array, scale: float) -> LearnedHead:
        params = {"projection": projection(words, width, M), "kernel": kernel.astype(jnp.float32)}
        bias = jnp.zeros(kernel.shape[1], jnp.float32)
        return LearnedHead(
            "random_projection", {"features": M, "unit": False, "scale": scale}, {**params, "bias": bias}
        )

    return regressing(FeatureMap(apply, lambda width: M, head), *rule_of("ranpac", lambda_), scale)


def features_of(words: Array, inputs: Float[Array, "rows width"], features: int) -> Float[Array, "rows features"]:
    """`relu(inputs @ projection)`, so many columns at a time that they are used where they were drawn.

    In one piece the draw was written as float64 and read again: of 212 ms of a core 60, for 250 rows of 768 numbers and
    10,000 features; the numbers are the same to the bit.
    """
    width, count = inputs.shape[1], min(AT_ONCE, features)
    pieces = -(-features // count)

    def some(piece: Int[Array, ""]) -> Array:
        drawn = normal_draws.columns(words, (width, features), piece * count, count)
        drawn = jax.lax.optimization_barrier(drawn)  # drawn once, and not for each block of the product
        return jax.nn.relu(jnp.matmul(inputs, drawn.astype(inputs.dtype), precision="highest"))

    made = jax.lax.map(some, jnp.arange(pieces))
    return jnp.moveaxis(made, 0, 1).reshape(len(inputs), pieces * count)[:, :features]


def projection(words: Array, width: int, features: int) -> Array:
    """(width, features) standard normals from the words of a key, float32."""
    return normal_draws.normal(words, (width, features))
