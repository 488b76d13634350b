"""Streaming linear discriminant analysis: running means and one covariance that all classes share."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental.kept_rows import members
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "lda"


class Moments(NamedTuple):
    """Of all shots `X^T X`, of each class the sum of its rows and their number; float64."""

    second: Float[Array, "width width"]
    total: Float[Array, "max_classes width"]
    count: Float[Array, " max_classes"]


class Discriminant(NamedTuple):
    """`x @ kernel + bias`, and the share of the shrinkage in force."""

    kernel: Float[Array, "width max_classes"]
    bias: Float[Array, " max_classes"]
    share: Float[Array, ""]


def slda(classifier: Classifier | None, *, shrinkage: str = "oas") -> Learner:
    """Logits are `x S^-1 m_k - m_k S^-1 m_k / 2`, m_k the mean of class k.

    S is the covariance of the shots around their classes' means, divided by their number, and shrunk:
    `(1 - r) C + r tr(C)/d I`. All in float64, from running sums.

    Args:
      classifier: not needed.
      shrinkage: r, or `oas`: the oracle approximating shrinkage of Chen et al. 2010 ("Shrinkage algorithms for MMSE
        covariance estimation", equation 23), shots less classes as the number of observations.

    Raises:
      BadInput: a shrinkage that is neither `oas` nor above 0 and at most 1.

    Source: Hayes and Kanan 2020, "Lifelong machine learning with deep streaming linear discriminant analysis", arXiv
    1909.01520, whose covariance is shrunk to I by 1e-4: here to I times the mean variance, which no scale changes.
    """
    fixed = _fixed(shrinkage)

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        d, classes = info.width, info.max_classes
        total = jnp.zeros((classes, d), jnp.float64)
        memory = Moments(jnp.zeros((d, d), jnp.float64), total, jnp.zeros(classes, jnp.float64))
        head = Discriminant(total.T, jnp.zeros(classes, jnp.float64), jnp.zeros((), jnp.float64))
        return LearnerState((), head, memory, jnp.zeros(classes, jnp.float32), jnp.int32(0))

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        rows = jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0).astype(jnp.float64)
        belongs = members(shots.labels, shots.weights, len(state.seen), jnp.float64)
        memory = Moments(
            state.memory.second + _product(rows.T, rows),
            state.memory.total + _product(belongs.T, rows),
            state.memory.count + belongs.sum(0),
        )
        state = _of(memory, state._replace(session=state.session + 1), fixed)
        return state, {"shrinkage": state.heads.share}

    def predict(state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        logits = _product(jnp.asarray(inputs, jnp.float64), state.heads.kernel) + state.heads.bias[None]
        return {HEAD: jnp.where(state.seen[None] > 0, logits, -jnp.inf)}

    def merge(state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        mine, theirs = state.memory, other.memory
        total, count = mine.total.at[labels].add(theirs.total), mine.count.at[labels].add(theirs.count)
        state = state._replace(session=state.session + other.session)
        return _of(Moments(mine.second + theirs.second, total, count), state, fixed)

    return Learner(
        init, learn, predict, (HEAD,), "embedding", _bytes, None, None, None, merge, _held_out, _as_head, double=True
    )


def _fixed(shrinkage: str) -> float | None:
    if shrinkage == "oas":
        return None
    try:
        share = float(shrinkage)
    except ValueError:
        raise BadInput(f"learner slda: option shrinkage is {shrinkage!r}, expected oas or a number above 0") from None
    check_number("learner slda: option shrinkage", share, 0.0, 1.0, above=True)
    return share


def _within(memory: Moments) -> tuple[Array, Array, Array]:
    """The scatter around the classes' means, those means, and the number of rows (at least 1)."""
    means = memory.total / jnp.maximum(memory.count, 1.0)[:, None]
    scatter = memory.second - _product((memory.count[:, None] * means).T, means)
    return scatter, means, jnp.maximum(memory.count.sum(), 1.0)


def _oas(covariance: Array, observations: Array) -> Array:
    """The share of Chen et al.: 1 where nothing is known of the covariance."""
    d = len(covariance)
    trace, squares = jnp.trace(covariance), jnp.square(covariance).sum()
    above = (1.0 - 2.0 / d) * squares + trace**2
    below = (observations + 1.0 - 2.0 / d) * (squares - trace**2 / d)
    return jnp.where(above < below, above / jnp.where(below > 0, below, 1.0), 1.0)


def _of(memory: Moments, state: LearnerState, fixed: float | None) -> LearnerState:
    """The state whose discriminant is that of its moments."""
    scatter, means, rows = _within(memory)
    covariance = scatter / rows
    known = (memory.count > 0).sum()
    share = _oas(covariance, jnp.maximum(rows - known, 1.0)) if fixed is None else jnp.asarray(fixed, jnp.float64)
    d = len(covariance)
    variance = _positive(jnp.trace(covariance) / d)
    shrunk = (1.0 - share) * covariance + share * variance * jnp.eye(d, dtype=jnp.float64)
    kernel = jnp.linalg.solve(shrunk, means.T)
    head = Discriminant(kernel, -0.5 * (means.T * kernel).sum(0), share)
    return state._replace(heads=head, memory=memory, seen=(memory.count > 0).astype(jnp.float32))


def _positive(variance: Array) -> Array:
    """A variance, or 1 where a shot a class gives none (rounding of the sums counts as none)."""
    return jnp.where(variance > 1e-12, variance, 1.0)


def _held_out(state: LearnerState, shots: Shots) -> dict[str, Array]:
    """Without row x of class k: `S - n/(n-1) (x - m_k)(x - m_k)^T` around `(n m_k - x)/(n-1)`, by Sherman and Morrison
    in the eigenvectors of S, the same share of shrinkage.
    """
    scatter, means, rows = _within(state.memory)
    values, vectors = jnp.linalg.eigh(scatter)
    x, labels = jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0).astype(jnp.float64), shots.labels
    count, share, d = state.memory.count[labels], state.heads.share, len(scatter)
    left = jnp.maximum(count - 1.0, 1.0)
    away, own = x - means[labels], (count[:, None] * means[labels] - x) / left[:, None]
    factor = jnp.where(count > 1, count / left, 0.0)
    total = jnp.maximum(rows - 1.0, 1.0)
    variance = _positive((jnp.trace(scatter) - factor * jnp.square(away).sum(1)) / (total * d))
    shrunk = (1.0 - share) / total * jnp.maximum(values, 0.0)[None] + (share * variance)[:, None]
    tx, ta, to, tm = (_product(a, vectors) for a in (x, away, own, means))
    taken = (1.0 - share) / total * factor
    corrected = taken / (1.0 - taken * (jnp.square(ta) / shrunk).sum(1))
    ax = (ta * tx / shrunk).sum(1)
    am, ao = _product(ta / shrunk, tm.T), (ta * to / shrunk).sum(1)
    # m S^-1 x - m S^-1 m / 2, for the means of all classes and for the row's own without it
    others = _product(tx / shrunk, tm.T) + (corrected * ax)[:, None] * am
    others -= 0.5 * (_product(1.0 / shrunk, jnp.square(tm).T) + corrected[:, None] * jnp.square(am))
    mine = (tx * to / shrunk).sum(1) + corrected * ax * ao
    mine -= 0.5 * ((jnp.square(to) / shrunk).sum(1) + corrected * jnp.square(ao))
    belongs = labels[:, None] == jnp.arange(len(means))[None]
    known = state.memory.count[None] - belongs > 0
    return {HEAD: jnp.where(known, jnp.where(belongs, mine[:, None], others), -jnp.inf)}


def _bytes(state: LearnerState) -> int:
    """The upper half of `X^T X`, and sums and number of each class."""
    d = state.memory.total.shape[1]
    return 8 * (d * (d + 1) // 2 + int(np.asarray(state.seen).sum()) * (d + 1))


def _as_head(state: LearnerState, head: str) -> LearnedHead:
    params = {name: jnp.asarray(getattr(state.heads, name), jnp.float32) for name in ("kernel", "bias")}
    return LearnedHead("prototypes", {"unit": False, "scale": 1.0}, params)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
