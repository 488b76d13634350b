"""The upper bound: the network is trained from its beginning on the clips of all sessions so far."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from dhauds_jax.incremental import kept_rows, tuning
from dhauds_jax.incremental.kept_rows import KeptRows
from dhauds_jax.incremental.tuning import Tuning
from dhauds_jax.types import Classifier, Learner, LearnerInfo, LearnerState, Shots, Variables


class All(NamedTuple):
    """All clips so far, and the network as it came."""

    clips: KeptRows
    start: Any


def joint(
    classifier: Classifier | None,
    *,
    epochs: int = 30,
    lr: float = 1e-4,
    weight_decay: float = 0.01,
    batch: int = 25,
) -> Learner:
    """As `finetune`, but each session begins with the network as it came and trains on all clips so far.

    It keeps every clip, which the other learners may not: a bound, no rival.

    Args:
      classifier: the network.
      epochs: passes over all clips, as of `finetune`.
      lr: as of `finetune`.
      weight_decay: as of `finetune`.
      batch: as of `finetune`.

    Raises:
      BadInput: no network, or options that train nothing.

    Source: joint training, the usual upper bound (PyCIL, arXiv 2112.12533).
    """
    how = Tuning(epochs, lr, weight_decay, batch)
    net = tuning.checked("joint", classifier, how)

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        clips = kept_rows.empty(info, info.max_rows * info.max_sessions)
        state = tuning.begun(net, variables, info, ())
        return state._replace(memory=All(clips, jax.tree.map(jnp.copy, state.params)))

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        memory = state.memory._replace(clips=kept_rows.added(state.memory.clips, shots))
        nothing = jnp.zeros_like(state.seen)
        head = jax.tree.map(jnp.zeros_like, state.heads)
        anew = LearnerState(memory.start, head, memory, nothing, state.session + 1)
        return tuning.trained(net, how, tuning.with_new_columns(net, anew, memory.clips), memory.clips, key)

    def predict(state: LearnerState, inputs: Array) -> dict[str, Array]:
        return tuning.predicted(net, state, inputs)

    def bytes_held(state: LearnerState) -> int:
        return tuning.bytes_held(state, tuning.samples_kept(state.memory.clips))

    return Learner(init, learn, predict, (tuning.HEAD,), "wave", bytes_held, as_head=tuning.as_head)
