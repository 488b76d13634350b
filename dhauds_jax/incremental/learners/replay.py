"""The whole network is trained on a session's clips and on a few kept ones of every class before."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from dhauds_jax.incremental import kept_rows, tuning
from dhauds_jax.incremental.herding import herding
from dhauds_jax.incremental.kept_rows import KeptRows, as_kept
from dhauds_jax.incremental.tuning import Tuning
from dhauds_jax.types import Classifier, Learner, LearnerInfo, LearnerState, Shots, Variables


def replay(
    classifier: Classifier | None,
    *,
    epochs: int = 30,
    lr: float = 1e-4,
    weight_decay: float = 0.01,
    batch: int = 25,
) -> Learner:
    """As `finetune`, on the session's clips and the exemplars together.

    After a session herding chooses exemplars of its classes by the embeddings of the network as it then is; they lie in
    the memory as audio.

    Args:
      classifier: the network.
      epochs: passes over a session's clips and the exemplars, as of `finetune`.
      lr: as of `finetune`.
      weight_decay: as of `finetune`.
      batch: as of `finetune`.

    Raises:
      BadInput: no network, or options that train nothing.

    Source: experience replay with iCaRL's exemplars (Rebuffi et al. 2017, arXiv 1611.07725), as "replay" in PyCIL
    (arXiv 2112.12533).
    """
    how = Tuning(epochs, lr, weight_decay, batch)
    net = tuning.checked("replay", classifier, how)

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        return tuning.begun(net, variables, info, kept_rows.empty(info, info.max_classes * info.memory))

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        rows = as_kept(shots)
        state = tuning.with_new_columns(net, state._replace(session=state.session + 1), rows)
        pool = KeptRows(*(jnp.concatenate(pair) for pair in zip(rows, state.memory)))
        return tuning.trained(net, how, state, pool, key)

    def predict(state: LearnerState, inputs: Array) -> dict[str, Array]:
        return tuning.predicted(net, state, inputs)

    def remember(state: LearnerState, pool: Shots, key: Array) -> LearnerState:
        rows, classes = as_kept(pool), len(state.seen)
        count = len(state.memory.weights) // classes
        vectors = tuning.embedded(net, state.params, rows.inputs)
        herd = herding(vectors, rows.labels, rows.weights, max_classes=classes, count=count)
        chosen = KeptRows(*(leaf[herd.rows.reshape(-1)] for leaf in rows))
        chosen = kept_rows.masked(chosen, herd.weights.reshape(-1) > 0)
        again = jnp.repeat(kept_rows.counts(rows, classes) > 0, count)
        kept = kept_rows.masked(state.memory, (state.memory.weights > 0) & ~again)
        return state._replace(memory=KeptRows(*(jnp.where(_as(again, a), b, a) for a, b in zip(kept, chosen))))

    def bytes_held(state: LearnerState) -> int:
        return tuning.bytes_held(state, tuning.samples_kept(state.memory))

    return Learner(
        init,
        learn,
        predict,
        (tuning.HEAD,),
        "wave",
        bytes_held,
        remember=remember,
        as_head=tuning.as_head,
        needs=("exemplars",),
    )


def _as(mask: Array, leaf: Array) -> Array:
    return mask.reshape(-1, *[1] * (leaf.ndim - 1))
