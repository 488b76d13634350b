"""Losses of test-time adaptation and of source training, with padded rows weighted out.

Every loss takes logits (batch, classes), `weights` (batch,) that are 1 for real rows and 0 for padded ones (None: all
real), and `axis_name` when the batch is spread over devices; it returns the same scalar on every device. Square roots
and powers are guarded where the reference gives NaN gradients (specs: quirks 20, 22, 23).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.parallel import total

Logits = Float[Array, "batch classes"]
Weights = Float[Array, " batch"]
Scalar = Float[Array, ""]


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root whose value and gradient are 0 at 0 (a plain one has an infinite gradient there)."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def weighted_mean(rows: Float[Array, " batch"], weights: Weights | None, axis_name: str | None = None) -> Scalar:
    """Mean over the real rows of the whole batch."""
    w = jnp.ones_like(rows) if weights is None else weights.astype(rows.dtype)
    summed, count = total(((w * rows).sum(), w.sum()), axis_name)
    return summed / count


def nuclear_norm(logits: Logits, weights: Weights | None = None, axis_name: str | None = None) -> Scalar:
    """DHAuDS' "nuclear norm" loss: minus the mean over classes of the L2 norm of the softmax matrix's columns.

    `-(1/C) sum_c sqrt(sum_b p_bc^2)`. Neither the nuclear nor the Frobenius norm, and it grows with the square root of
    the batch size (quirk 22). Source: DHAuDS, lib/loss.py; a fast form of Cui et al., CVPR 2020, arXiv 2003.12237.
    """
    squares = jnp.square(jax.nn.softmax(logits, -1))
    if weights is not None:
        squares = squares * weights[:, None]
    return -jnp.mean(safe_sqrt(total(squares.sum(0), axis_name)))


def entropy_rows(logits: Logits, epsilon: float = 1e-8) -> Float[Array, " batch"]:
    """Entropy of each row in nats, `-sum_c p log(p + epsilon)`; exact (from log-softmax) at epsilon 0."""
    p = jax.nn.softmax(logits, -1)
    log_p = jax.nn.log_softmax(logits, -1) if epsilon == 0 else jnp.log(p + epsilon)
    return -(p * log_p).sum(-1)


def exact_entropy_rows(logits: Logits) -> Float[Array, " batch"]:
    """`entropy_rows` at epsilon 0."""
    return entropy_rows(logits, 0.0)


def entropy(
    logits: Logits, weights: Weights | None = None, axis_name: str | None = None, *, epsilon: float = 1e-8
) -> Scalar:
    """Mean entropy in nats. The reference's epsilon is 1e-8, but 1e-6 in HuBERT on SpeechCommands V2."""
    return weighted_mean(entropy_rows(logits, epsilon), weights, axis_name)


def generalised_entropy(
    logits: Logits, weights: Weights | None = None, axis_name: str | None = None, *, q: float = 1.1
) -> Scalar:
    """Mean Tsallis entropy `(1 - sum_c p^q) / (q - 1)`; Shannon's in nats at q = 1.

    For q < 1 the derivative at p = 0 is infinite: probabilities of exactly 0 are left out (quirk 23).
    """
    if q == 1:
        return entropy(logits, weights, axis_name, epsilon=0.0)
    p = jax.nn.softmax(logits, -1)
    positive = p > 0
    powers = jnp.where(positive, jnp.where(positive, p, 1.0) ** q, 0.0)
    return weighted_mean((1 - powers.sum(-1)) / (q - 1), weights, axis_name)


def consistency(
    logits1: Logits, logits2: Logits, weights: Weights | None = None, axis_name: str | None = None
) -> Scalar:
    """Mean L2 distance between the softmax rows of two views (called MSE in the reference: quirk 20)."""
    gap = jax.nn.softmax(logits1, -1) - jax.nn.softmax(logits2, -1)
    return weighted_mean(safe_sqrt(jnp.square(gap).sum(-1)), weights, axis_name)


def jensen_shannon(
    logits1: Logits,
    logits2: Logits,
    weights: Weights | None = None,
    axis_name: str | None = None,
    *,
    epsilon: float = 1e-8,
) -> Scalar:
    """The reference's unused "JS" loss: mean of `1/2 sum_c(-p1 log(p1/(p2+eps)) - p2 log(p2/(p1+eps)))`.

    It is minus half the symmetrised Kullback-Leibler divergence, so minimising it drives the views apart (quirk 21).
    """
    p1, p2 = jax.nn.softmax(logits1, -1), jax.nn.softmax(logits2, -1)

    def part(a: Array, b: Array) -> Array:
        positive = a > 0
        return -a * jnp.log(jnp.where(positive, a, 1.0) / (b + epsilon))

    return weighted_mean(0.5 * (part(p1, p2) + part(p2, p1)).sum(-1), weights, axis_name)


def smoothed_cross_entropy(
    logits: Logits,
    labels: Int[Array, " batch"],
    weights: Weights | None = None,
    axis_name: str | None = None,
    *,
    smoothing: float = 0.1,
) -> Scalar:
    """Mean cross-entropy in nats against `(1 - smoothing) onehot + smoothing / C` (smoothing in [0, 1))."""
    log_p = jax.nn.log_softmax(logits, -1)
    hit = jnp.take_along_axis(log_p, labels[:, None], -1)[:, 0]
    return weighted_mean(-(1 - smoothing) * hit - smoothing * log_p.mean(-1), weights, axis_name)


def double_softmax_cross_entropy(
    logits: Logits,
    labels: Int[Array, " batch"],
    weights: Weights | None = None,
    axis_name: str | None = None,
    *,
    smoothing: float = 0.1,
    temperature: float = 1.0,
) -> Scalar:
    """`smoothed_cross_entropy` of `softmax(logits / temperature)`, as if these probabilities were logits.

    A model whose last layer is a softmax gives them to a loss that takes another one (quirk T10): for 15 classes the
    loss lies between 1.910 (a certain and right answer) and 2.8, and a wrong certain answer has hardly a gradient.

    Source: Tomofun challenge, team ADEE, src/mymodel.py and src/run_classification_verbose_classes_final.py.
    """
    return smoothed_cross_entropy(
        jax.nn.softmax(logits / temperature, -1), labels, weights, axis_name, smoothing=smoothing
    )


def mean_prediction(logits1: Logits, logits2: Logits) -> Logits:
    """Log of the mean of two views' softmax rows."""
    return jnp.logaddexp(*(jax.nn.log_softmax(z, -1) for z in (logits1, logits2))) - jnp.log(2.0)
