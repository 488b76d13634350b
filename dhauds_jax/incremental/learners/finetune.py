"""The whole network is trained on each session's clips and nothing else: how much is forgotten without any care."""

from __future__ import annotations

from jaxtyping import Array

from dhauds_jax.incremental import tuning
from dhauds_jax.incremental.kept_rows import as_kept
from dhauds_jax.incremental.tuning import Tuning
from dhauds_jax.types import Classifier, Learner, LearnerInfo, LearnerState, Shots, Variables


def finetune(
    classifier: Classifier | None,
    *,
    epochs: int = 30,
    lr: float = 1e-4,
    weight_decay: float = 0.01,
    batch: int = 25,
) -> Learner:
    """Minimises the cross-entropy of `16 (e / |e|) K + b` over the seen classes, all of the network and the layer move.

    Columns of new classes begin as the means of their unit embeddings (weight imprinting, Qi et al. 2018, arXiv
    1712.07136), and AdamW anew in each session.

    Args:
      classifier: the network.
      epochs: passes over a session's clips.
      lr: learning rate, constant.
      weight_decay: decoupled (torch.optim.AdamW's own).
      batch: clips of a step.

    Raises:
      BadInput: no network, or options that train nothing.

    Source: the lower bound of class-incremental learning, as "finetune" in PyCIL (Zhou et al., arXiv 2112.12533).
    """
    how = Tuning(epochs, lr, weight_decay, batch)
    net = tuning.checked("finetune", classifier, how)

    def init(variables: Variables, info: LearnerInfo, key: Array) -> LearnerState:
        return tuning.begun(net, variables, info, ())

    def learn(state: LearnerState, shots: Shots, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        rows = as_kept(shots)
        state = tuning.with_new_columns(net, state._replace(session=state.session + 1), rows)
        return tuning.trained(net, how, state, rows, key)

    def predict(state: LearnerState, inputs: Array) -> dict[str, Array]:
        return tuning.predicted(net, state, inputs)

    return Learner(
        init, learn, predict, (tuning.HEAD,), "wave", lambda state: tuning.bytes_held(state), as_head=tuning.as_head
    )
