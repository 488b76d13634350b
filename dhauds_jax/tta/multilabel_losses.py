"""Multi-label variants of the adaptation losses, for classifiers whose logits go through a sigmoid.

Each class is a problem of its own with the two probabilities `(p, 1 - p)`, `p = sigmoid(logit)`: where a loss of
`dhauds_jax.tta.losses` sums over the classes of a softmax row, its namesake here sums over these two and averages over
the classes. Arguments, weights and `axis_name` as there; `activation_losses` picks between the two families by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax import registry
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.losses import Logits, Scalar, Weights, safe_sqrt, weighted_mean


def both_sides(logits: Logits) -> Float[Array, "batch classes 2"]:
    """`(p, 1 - p)` of each class, the second from the sigmoid of the negated logit: `1 - p` would lose digits."""
    return jax.nn.sigmoid(jnp.stack([logits, -logits], -1))


def nuclear_norm(logits: Logits, weights: Weights | None = None, axis_name: str | None = None) -> Scalar:
    """Spread term: minus the mean over classes and their two sides of the L2 norm over the batch.

    `-(1/2C) sum_c (sqrt(sum_b p_bc^2) + sqrt(sum_b (1 - p_bc)^2))`. The columns of the sigmoid matrix alone would be
    longest with every class on in every clip; with both sides a column pays for what the other loses, as in a softmax
    row. Without a published original: the two-column form of `losses.nuclear_norm`.
    """
    squares = jnp.square(both_sides(logits))
    if weights is not None:
        squares = squares * weights[:, None, None]
    return -jnp.mean(safe_sqrt(total(squares.sum(0), axis_name)))


def entropy_rows(logits: Logits, epsilon: float = 1e-8) -> Float[Array, " batch"]:
    """Mean over classes of the binary entropies of each row in nats.

    `-(1/C) sum_c (p log(p + epsilon) + (1 - p) log(1 - p + epsilon))`; exact (from log-sigmoid) at epsilon 0.
    """
    p = both_sides(logits)
    log_p = jax.nn.log_sigmoid(jnp.stack([logits, -logits], -1)) if epsilon == 0 else jnp.log(p + epsilon)
    return -(p * log_p).sum(-1).mean(-1)


def entropy(
    logits: Logits, weights: Weights | None = None, axis_name: str | None = None, *, epsilon: float = 1e-8
) -> Scalar:
    """Mean over rows and classes of the binary entropies in nats."""
    return weighted_mean(entropy_rows(logits, epsilon), weights, axis_name)


def generalised_entropy(
    logits: Logits, weights: Weights | None = None, axis_name: str | None = None, *, q: float = 1.1
) -> Scalar:
    """Mean over rows and classes of the binary Tsallis entropies `(1 - p^q - (1 - p)^q) / (q - 1)`; Shannon's at q = 1.

    Probabilities of exactly 0 are left out, as in `losses.generalised_entropy`.
    """
    if q == 1:
        return entropy(logits, weights, axis_name, epsilon=0.0)
    p = both_sides(logits)
    positive = p > 0
    powers = jnp.where(positive, jnp.where(positive, p, 1.0) ** q, 0.0)
    return weighted_mean(((1 - powers.sum(-1)) / (q - 1)).mean(-1), weights, axis_name)


def consistency(
    logits1: Logits, logits2: Logits, weights: Weights | None = None, axis_name: str | None = None
) -> Scalar:
    """Mean L2 distance between the sigmoid rows of two views."""
    gap = jax.nn.sigmoid(logits1) - jax.nn.sigmoid(logits2)
    return weighted_mean(safe_sqrt(jnp.square(gap).sum(-1)), weights, axis_name)


def mean_prediction(logits1: Logits, logits2: Logits) -> Logits:
    """Logits of the mean of two views' sigmoids, `log m - log(1 - m)`."""
    on, off = (jnp.logaddexp(*(jax.nn.log_sigmoid(sign * z) for z in (logits1, logits2))) for sign in (1, -1))
    return on - off


class ActivationLosses(NamedTuple):
    """The losses that depend on what the logits go through."""

    nuclear_norm: Callable[..., Scalar]
    entropy: Callable[..., Scalar]
    generalised_entropy: Callable[..., Scalar]
    consistency: Callable[..., Scalar]
    mean_prediction: Callable[[Logits, Logits], Logits]


ACTIVATIONS = {
    "softmax": ActivationLosses(
        losses.nuclear_norm, losses.entropy, losses.generalised_entropy, losses.consistency, losses.mean_prediction
    ),
    "sigmoid": ActivationLosses(nuclear_norm, entropy, generalised_entropy, consistency, mean_prediction),
}
"""Activation -> its losses; "sigmoid" is for multi-label networks."""


def activation_losses(activation: str) -> ActivationLosses:
    """The losses of an activation.

    Raises:
      BadInput: a name that is not in `ACTIVATIONS`.
    """
    registry.check("activation", activation, ACTIVATIONS)
    return ACTIVATIONS[activation]
