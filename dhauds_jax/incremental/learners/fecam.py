"""Each class is a Gaussian of its own: the nearest by Mahalanobis distance, covariances shrunk, made correlations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import check_number
from dhauds_jax.incremental import kept_rows
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.types import Classifier, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "mahalanobis"


class Gaussians(NamedTuple):
    """Of each class what its distance is made of; float64.

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


def fecam(
    classifier: Classifier | None, *, gamma1: float = 1.0, gamma2: float = 1.0, tukey: float = 0.0, unit: bool = True
) -> Learner:
    """Logits are `-(x - m_k)^T R_k^-1 (x - m_k)`, R_k the correlation matrix of class k's shrunk covariance.

    The covariance is shrunk to `C + gamma1 V1 I + gamma2 V2 (1 1^T - I)`, V1 and V2 the means of its diagonal and of
    its other entries. A class of one shot has no covariance and R_k = I. The shots are kept, and no matrix of width x
    width is made for any class: everything is computed on the rows, in float64. Quadratic in x, so it is no last layer.

    Args:
      classifier: not needed.
      gamma1: share of the mean variance that is added to every variance.
      gamma2: share of the mean covariance that is added to every covariance.
      tukey: the power that embeddings are raised to first, negative ones being 0: 0.5 for those after a ReLU; 0: none.
      unit: whether embeddings are brought to length 1 (after the power).

    Raises:
      BadInput: negative shares, gamma1 0, gamma2 above gamma1 (the covariance would not be positive).

    Source: Goswami et al. 2023, "FeCAM: exploiting the heterogeneity of class distributions in exemplar-free continual
    learning", arXiv 2309.14062, equations 5 to 9.
    """
    check_number("learner fecam: option gamma1", gamma1, 0.0, above=True)
    check_number("learner fecam: option gamma2", gamma2, 0.0, gamma1)
    check_number("learner fecam: option tukey", tukey, 0.0)

    def rows(inputs: Array) -> Array:
        x = jnp.asarray(inputs, jnp.float64)
        x = jnp.maximum(x, 0.0) ** tukey if tukey else x
        return unit_rows(x) if unit else x

    def made(state: LearnerState) -> LearnerState:
        kept = state.memory
        heads = _gaussians(rows(kept.inputs), kept, len(state.seen), gamma1, gamma2)
        return state._replace(heads=heads, seen=(kept_rows.counts(kept, len(state.seen)) > 0).astype(jnp.float32))

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        memory = kept_rows.empty(info, info.max_rows * info.max_sessions)
        state = LearnerState((), (), memory, jnp.zeros(info.max_classes, jnp.float32), jnp.int32(0))
        return jax.jit(made)(state)

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        memory = kept_rows.added(state.memory, shots)
        return made(state._replace(memory=memory, session=state.session + 1)), {}

    def predict(state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        found = _distances(state.heads, state.memory, rows(inputs))
        return {HEAD: jnp.where(state.seen[None] > 0, -found, -jnp.inf)}

    def held_out(state: LearnerState, shots: Shots) -> dict[str, Array]:
        kept, given = rows(state.memory.inputs), jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0)

        def own(row: Array, label: Array) -> Array:
            """The distance to the row's own class without it."""
            place = kept_rows.nearest(state.memory, row, label)
            one = state.memory._replace(
                weights=(state.memory.weights * (state.memory.labels == label)).at[place].set(0.0),
                labels=jnp.zeros_like(state.memory.labels),
            )
            alone = _gaussians(kept, one, 1, gamma1, gamma2)
            return _distances(alone, one, rows(row[None]))[0, 0]

        mine = jax.lax.map(lambda pair: own(*pair), (given, shots.labels))
        belongs = shots.labels[:, None] == jnp.arange(len(state.seen))[None]
        found = jnp.where(belongs, mine[:, None], _distances(state.heads, state.memory, rows(given)))
        known = kept_rows.counts(state.memory, len(state.seen))[None] - belongs > 0
        return {HEAD: jnp.where(known, -found, -jnp.inf)}

    def forget(state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        return made(state._replace(memory=kept_rows.without(state.memory, which)))

    def merge(state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        memory = kept_rows.joined(state.memory, other.memory, labels)
        return made(state._replace(memory=memory, session=state.session + other.session))

    def bytes_held(state: LearnerState) -> int:
        return kept_rows.nbytes(state.memory)

    return Learner(
        init,
        learn,
        predict,
        (HEAD,),
        "embedding",
        bytes_held,
        forget=forget,
        merge=merge,
        held_out=held_out,
        double=True,
    )


def _gaussians(x: Array, kept: KeptRows, classes: int, gamma1: float, gamma2: float) -> Gaussians:
    """All classes at once: between rows of different classes there is nothing, so one matrix of rows holds them all."""
    belongs = kept_rows.members(kept.labels, kept.weights, classes, jnp.float64)
    count, d = belongs.sum(0), x.shape[1]
    means = _product(belongs.T, x) / jnp.maximum(count, 1.0)[:, None]
    of = jnp.where(kept.weights > 0, kept.labels, 0)
    there = belongs.sum(1)
    away = (x - means[of]) * (there / jnp.sqrt(jnp.maximum(count - 1.0, 1.0))[of])[:, None]
    variances = _product(belongs.T, jnp.square(away))
    first = variances.mean(1)
    # the sum over all entries of a covariance is the sum of its rows' squared sums
    whole = _product(belongs.T, jnp.square(away.sum(1, keepdims=True)))[:, 0]
    second = (whole - variances.sum(1)) / max(d * (d - 1), 1)
    first = jnp.where(first > 1e-12, first, 1.0)  # a single shot: R = I
    c = gamma2 * second
    floor = jnp.maximum(gamma1 * first - c, 1e-12 * first)
    deviations = jnp.sqrt(variances + (floor + c)[:, None])
    same = (_product(belongs, belongs.T) > 0).astype(jnp.float64)
    b = floor[of]
    gram = same * _product(away, away.T) + jnp.diag(b)
    inner = same * jnp.linalg.inv(gram) / b[:, None]
    sums = away.sum(1)
    turned = d / floor - _product(belongs.T, (_product(inner, sums[:, None])[:, 0] * sums)[:, None])[:, 0]
    return Gaussians(means, deviations, floor, away, inner, c / (1.0 + c * turned))


def _distances(of: Gaussians, kept: KeptRows, x: Array) -> Array:
    """(rows, classes): `y^T S^-1 y`, y the row around the mean times the deviations."""
    classes = len(of.means)
    belongs = kept_rows.members(kept.labels, kept.weights, classes, jnp.float64)
    label = jnp.where(kept.weights > 0, kept.labels, 0)
    scaled = of.away * of.deviations[label]
    p = _product(x, scaled.T) - (scaled * of.means[label]).sum(1)[None]
    variances = jnp.square(of.deviations)
    squares = _product(jnp.square(x), variances.T) - 2.0 * _product(x, (variances * of.means).T)
    squares += (variances * jnp.square(of.means)).sum(1)[None]
    within = squares / of.floor[None] - _product(p * _product(p, of.inner), belongs)
    # 1^T (b I + U^T U)^-1 y, for the part that all entries share
    ones = _product(x, of.deviations.T) - (of.deviations * of.means).sum(1)[None]
    shared = ones / of.floor[None] - _product(p * _product(of.inner, of.away.sum(1)[:, None])[:, 0][None], belongs)
    return within - of.shift[None] * jnp.square(shared)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
