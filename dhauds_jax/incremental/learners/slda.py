"""Streaming linear discriminant analysis: means, and one covariance that all classes share."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.incremental import kept_rows
from dhauds_jax.incremental.kept_rows import KeptRows, members
from dhauds_jax.incremental.products import product
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "lda"


class Moments(NamedTuple):
    """Of all shots `X^T X`, of each class the sum of its rows and their number; float64."""

    second: Float[Array, "width width"]
    total: Float[Array, "max_classes width"]
    count: Float[Array, " max_classes"]


class Within(NamedTuple):
    """What the discriminant is made of, in orthonormal axes of a space that has all shots; float64.

    Attributes:
      scatter: (size, size), of the shots around their classes' means.
      means: (max_classes, size), of the classes.
      count: (max_classes,), shots of each.
      axes: (width, size), the axes as columns; None: the embedding's own.
    """

    scatter: Float[Array, "size size"]
    means: Float[Array, "max_classes size"]
    count: Float[Array, " max_classes"]
    axes: Float[Array, "width size"] | None


class Discriminant(NamedTuple):
    """`x @ kernel + bias`, and the share of the shrinkage in force."""

    kernel: Float[Array, "width max_classes"]
    bias: Float[Array, " max_classes"]
    share: Float[Array, ""]


def slda(classifier: Classifier | None, *, shrinkage: str = "oas") -> Learner:
    """Logits are `x S^-1 m_k - m_k S^-1 m_k / 2`, m_k the mean of class k.

    S is the covariance of the shots around their classes' means, divided by their number, and shrunk:
    `(1 - r) C + r tr(C)/d I`. While sessions x clips are fewer than the embedding is wide, the clips are kept and S is
    solved in the space that they span, outside of which it is a multiple of I; else from running sums. Both are the
    same discriminant, in float64.

    Args:
      classifier: not needed.
      shrinkage: r, or `oas`: the oracle approximating shrinkage of Chen et al. 2010 ("Shrinkage algorithms for MMSE
        covariance estimation", equation 23), shots less classes as the number of observations.

    Raises:
      BadInput: a shrinkage that is neither `oas` nor above 0 and at most 1.

    Source: Hayes and Kanan 2020, "Lifelong machine learning with deep streaming linear discriminant analysis", arXiv
    1909.01520, whose covariance is shrunk to I by 1e-4: here to I times the mean variance, which no scale changes.
    """
    of = _Slda(_fixed(shrinkage))
    return Learner(
        of.init,
        of.learn,
        of.predict,
        (HEAD,),
        "embedding",
        bytes_held,
        forget=of.forget,
        merge=of.merge,
        held_out=held_out,
        as_head=as_head,
        double=True,
    )


def bytes_held(state: LearnerState) -> int:
    """The clips' embeddings, or the upper half of `X^T X`, and sums and number of each class."""
    if isinstance(state.memory, KeptRows):
        return kept_rows.nbytes(state.memory)
    d = state.memory.total.shape[1]
    return 8 * (d * (d + 1) // 2 + int(np.asarray(state.seen).sum()) * (d + 1))


def as_head(state: LearnerState, head: str) -> LearnedHead:
    """A linear layer."""
    params = {name: jnp.asarray(getattr(state.heads, name), jnp.float32) for name in ("kernel", "bias")}
    return LearnedHead("prototypes", {"unit": False, "scale": 1.0}, params)


class _Slda(NamedTuple):
    """The functions of `slda`; `fixed` is the shrinkage, None where it is estimated."""

    fixed: float | None

    def init(self, variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        d, classes, room = info.width, info.max_classes, info.max_rows * info.max_sessions
        memory: Any = kept_rows.empty(info, room) if room < d else _nothing(d, classes)
        kernel, bias = jnp.zeros((d, classes), jnp.float64), jnp.zeros(classes, jnp.float64)
        head = Discriminant(kernel, bias, jnp.zeros((), jnp.float64))
        return LearnerState((), head, memory, jnp.zeros(classes, jnp.float32), jnp.int32(0))

    def learn(self, state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        if isinstance(state.memory, KeptRows):
            memory: Any = kept_rows.added(state.memory, shots)
        else:
            rows = jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0).astype(jnp.float64)
            belongs = members(shots.labels, shots.weights, len(state.seen), jnp.float64)
            memory = Moments(
                state.memory.second + product(rows.T, rows),
                state.memory.total + product(belongs.T, rows),
                state.memory.count + belongs.sum(0),
            )
        state = self._made(state._replace(memory=memory, session=state.session + 1))
        return state, {"shrinkage": state.heads.share}

    def predict(self, state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        logits = product(jnp.asarray(inputs, jnp.float64), state.heads.kernel) + state.heads.bias[None]
        return {HEAD: jnp.where(state.seen[None] > 0, logits, -jnp.inf)}

    def forget(self, state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        if not isinstance(state.memory, KeptRows):
            raise BadInput(
                "learner slda: the state keeps sums of clips and no clip, since there was room for as many as its "
                "embedding is wide, expected a state that keeps its clips: learn anew without the class"
            )
        return self._made(state._replace(memory=kept_rows.without(state.memory, which)))

    def merge(self, state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        mine, theirs = state.memory, other.memory
        if isinstance(mine, KeptRows):
            memory: Any = kept_rows.joined(mine, theirs, labels)
        else:
            total, count = mine.total.at[labels].add(theirs.total), mine.count.at[labels].add(theirs.count)
            memory = Moments(mine.second + theirs.second, total, count)
        return self._made(state._replace(memory=memory, session=state.session + other.session))

    def _made(self, state: LearnerState) -> LearnerState:
        """The state whose discriminant is that of its memory."""
        of, d = _within(state.memory, len(state.seen)), len(state.heads.kernel)
        rows, known = jnp.maximum(of.count.sum(), 1.0), (of.count > 0).sum()
        covariance = of.scatter / rows
        if self.fixed is None:
            share = _oas(covariance, d, jnp.maximum(rows - known, 1.0))
        else:
            share = jnp.asarray(self.fixed, jnp.float64)
        variance = _positive(jnp.trace(covariance) / d)
        shrunk = (1.0 - share) * covariance + share * variance * jnp.eye(len(covariance), dtype=jnp.float64)
        kernel = jnp.linalg.solve(shrunk, of.means.T)
        bias = -0.5 * (of.means.T * kernel).sum(0)
        kernel = kernel if of.axes is None else product(of.axes, kernel)
        return state._replace(heads=Discriminant(kernel, bias, share), seen=(of.count > 0).astype(jnp.float32))


def _fixed(shrinkage: str) -> float | None:
    if shrinkage == "oas":
        return None
    try:
        share = float(shrinkage)
    except ValueError:
        raise BadInput(f"learner slda: option shrinkage is {shrinkage!r}, expected oas or a number above 0") from None
    check_number("learner slda: option shrinkage", share, 0.0, 1.0, above=True)
    return share


def _nothing(d: int, classes: int) -> Moments:
    """The sums of no shots."""
    sizes: Any = ((d, d), (classes, d), classes)
    return Moments(*(jnp.zeros(size, jnp.float64) for size in sizes))


def _within(memory: Moments | KeptRows, classes: int) -> Within:
    """Of sums in the embedding's axes, of rows in the principal ones of the space they span."""
    if isinstance(memory, KeptRows):
        axes, turned = _spanned(memory.inputs.astype(jnp.float64))
        belongs = members(memory.labels, memory.weights, classes, jnp.float64)
        count = belongs.sum(0)
        means = product(belongs.T, turned) / jnp.maximum(count, 1.0)[:, None]
        away = turned - product(belongs, means)
        return Within(product(away.T, away), means, count, axes)
    means = memory.total / jnp.maximum(memory.count, 1.0)[:, None]
    scatter = memory.second - product((memory.count[:, None] * means).T, means)
    return Within(scatter, means, memory.count, None)


def _spanned(x: Float[Array, "rows width"]) -> tuple[Float[Array, "width rows"], Float[Array, "rows rows"]]:
    """Orthonormal axes of the space of the rows, and the rows in them, from the spectrum of `X X^T`.

    That is a tenth of the work of a QR decomposition; axes of rounding alone are zeros.
    """
    values, vectors = jnp.linalg.eigh(product(x, x.T))
    there = values > 8 * len(x) * jnp.finfo(x.dtype).eps * values[-1]
    length = jnp.sqrt(jnp.where(there, values, 1.0))[None]
    vectors = jnp.where(there[None], vectors, 0.0)
    return product(x.T, vectors / length), vectors * length


def _oas(covariance: Array, d: int, observations: Array) -> Array:
    """The share of Chen et al. in d dimensions: 1 where nothing is known of the covariance."""
    trace, squares = jnp.trace(covariance), jnp.square(covariance).sum()
    above = (1.0 - 2.0 / d) * squares + trace**2
    below = (observations + 1.0 - 2.0 / d) * (squares - trace**2 / d)
    return jnp.where(above < below, above / jnp.where(below > 0, below, 1.0), 1.0)


def _positive(variance: Array) -> Array:
    """A variance, or 1 where a shot a class gives none (rounding of the sums counts as none)."""
    return jnp.where(variance > 1e-12, variance, 1.0)


def held_out(state: LearnerState, shots: Shots) -> dict[str, Array]:
    """Without row x of class k: `S - n/(n-1) (x - m_k)(x - m_k)^T` around `(n m_k - x)/(n-1)`, by Sherman and Morrison
    in the eigenvectors of S, the same share of shrinkage.
    """
    scatter, means, counts, axes = _within(state.memory, len(state.seen))
    values, vectors = jnp.linalg.eigh(scatter)
    x, labels = jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0).astype(jnp.float64), shots.labels
    x = x if axes is None else product(x, axes)  # all of it, since a row that was learnt is in their space
    count, share, d = counts[labels], state.heads.share, len(state.heads.kernel)
    left = jnp.maximum(count - 1.0, 1.0)
    away, own = x - means[labels], (count[:, None] * means[labels] - x) / left[:, None]
    factor = jnp.where(count > 1, count / left, 0.0)
    total = jnp.maximum(counts.sum() - 1.0, 1.0)
    variance = _positive((jnp.trace(scatter) - factor * jnp.square(away).sum(1)) / (total * d))
    shrunk = (1.0 - share) / total * jnp.maximum(values, 0.0)[None] + (share * variance)[:, None]
    tx, ta, to, tm = (product(a, vectors) for a in (x, away, own, means))
    taken = (1.0 - share) / total * factor
    corrected = taken / (1.0 - taken * (jnp.square(ta) / shrunk).sum(1))
    ax = (ta * tx / shrunk).sum(1)
    am, ao = product(ta / shrunk, tm.T), (ta * to / shrunk).sum(1)
    # m S^-1 x - m S^-1 m / 2, for the means of all classes and for the row's own without it
    others = product(tx / shrunk, tm.T) + (corrected * ax)[:, None] * am
    others -= 0.5 * (product(1.0 / shrunk, jnp.square(tm).T) + corrected[:, None] * jnp.square(am))
    mine = (tx * to / shrunk).sum(1) + corrected * ax * ao
    mine -= 0.5 * ((jnp.square(to) / shrunk).sum(1) + corrected * jnp.square(ao))
    belongs = labels[:, None] == jnp.arange(len(means))[None]
    known = counts[None] - belongs > 0
    return {HEAD: jnp.where(known, jnp.where(belongs, mine[:, None], others), -jnp.inf)}
