"""A class is the mean of its shots, and the nearest mean by angle wins: nothing is trained."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "prototype"


class Sums(NamedTuple):
    """Of each class the sum of its shots' unit embeddings, and their number."""

    total: Float[Array, "max_classes width"]
    count: Float[Array, " max_classes"]


def prototype(classifier: Classifier | None, *, scale: float = 16.0, unit: bool = True) -> Learner:
    """Logits are `scale cos(x, w_k)`, w_k the mean of class k's shots.

    Args:
      classifier: not needed.
      scale: what cosines are multiplied by.
      unit: whether each shot is brought to length 1 before the mean.

    Source: SimpleCIL (Zhou et al., arXiv 2303.07338); scale 16 as EDE and MAR.
    """

    def rows(inputs: Array) -> Array:
        return unit_rows(inputs) if unit else inputs

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        memory = Sums(jnp.zeros((info.max_classes, info.width)), jnp.zeros(info.max_classes))
        return LearnerState((), (), memory, jnp.zeros(info.max_classes), jnp.int32(0))

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        belongs = jax.nn.one_hot(shots.labels, len(state.seen)) * shots.weights[:, None]
        kept = jnp.where(shots.weights[:, None] > 0, rows(shots.inputs), 0.0)
        total = state.memory.total + jnp.matmul(belongs.T, kept, precision="highest")
        memory = Sums(total, state.memory.count + belongs.sum(0))
        seen = (memory.count > 0).astype(jnp.float32)
        return state._replace(memory=memory, seen=seen, session=state.session + 1), {}

    def predict(state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        logits = scale * jnp.matmul(unit_rows(inputs), unit_rows(state.memory.total).T, precision="highest")
        return {HEAD: jnp.where(state.seen[None] > 0, logits, -jnp.inf)}

    def held_out(state: LearnerState, shots: Shots) -> dict[str, Array]:
        own = unit_rows(state.memory.total[shots.labels] - rows(shots.inputs))
        x = unit_rows(shots.inputs)
        logits = jnp.matmul(x, unit_rows(state.memory.total).T, precision="highest")
        mine = shots.labels[:, None] == jnp.arange(len(state.seen))[None]
        logits = scale * jnp.where(mine, (x * own).sum(-1, keepdims=True), logits)
        known = state.memory.count[None] - mine > 0  # a class is not where the shot is its only one
        return {HEAD: jnp.where(known, logits, -jnp.inf)}

    def forget(state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        stays = jnp.arange(len(state.seen)) != which
        memory = Sums(state.memory.total * stays[:, None], state.memory.count * stays)
        return state._replace(memory=memory, seen=state.seen * stays)

    def merge(state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        total = state.memory.total.at[labels].add(other.memory.total * other.seen[:, None])
        count = state.memory.count.at[labels].add(other.memory.count * other.seen)
        session = state.session + other.session
        return state._replace(memory=Sums(total, count), seen=(count > 0).astype(jnp.float32), session=session)

    def bytes_held(state: LearnerState) -> int:
        return int(state.seen.sum()) * (state.memory.total.shape[1] + 1) * 4

    def as_head(state: LearnerState, head: str) -> LearnedHead:
        kernel = unit_rows(state.memory.total).T
        return LearnedHead(
            "prototypes", {"unit": True, "scale": scale}, {"kernel": kernel, "bias": jnp.zeros(kernel.shape[1])}
        )

    return Learner(init, learn, predict, (HEAD,), "embedding", bytes_held, None, None, forget, merge, held_out, as_head)
