"""Ridge regression of class indicators, `W = (F^T F + lambda I)^-1 F^T Y`, one eigendecomposition for every lambda.

The dual works on the rows, `W = F^T (F F^T + lambda I)^-1 Y`, the primal on `F^T F`: the same W, and each is small
where the other is large. Leaving row i out needs no second fit: its residual is `(y_i - f_i W) / (1 - h_i)` with
h = diag(F (F^T F + lambda I)^-1 F^T), which is `a_i / c_ii` in the dual, a = (F F^T + lambda I)^-1 Y and c its inverse
(Allen's PRESS; Rifkin and Lippert 2007, "Notes on regularized least squares").

Everything is computed in the type that comes in: float64 for what is compared with anything, since rows are few and
lambdas small.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

LAMBDAS = tuple(10.0**power for power in range(-8, 9))
"""The grid of the published methods (RanPAC, arXiv 2307.02251; MAR)."""


class Spectrum(NamedTuple):
    """Of a symmetric matrix without negative eigenvalues."""

    values: Float[Array, " n"]
    vectors: Float[Array, "n n"]


def spectrum(matrix: Float[Array, "n n"]) -> Spectrum:
    """Its eigenvalues, rounding below 0 taken off, and eigenvectors (columns)."""
    values, vectors = jnp.linalg.eigh(matrix)
    return Spectrum(jnp.maximum(values, 0.0), vectors)


def dual_coefficients(
    found: Spectrum, targets: Float[Array, "rows classes"], penalty: Float[Array, ""]
) -> tuple[Float[Array, "rows classes"], Float[Array, " rows"]]:
    """`(F F^T + lambda I)^-1 Y` and the diagonal of that inverse, from the spectrum of `F F^T`."""
    inverse = 1.0 / (found.values + penalty)
    turned = jnp.matmul(found.vectors.T, targets, precision="highest")
    coefficients = jnp.matmul(found.vectors, inverse[:, None] * turned, precision="highest")
    return coefficients, (jnp.square(found.vectors) * inverse[None]).sum(1)


def dual_errors(
    found: Spectrum, targets: Float[Array, "rows classes"], weights: Float[Array, " rows"]
) -> Float[Array, " lambdas"]:
    """For every lambda of the grid the squared leave-one-out residuals' sum over rows of weight 1."""

    turned = jnp.matmul(found.vectors.T, targets, precision="highest")
    squares = jnp.square(found.vectors)

    def error(penalty: Float[Array, ""]) -> Float[Array, ""]:
        inverse = 1.0 / (found.values + penalty)
        coefficients = jnp.matmul(found.vectors, inverse[:, None] * turned, precision="highest")
        left_out = jnp.square(coefficients).sum(1) / jnp.square((squares * inverse[None]).sum(1))
        return (left_out * weights).sum()

    return jax.lax.map(error, grid(targets.dtype))


def primal_weights(
    found: Spectrum, products: Float[Array, "width classes"], penalty: Float[Array, ""]
) -> Float[Array, "width classes"]:
    """W from the spectrum of `F^T F` and `products = F^T Y`."""
    turned = jnp.matmul(found.vectors.T, products, precision="highest")
    return jnp.matmul(found.vectors, turned / (found.values + penalty)[:, None], precision="highest")


def leverages(
    found: Spectrum, features: Float[Array, "rows width"], penalty: Float[Array, ""]
) -> Float[Array, " rows"]:
    """`h_i = f_i (F^T F + lambda I)^-1 f_i` of rows that F has, from the spectrum of `F^T F`."""
    turned = jnp.matmul(features, found.vectors, precision="highest")
    return (jnp.square(turned) / (found.values + penalty)[None]).sum(1)


def primal_errors(
    found: Spectrum,
    products: Float[Array, "width classes"],
    features: Float[Array, "rows width"],
    targets: Float[Array, "rows classes"],
    weights: Float[Array, " rows"],
) -> Float[Array, " lambdas"]:
    """As `dual_errors`, of the rows that are given: some of those that F has."""

    rows = jnp.matmul(features, found.vectors, precision="highest")
    turned = jnp.matmul(found.vectors.T, products, precision="highest")

    def error(penalty: Float[Array, ""]) -> Float[Array, ""]:
        inverse = 1.0 / (found.values + penalty)
        residuals = targets - jnp.matmul(rows, inverse[:, None] * turned, precision="highest")
        share = 1.0 - (jnp.square(rows) * inverse[None]).sum(1)
        return (jnp.square(residuals).sum(1) / jnp.square(share) * weights).sum()

    return jax.lax.map(error, grid(targets.dtype))


def last_fifth_errors(
    features: Float[Array, "rows width"], targets: Float[Array, "rows classes"], weights: Float[Array, " rows"]
) -> Float[Array, " lambdas"]:
    """For every lambda the mean squared error on the last 20 % of the rows of a fit to those before.

    The rows stand in a random order, as the published code has them: sorted by class, the last fifth would be of
    classes that were not fitted. The primal system is solved for each lambda by itself, as published. In float32 the
    answers for small lambdas are rounding (their errors are large), so the lower third of the grid is never chosen.

    Source: RanPAC's and MAR's choice (arXiv 2307.02251, 2506.18406; MAR, models/ast_finetune.py:104).
    """
    real = (weights > 0).astype(jnp.int32)
    fitted = (real * (jnp.cumsum(real) <= (4 * real.sum()) // 5)).astype(features.dtype)
    judged = real.astype(features.dtype) - fitted
    matrix = jnp.matmul((fitted[:, None] * features).T, features, precision="highest")
    products = jnp.matmul((fitted[:, None] * features).T, targets, precision="highest")

    def error(penalty: Float[Array, ""]) -> Float[Array, ""]:
        solved = solved_primal(matrix, products, penalty)
        residuals = jnp.matmul(features, solved, precision="highest") - targets
        return (jnp.square(residuals).mean(1) * judged).sum() / jnp.maximum(judged.sum(), 1)

    return jax.lax.map(error, grid(targets.dtype))


def solved_primal(
    matrix: Float[Array, "width width"], products: Float[Array, "width classes"], penalty: Float[Array, ""]
) -> Float[Array, "width classes"]:
    """W by one general solve, for a single lambda."""
    return jnp.linalg.solve(matrix + penalty * jnp.eye(len(matrix), dtype=matrix.dtype), products)


def grid(dtype: jnp.dtype) -> Float[Array, " lambdas"]:
    """The lambdas as an array."""
    return jnp.asarray(np.asarray(LAMBDAS), dtype)


def best(errors: Float[Array, " lambdas"]) -> tuple[Float[Array, ""], Bool[Array, ""]]:
    """The lambda with the least finite error, the smallest of several, and whether it stands at the grid's end."""
    place = jnp.argmin(jnp.where(jnp.isfinite(errors), errors, jnp.inf))
    return grid(errors.dtype)[place], (place == 0) | (place == len(LAMBDAS) - 1)
