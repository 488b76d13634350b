"""Ridge regression of class indicators on the embedding, the same as one fit to all sessions' clips."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from dhauds_jax.incremental.regressing import FeatureMap, regressing, rule_of
from dhauds_jax.types import Classifier, LearnedHead, Learner


def ridge(classifier: Classifier | None, *, lambda_: str = "loo", scale: float = 16.0) -> Learner:
    """Logits are `scale x W`, `W = (X^T X + lambda I)^-1 X^T Y` over the clips of all sessions, Y class indicators.

    While sessions x clips are fewer than the embedding is wide, the clips are kept and the system of the clips is
    solved (the dual); else `X^T X` and `X^T Y` are added up (the primal), which is what ACIL computes recursively. Both
    are the same W, in float64.

    Args:
      classifier: not needed.
      lambda_: `loo`: of 10^-8, 10^-7 ... 10^8 the one with the least squared leave-one-out error over all clips kept
        (in the primal each session's clips are judged when they come); `last_fifth`: the published rule, 80 % of a
        session's clips, drawn by the key of `learn`, fitted and the others judged, in float32 and the primal; or a
        number.
      scale: what regression values, mostly between 0 and 1, are multiplied by, so that a softmax of them is not flat.

    Raises:
      BadInput: a lambda that is none of these.

    Source: Zhuang et al. 2022, "ACIL: analytic class-incremental learning", arXiv 2205.14922; the grid and the
    published rule are RanPAC's (arXiv 2307.02251) and MAR's (arXiv 2506.18406).
    """
    return regressing(FeatureMap(_as_it_is, lambda width: width, _head), *rule_of("ridge", lambda_), scale)


def _as_it_is(words: Array, inputs: Array) -> Array:
    return inputs


def _head(words: Array, width: int, kernel: Array, scale: float) -> LearnedHead:
    params = {"kernel": kernel.astype(jnp.float32), "bias": jnp.zeros(kernel.shape[1], jnp.float32)}
    return LearnedHead("prototypes", {"unit": False, "scale": scale}, params)
