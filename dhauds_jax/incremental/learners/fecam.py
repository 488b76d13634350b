"""Each class is a Gaussian of its own: the nearest by Mahalanobis distance, covariances shrunk, made correlations."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import check_number
from dhauds_jax.incremental import gaussians, kept_rows
from dhauds_jax.incremental.gaussians import Moments
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.types import Classifier, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "mahalanobis"


def fecam(
    classifier: Classifier | None, *, gamma1: float = 1.0, gamma2: float = 1.0, tukey: float = 0.0, unit: bool = True
) -> Learner:
    """Logits are `-(x - m_k)^T R_k^-1 (x - m_k)`, R_k the correlation matrix of class k's shrunk covariance.

    The covariance is shrunk to `C + gamma1 V1 I + gamma2 V2 (1 1^T - I)`, V1 and V2 the means of its diagonal and of
    its other entries. A class of one shot has no covariance and R_k = I. While that is smaller the shots are kept, no
    matrix of width x width is made for any class and everything is computed on the rows; else each class has its own.
    Both in float64 and of the same numbers. Quadratic in x, so it is no last layer.

    Args:
      classifier: not needed.
      gamma1: share of the mean variance that is added to every variance.
      gamma2: share of the mean covariance that is added to every covariance.
      tukey: the power that embeddings are raised to first, negative ones being 0: 0.5 for those after a ReLU; 0: none.
      unit: whether embeddings are brought to length 1 (after the power).

    Raises:
      BadInput: negative shares, gamma1 0, gamma2 above gamma1 (the covariance would not be positive).

    Source: Goswami et al. 2023, "FeCAM: exploiting the heterogeneity of class distributions in exemplar-free continual
    learning", arXiv 2309.14062.
    """
    check_number("learner fecam: option gamma1", gamma1, 0.0, above=True)
    check_number("learner fecam: option gamma2", gamma2, 0.0, gamma1)
    check_number("learner fecam: option tukey", tukey, 0.0)

    of = _Fecam(gamma1, gamma2, tukey, unit)
    return Learner(
        of.init,
        of.learn,
        of.predict,
        (HEAD,),
        "embedding",
        bytes_held,
        forget=of.forget,
        merge=of.merge,
        held_out=of.held_out,
        double=True,
    )


def bytes_held(state: LearnerState) -> int:
    """The clips' embeddings, or the upper half of `X^T X` of each class with its sum and number."""
    if isinstance(state.memory, KeptRows):
        return kept_rows.nbytes(state.memory)
    d = state.memory.total.shape[1]
    return 8 * int(np.asarray(state.seen).sum()) * (d * (d + 1) // 2 + d + 1)


class _Fecam(NamedTuple):
    """The functions of `fecam`."""

    gamma1: float
    gamma2: float
    tukey: float
    unit: bool

    def init(self, variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        room, d, classes = info.max_rows * info.max_sessions, info.width, info.max_classes
        memory: Any = None
        if room * (room + d) <= classes * d * d:
            memory = kept_rows.empty(info, room)
        else:
            total = jnp.zeros((classes, d), jnp.float64)
            memory = Moments(jnp.zeros((classes, d, d), jnp.float64), total, jnp.zeros(classes, jnp.float64))
        state = LearnerState((), (), memory, jnp.zeros(classes, jnp.float32), jnp.int32(0))
        return _begun(self, state)

    def learn(self, state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        state = state._replace(session=state.session + 1)
        if isinstance(state.memory, KeptRows):
            return self._made(state._replace(memory=kept_rows.added(state.memory, shots))), {}
        memory = gaussians.with_rows(state.memory, self._given(shots), shots.labels, shots.weights)
        return self._made(state._replace(memory=memory)), {}

    def predict(self, state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        return {HEAD: jnp.where(state.seen[None] > 0, -self._distances(state, self._rows(inputs)), -jnp.inf)}

    def held_out(self, state: LearnerState, shots: Shots) -> dict[str, Array]:
        given = kept_rows.as_kept(shots).inputs
        without = self._without_row if isinstance(state.memory, KeptRows) else self._without_moments
        mine = jax.lax.map(lambda pair: without(state, *pair), (given, shots.labels))
        belongs = shots.labels[:, None] == jnp.arange(len(state.seen))[None]
        found = jnp.where(belongs, mine[:, None], self._distances(state, self._rows(given)))
        return {HEAD: jnp.where(self._count(state)[None] - belongs > 0, -found, -jnp.inf)}

    def forget(self, state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        if isinstance(state.memory, KeptRows):
            return self._made(state._replace(memory=kept_rows.without(state.memory, which)))
        memory = jax.tree.map(lambda leaf: leaf.at[which].set(0.0), state.memory)
        return self._made(state._replace(memory=memory))

    def merge(self, state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        state = state._replace(session=state.session + other.session)
        if isinstance(state.memory, KeptRows):
            return self._made(state._replace(memory=kept_rows.joined(state.memory, other.memory, labels)))
        memory = jax.tree.map(lambda mine, theirs: mine.at[labels].add(theirs), state.memory, other.memory)
        return self._made(state._replace(memory=memory))

    def _rows(self, inputs: Array) -> Array:
        x = jnp.asarray(inputs, jnp.float64)
        x = jnp.maximum(x, 0.0) ** self.tukey if self.tukey else x
        return unit_rows(x) if self.unit else x

    def _given(self, shots: Shots) -> Array:
        return self._rows(kept_rows.as_kept(shots).inputs)

    def _count(self, state: LearnerState) -> Array:
        kept = isinstance(state.memory, KeptRows)
        return kept_rows.counts(state.memory, len(state.seen)) if kept else state.memory.count

    def _made(self, state: LearnerState) -> LearnerState:
        """The state whose Gaussians are those of its memory."""
        kept, shrinkage = state.memory, (self.gamma1, self.gamma2)
        if isinstance(kept, KeptRows):
            heads: Any = gaussians.of_rows(self._rows(kept.inputs), kept, len(state.seen), *shrinkage)
        else:
            heads = gaussians.of_moments(kept, *shrinkage)
        return state._replace(heads=heads, seen=(self._count(state) > 0).astype(jnp.float32))

    def _distances(self, state: LearnerState, x: Array) -> Array:
        if isinstance(state.memory, KeptRows):
            return gaussians.distances_by_rows(state.heads, state.memory, x)
        return gaussians.distances_by_moments(state.heads, x)

    def _without_row(self, state: LearnerState, row: Array, label: Array) -> Array:
        """The distance of a kept row to its own class without it."""
        kept, place = state.memory, kept_rows.nearest(state.memory, row, label)
        weights = (kept.weights * (kept.labels == label)).at[place].set(0.0)
        one = kept._replace(weights=weights, labels=jnp.zeros_like(kept.labels))
        alone = gaussians.of_rows(self._rows(kept.inputs), one, 1, self.gamma1, self.gamma2)
        return gaussians.distances_by_rows(alone, one, self._rows(row[None]))[0, 0]

    def _without_moments(self, state: LearnerState, row: Array, label: Array) -> Array:
        """The same, of a row whose class keeps moments."""
        x, memory = self._rows(row[None]), state.memory
        rest = Moments(memory.second[label] - x[0][:, None] * x, memory.total[label] - x[0], memory.count[label] - 1.0)
        alone = gaussians.of_moments(jax.tree.map(lambda leaf: leaf[None], rest), self.gamma1, self.gamma2)
        return gaussians.distances_by_moments(alone, x)[0, 0]


_begun = jax.jit(_Fecam._made, static_argnums=0)
"""The state without a clip: of all seeds one program, which a method's own `jit` would forget with the method."""
