"""A Gaussian for each class, by its rows or by its moments: shrunk covariances as correlations, distances to them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.incremental import kept_rows
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.incremental.products import product


class Gaussians(NamedTuple):
    """Of each class what its distance is made of, by the rows; float64.

    With `S = b I + U^T U + c 1 1^T`, U the rows around the mean over sqrt(n - 1), and its diagonal D:
    `(x - m)^T (D^-1/2 S D^-1/2)^-1 (x - m) = y^T S^-1 y`, `y = D^1/2 (x - m)`, and S^-1 by Woodbury in the rows.

    Attributes:
      means: (max_classes, width).
      deviations: (max_classes, width), D^1/2.
      floor: (max_classes,), b.
      away: (room, width), the rows of U, each class's beside the others'.
      inner: (room, room), `(b I + U U^T)^-1 / b` of each class, nothing between classes.
      shift: (max_classes,), what Sherman and Morrison take for `c 1 1^T`: c / (1 + c 1^T (b I + U^T U)^-1 1).
    """

    means: Array
    deviations: Array
    floor: Array
    away: Array
    inner: Array
    shift: Array


def of_rows(x: Array, kept: KeptRows, classes: int, gamma1: float, gamma2: float) -> Gaussians:
    """All classes at once: between rows of different classes there is nothing, so one matrix of rows holds them all."""
    belongs = kept_rows.members(kept.labels, kept.weights, classes, jnp.float64)
    count, d = belongs.sum(0), x.shape[1]
    means = product(belongs.T, x) / jnp.maximum(count, 1.0)[:, None]
    of = jnp.where(kept.weights > 0, kept.labels, 0)
    there = belongs.sum(1)
    away = (x - means[of]) * (there / jnp.sqrt(jnp.maximum(count - 1.0, 1.0))[of])[:, None]
    variances = product(belongs.T, jnp.square(away))
    first = variances.mean(1)
    # the sum over all entries of a covariance is the sum of its rows' squared sums
    whole = product(belongs.T, jnp.square(away.sum(1, keepdims=True)))[:, 0]
    second = (whole - variances.sum(1)) / max(d * (d - 1), 1)
    first = jnp.where(first > 1e-12, first, 1.0)  # a single shot: R = I
    c = gamma2 * second
    floor = jnp.maximum(gamma1 * first - c, 1e-12 * first)
    deviations = jnp.sqrt(variances + (floor + c)[:, None])
    same = (product(belongs, belongs.T) > 0).astype(jnp.float64)
    b = floor[of]
    gram = same * product(away, away.T) + jnp.diag(b)
    inner = same * jnp.linalg.inv(gram) / b[:, None]
    sums = away.sum(1)
    turned = d / floor - product(belongs.T, (product(inner, sums[:, None])[:, 0] * sums)[:, None])[:, 0]
    return Gaussians(means, deviations, floor, away, inner, c / (1.0 + c * turned))


def distances_by_rows(of: Gaussians, kept: KeptRows, x: Array) -> Array:
    """(rows, classes): `y^T S^-1 y`, y the row around the mean times the deviations."""
    classes = len(of.means)
    belongs = kept_rows.members(kept.labels, kept.weights, classes, jnp.float64)
    label = jnp.where(kept.weights > 0, kept.labels, 0)
    scaled = of.away * of.deviations[label]
    p = product(x, scaled.T) - (scaled * of.means[label]).sum(1)[None]
    variances = jnp.square(of.deviations)
    squares = product(jnp.square(x), variances.T) - 2.0 * product(x, (variances * of.means).T)
    squares += (variances * jnp.square(of.means)).sum(1)[None]
    within = squares / of.floor[None] - product(p * product(p, of.inner), belongs)
    # 1^T (b I + U^T U)^-1 y, for the part that all entries share
    ones = product(x, of.deviations.T) - (of.deviations * of.means).sum(1)[None]
    shared = ones / of.floor[None] - product(p * product(of.inner, of.away.sum(1)[:, None])[:, 0][None], belongs)
    return within - of.shift[None] * jnp.square(shared)


class Moments(NamedTuple):
    """Of each class `X^T X`, the sum of its rows and their number; float64."""

    second: Float[Array, "max_classes width width"]
    total: Float[Array, "max_classes width"]
    count: Float[Array, " max_classes"]


class Precisions(NamedTuple):
    """Of each class the mean and the inverse of its correlation matrix; float64."""

    means: Float[Array, "max_classes width"]
    inverse: Float[Array, "max_classes width width"]


def with_rows(
    moments: Moments, x: Float[Array, "rows width"], labels: Int[Array, " rows"], weights: Float[Array, " rows"]
) -> Moments:
    """With more rows, one after the other: no array of rows x width x width is made."""

    def one(second: Array, row: tuple[Array, Array, Array]) -> tuple[Array, None]:
        vector, label, weight = row
        return second.at[label].add(weight * vector[:, None] * vector[None]), None

    belongs = kept_rows.members(labels, weights, len(moments.count), jnp.float64)
    second, _ = jax.lax.scan(one, moments.second, (x, labels, belongs.sum(1)))
    return Moments(second, moments.total + product(belongs.T, x), moments.count + belongs.sum(0))


def of_moments(moments: Moments, gamma1: float, gamma2: float) -> Precisions:
    """What `of_rows` says, by a matrix a class."""
    d = moments.total.shape[1]

    def one(of: Moments) -> tuple[Array, Array]:
        mean = of.total / jnp.maximum(of.count, 1.0)
        covariance = of.second - of.count * mean[:, None] * mean[None]
        covariance = jnp.where(of.count > 1, covariance / jnp.maximum(of.count - 1.0, 1.0), 0.0)
        trace = jnp.trace(covariance)
        first = jnp.where(trace / d > 1e-12, trace / d, 1.0)
        c = gamma2 * (covariance.sum() - trace) / max(d * (d - 1), 1)
        floor = jnp.maximum(gamma1 * first - c, 1e-12 * first)
        shrunk = covariance + floor * jnp.eye(d, dtype=jnp.float64) + c
        deviations = jnp.sqrt(jnp.diagonal(shrunk))
        return mean, jnp.linalg.inv(shrunk / (deviations[:, None] * deviations[None]))

    return Precisions(*jax.lax.map(one, moments))


def distances_by_moments(of: Precisions, x: Float[Array, "rows width"]) -> Float[Array, "rows classes"]:
    """What `distances_by_rows` says."""

    def one(of: Precisions) -> Array:
        away = x - of.means[None]
        return (product(away, of.inverse) * away).sum(1)

    return jax.lax.map(one, of).T
