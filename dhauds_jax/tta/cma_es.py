"""CMA-ES as pure functions over one state, so that it runs inside a jitted step: no gradient, a dozen guesses a time.

Ours, for no library that is kept up runs inside `jit`; names and constants are those of Hansen's tutorial.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Search(NamedTuple):
    """Where the search stands.

    Attributes:
      mean: of the guesses.
      sigma: their overall step.
      covariance: their shape.
      path: the shape's evolution path.
      sigma_path: the step's.
      generation: updates so far.
    """

    mean: Float[Array, " dim"]
    sigma: Float[Array, ""]
    covariance: Float[Array, "dim dim"]
    path: Float[Array, " dim"]
    sigma_path: Float[Array, " dim"]
    generation: Int[Array, ""]


class _Constants(NamedTuple):
    weights: Array
    mass: float
    shape_rate: float
    step_rate: float
    rank_one: float
    rank_mu: float
    damping: float
    length: float


def usual_population(dim: int) -> int:
    """`4 + 3 ln(dim)`, rounded down."""
    return 4 + int(3 * math.log(dim))


def _constants(dim: int, population: int) -> _Constants:
    """The tutorial's table 1, with positive weights alone."""
    raw = [math.log((population + 1) / 2) - math.log(i) for i in range(1, population // 2 + 1)]
    weights = [w / sum(raw) for w in raw]
    mass = 1 / sum(w * w for w in weights)
    step_rate = (mass + 2) / (dim + mass + 5)
    rank_one = 2 / ((dim + 1.3) ** 2 + mass)
    return _Constants(
        weights=jnp.asarray(weights, jnp.float32),
        mass=mass,
        shape_rate=(4 + mass / dim) / (dim + 4 + 2 * mass / dim),
        step_rate=step_rate,
        rank_one=rank_one,
        rank_mu=min(1 - rank_one, 2 * (mass - 2 + 1 / mass) / ((dim + 2) ** 2 + mass)),
        damping=1 + 2 * max(0.0, math.sqrt((mass - 1) / (dim + 1)) - 1) + step_rate,
        length=math.sqrt(dim) * (1 - 1 / (4 * dim) + 1 / (21 * dim**2)),
    )


def begin(dim: int, sigma: float) -> Search:
    """Around 0, with steps of `sigma` in every direction."""
    zero = jnp.zeros(dim, jnp.float32)
    return Search(zero, jnp.float32(sigma), jnp.eye(dim, dtype=jnp.float32), zero, zero, jnp.int32(0))


def _axes(search: Search) -> tuple[Array, Array]:
    """The covariance's axes (columns) and the roots of its eigenvalues."""
    values, axes = jnp.linalg.eigh(search.covariance)
    return axes, jnp.sqrt(jnp.maximum(values, 1e-20))


def ask(search: Search, key: PRNGKeyArray, population: int) -> Float[Array, "{population} dim"]:
    """Guesses to be judged, `mean + sigma N(0, covariance)`."""
    axes, roots = _axes(search)
    normal = jax.random.normal(key, (population, len(search.mean)), search.mean.dtype)
    # The symmetric root: axes have no sign, and none of their own where eigenvalues are equal, as at the start.
    return search.mean[None] + search.sigma * normal @ ((axes * roots[None]) @ axes.T)


def tell(
    search: Search, guesses: Float[Array, "guesses dim"], fitness: Float[Array, " guesses"], population: int
) -> Search:
    """The search after its guesses were judged; the lower the fitness, the better, and what is no number is worst.

    Args:
      search: that `ask` was called with.
      guesses: those asked for, and others if one likes: their steps are shortened to what a guess may have.
      fitness: of each.
      population: how many were asked for; half of that is recombined.

    Source: Hansen 2016, arXiv 1604.00772, figure 6 (without negative weights); Hansen 2011, hal-00628254 (others).
    """
    dim, known = len(search.mean), _constants(len(search.mean), population)
    axes, roots = _axes(search)
    order = jnp.argsort(jnp.where(jnp.isfinite(fitness), fitness, jnp.inf))[: population // 2]
    steps = (guesses[order] - search.mean[None]) / search.sigma
    lengths = jnp.linalg.norm(steps @ axes / roots[None], axis=-1, keepdims=True)
    farthest = math.sqrt(dim) + 2 * dim / (dim + 2)
    steps = steps * jnp.minimum(1.0, farthest / jnp.maximum(lengths, 1e-20))
    step = known.weights @ steps

    whitened = axes @ ((step @ axes) / roots)
    rate = known.step_rate
    sigma_path = (1 - rate) * search.sigma_path + math.sqrt(rate * (2 - rate) * known.mass) * whitened
    generation = search.generation + 1
    grown = jnp.linalg.norm(sigma_path)
    stalled = grown / jnp.sqrt(1 - (1 - rate) ** (2.0 * generation)) >= (1.4 + 2 / (dim + 1)) * known.length
    moves = jnp.where(stalled, 0.0, 1.0)

    rate = known.shape_rate
    path = (1 - rate) * search.path + moves * math.sqrt(rate * (2 - rate) * known.mass) * step
    one = path[:, None] * path[None] + (1 - moves) * rate * (2 - rate) * search.covariance
    several = (known.weights[:, None] * steps).T @ steps
    kept = 1 - known.rank_one - known.rank_mu
    covariance = kept * search.covariance + known.rank_one * one + known.rank_mu * several
    sigma = search.sigma * jnp.exp((known.step_rate / known.damping) * (grown / known.length - 1))
    return Search(
        search.mean + search.sigma * step, sigma, (covariance + covariance.T) / 2, path, sigma_path, generation
    )
