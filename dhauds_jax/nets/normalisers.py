"""What a BatchNorm layer does in one forward pass, with PyTorch's rules (`dhauds_jax.types.Normaliser`).

PyTorch normalises with the biased batch variance, stores the unbiased one, and keeps `0.9 old + 0.1 new`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.parallel import total
from dhauds_jax.types import Mode, Normaliser, Running

MOMENTUM = 0.1
"""The weight of a new batch in the running statistics (PyTorch's meaning of BatchNorm momentum)."""


def batch_moments(
    x: Float[Array, "... channels"], weights: Float[Array, " batch"] | None, axis_name: str | None
) -> tuple[Float[Array, " channels"], Float[Array, " channels"], Float[Array, ""]]:
    """Mean, biased variance and number of values per channel over all axes but the last, padded rows left out.

    The mean is taken first and the variance from centred squares: E[x^2] - E[x]^2 loses digits.
    """
    axes = tuple(range(x.ndim - 1))
    w = jnp.ones((x.shape[0],), x.dtype) if weights is None else weights.astype(x.dtype)
    w = w.reshape((-1,) + (1,) * (x.ndim - 1))
    positions = x[0, ..., 0].size
    count, summed = total((w.sum() * positions, (w * x).sum(axes)), axis_name)
    mean = summed / count
    var = total((w * jnp.square(x - jnp.broadcast_to(mean, x.shape))).sum(axes), axis_name) / count
    return mean, var, count


def _unbiased(var: Array, count: Array) -> Array:
    """The unbiased variance of `count` values from their biased one; of a single value that one."""
    return var * count / jnp.maximum(count - 1, 1)


def _normalise(x: Array, mean: Array, var: Array, epsilon: float) -> Array:
    return (x - jnp.broadcast_to(mean, x.shape)) * jnp.broadcast_to(jax.lax.rsqrt(var + epsilon), x.shape)


def running(
    x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
) -> tuple[Array, Running]:
    """Evaluation: the running statistics normalise and stay."""
    return _normalise(x, running.mean, running.var, epsilon), running


def batch(
    x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
) -> tuple[Array, Running]:
    """Training: the batch's statistics normalise, the running ones follow."""
    mean, var, count = batch_moments(x, weights, axis_name)
    unbiased = _unbiased(var, count)
    kept = jax.lax.stop_gradient(
        Running((1 - MOMENTUM) * running.mean + MOMENTUM * mean, (1 - MOMENTUM) * running.var + MOMENTUM * unbiased)
    )
    return _normalise(x, mean, var, epsilon), kept


@functools.lru_cache
def grouped_batch(groups: int) -> Normaliser:
    """As `batch`, for `groups` equally large batches side by side: as if forwarded one by one, in their order."""

    def grouped(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        parts = x.reshape(groups, x.shape[0] // groups, *x.shape[1:])
        if weights is None:
            weights = jnp.ones((x.shape[0],), x.dtype)
        moments = jax.vmap(lambda part, w: batch_moments(part, w, axis_name))(parts, weights.reshape(groups, -1))
        mean, var, count = jax.lax.stop_gradient(moments)
        unbiased = var * (count / jnp.maximum(count - 1, 1))[:, None]
        for i in range(groups):
            running = Running(
                (1 - MOMENTUM) * running.mean + MOMENTUM * mean[i],
                (1 - MOMENTUM) * running.var + MOMENTUM * unbiased[i],
            )
        mean, var = (m.reshape((groups,) + (1,) * (x.ndim - 1) + m.shape[-1:]) for m in moments[:2])
        return _normalise(parts, mean, var, epsilon).reshape(x.shape), running

    return grouped


def batch_frozen(
    x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
) -> tuple[Array, Running]:
    """The batch's statistics normalise, the running ones stay."""
    mean, var, _ = batch_moments(x, weights, axis_name)
    return _normalise(x, mean, var, epsilon), running


def observed(
    x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
) -> tuple[Array, Running]:
    """The batch's statistics normalise, and stand in place of the running ones: its mean and unbiased variance."""
    mean, var, count = batch_moments(x, weights, axis_name)
    return _normalise(x, mean, var, epsilon), Running(mean, _unbiased(var, count))


@functools.lru_cache
def keeping(normaliser: Normaliser) -> Normaliser:
    """As `normaliser`, but the running statistics stay."""

    def kept(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        return normaliser(x, running, epsilon, weights, axis_name)[0], running

    return kept


MOMENTS = ("unbiased", "biased")
"""What a blend takes of the batch: its unbiased variance, as a constant; or the biased one, with gradients."""


def moments_to_blend(
    x: Float[Array, "... channels"], weights: Float[Array, " batch"] | None, axis_name: str | None, moments: str
) -> tuple[Float[Array, " channels"], Float[Array, " channels"]]:
    """The batch's mean and variance as a blend with the running ones takes them, one of `MOMENTS`.

    "unbiased" is `n / (n - 1)` times the biased variance, and no gradient goes through either: so the authors of MEMO
    and the users of their rule have it, who blend PyTorch's buffers. "biased" has gradients (ours until issue 17).
    """
    mean, var, count = batch_moments(x, weights, axis_name)
    if moments == "biased":
        return mean, var
    return jax.lax.stop_gradient((mean, _unbiased(var, count)))


@functools.lru_cache
def blend(alpha: float, moments: str = "unbiased") -> Normaliser:
    """Means and variances `alpha * batch + (1 - alpha) * running` normalise, the running ones stay (alpha in [0, 1]).

    Args:
      alpha: share of the batch.
      moments: of `MOMENTS`, see `moments_to_blend`.

    Raises:
      BadInput: an `alpha` that is no share, unknown `moments`.

    Source: Schneider et al., NeurIPS 2020, arXiv 2006.16971; the code of MEMO (arXiv 2110.09506), imagenet-exps,
    _modified_bn_forward.
    """
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"blend: alpha is {alpha}, expected a number from 0 (running) to 1 (batch)")
    registry.check("moments of a blend", moments, MOMENTS)

    def blended(
        x: Array, running: Running, epsilon: float, weights: Array | None = None, axis_name: str | None = None
    ) -> tuple[Array, Running]:
        mean, var = moments_to_blend(x, weights, axis_name, moments)
        mixed = alpha * mean + (1 - alpha) * running.mean
        spread = alpha * var + (1 - alpha) * running.var
        return _normalise(x, mixed, spread, epsilon), running

    return blended


EVAL = Mode(dropout=False, norm=running)
"""Evaluation: no dropout, running statistics."""

EVALUATIONS = {"running": EVAL, "batch": Mode(dropout=False, norm=batch_frozen)}
"""Whose statistics an evaluation pass uses, the running ones or each batch's own -> its mode."""

TRAIN = Mode(dropout=True, norm=batch)
"""PyTorch's `train()`: dropout on, batch statistics, running ones updated."""
