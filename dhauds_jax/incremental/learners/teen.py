"""Prototypes of later sessions, which have few clips, are pulled to those of the first session that are like them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax.dsp.unit_rows import unit_rows
from dhauds_jax.errors import check_number
from dhauds_jax.incremental.kept_rows import members
from dhauds_jax.types import Classifier, LearnedHead, Learner, LearnerInfo, LearnerState, Shots, Variables

HEAD = "prototype"


class Sums(NamedTuple):
    """Of each class the sum of its embeddings, their number, and 1 where it came with the first session."""

    total: Float[Array, "max_classes width"]
    count: Float[Array, " max_classes"]
    base: Float[Array, " max_classes"]


def teen(
    classifier: Classifier | None, *, alpha: float = 0.5, temperature: float = 16.0, scale: float = 16.0
) -> Learner:
    """Logits are `scale cos(x, w_k)`; w_k is the class's unit mean c_k in session 0, later on
    `alpha c_k + (1 - alpha) sum_b softmax_b(temperature cos(c_b, c_k)) c_b` over the classes b of session 0.

    Args:
      classifier: not needed.
      alpha: share of a later class's own mean; 1 is SimpleCIL.
      temperature: what cosines with the classes of session 0 are multiplied by before their softmax.
      scale: what cosines are multiplied by to be logits.

    Raises:
      BadInput: a share out of 0 to 1.

    Source: Wang et al. 2023, "Few-shot class-incremental learning via training-free prototype calibration", arXiv
    2312.05229.
    """
    check_number("learner teen: option alpha", alpha, 0.0, 1.0)

    def calibrated(memory: Sums) -> Array:
        """(max_classes, width) unit prototypes, zeros where there is no class."""
        own = unit_rows(memory.total)
        base = (memory.base > 0) & (memory.count > 0)
        likeness = temperature * jnp.matmul(own, own.T, precision="highest")
        shares = jax.nn.softmax(jnp.where(base[None], likeness, -jnp.inf), -1)
        pulled = alpha * own + (1.0 - alpha) * jnp.matmul(jnp.nan_to_num(shares), own, precision="highest")
        stays = base | ~base.any()
        return jnp.where((memory.count > 0)[:, None], unit_rows(jnp.where(stays[:, None], own, pulled)), 0.0)

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        none = jnp.zeros(info.max_classes)
        return LearnerState((), (), Sums(jnp.zeros((info.max_classes, info.width)), none, none), none, jnp.int32(0))

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        belongs = members(shots.labels, shots.weights, len(state.seen), jnp.float32)
        kept = jnp.where(shots.weights[:, None] > 0, shots.inputs, 0.0)
        count = state.memory.count + belongs.sum(0)
        base = jnp.where(state.session == 0, (count > 0).astype(jnp.float32), state.memory.base)
        memory = Sums(state.memory.total + jnp.matmul(belongs.T, kept, precision="highest"), count, base)
        seen = (count > 0).astype(jnp.float32)
        return state._replace(memory=memory, seen=seen, session=state.session + 1), {}

    def predict(state: LearnerState, inputs: Float[Array, "rows width"]) -> dict[str, Array]:
        logits = scale * jnp.matmul(unit_rows(inputs), calibrated(state.memory).T, precision="highest")
        return {HEAD: jnp.where(state.seen[None] > 0, logits, -jnp.inf)}

    def held_out(state: LearnerState, shots: Shots) -> dict[str, Array]:
        def one(row: Array, label: Array) -> Array:
            count = state.memory.count.at[label].add(-1.0)
            total = state.memory.total.at[label].add(-row)
            without = state._replace(
                memory=state.memory._replace(total=total, count=count), seen=(count > 0).astype(jnp.float32)
            )
            return predict(without, row[None])[HEAD][0]

        return {HEAD: jax.lax.map(lambda pair: one(*pair), (shots.inputs, shots.labels))}

    def forget(state: LearnerState, which: Int[Array, ""]) -> LearnerState:
        stays = (jnp.arange(len(state.seen)) != which).astype(jnp.float32)
        memory = Sums(state.memory.total * stays[:, None], state.memory.count * stays, state.memory.base * stays)
        return state._replace(memory=memory, seen=state.seen * stays)

    def merge(state: LearnerState, other: LearnerState, labels: Int[Array, " max_classes"]) -> LearnerState:
        """The other's classes count as later ones, its first session included."""
        total = state.memory.total.at[labels].add(other.memory.total)
        count = state.memory.count.at[labels].add(other.memory.count)
        memory = state.memory._replace(total=total, count=count)
        session = state.session + other.session
        return state._replace(memory=memory, seen=(count > 0).astype(jnp.float32), session=session)

    def bytes_held(state: LearnerState) -> int:
        return int(np.asarray(state.seen).sum()) * (state.memory.total.shape[1] + 2) * 4

    def as_head(state: LearnerState, head: str) -> LearnedHead:
        kernel = calibrated(state.memory).T
        return LearnedHead(
            "prototypes", {"unit": True, "scale": scale}, {"kernel": kernel, "bias": jnp.zeros(kernel.shape[1])}
        )

    return Learner(init, learn, predict, (HEAD,), "embedding", bytes_held, None, None, forget, merge, held_out, as_head)
