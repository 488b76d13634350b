"""SANTA: self-distillation from the frozen source model, and contrastive alignment to the source's prototypes."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.tta import losses
from dhauds_jax.tta.augment import Augmentation, augmented, checked
from dhauds_jax.tta.batchwise import sgd_or_adam
from dhauds_jax.tta.contrast import (
    PROTOTYPES,
    Prototypes,
    alignment,
    first_projector,
    first_prototypes,
    joint_state,
    joint_update,
)
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, float_type
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Mode, Outputs, Prediction, RunInfo, Variables

FOLLOWING, FIXED = (Mode(dropout=False, norm=norm) for norm in (normalisers.batch, normalisers.batch_frozen))


class SantaMemory(NamedTuple):
    """What SANTA keeps: the anchor (the source's moving leaves), the projector it learns, the source's prototypes."""

    anchor: Any
    projector: Any
    prototypes: Prototypes


def anchored(logits: Float[Array, "batch classes"], anchor: Float[Array, "batch classes"]) -> Float[Array, " batch"]:
    """`-sum_c p_c log a_c` of each row, p the softmax of `logits`, a that of `anchor`.

    The anchor is the coded, not the coding distribution: p is drawn to the anchor's likeliest class, and is sure of it.
    """
    return -(jax.nn.softmax(logits, -1) * jax.nn.log_softmax(anchor, -1)).sum(-1)


LIBRARY = {"momentum": 0.9, "prototypes": "source", "temperature": 0.1, "projection": 128, "evaluate": "batch"}
"""What a library's two recipes share."""


@declares(
    unsaid={"nesterov": False},
    recipes={
        "library_cifar": {**LIBRARY, "optimiser": "adam", "lr": 1e-3},
        "library_imagenet": {**LIBRARY, "optimiser": "sgd", "lr": 0.01, "nesterov": True},
    },
)
def santa(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    self_training: float = 1.0,
    contrast: float = 1.0,
    prototypes: str = "source",
    temperature: float = 0.1,
    projection: int = 128,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    nesterov: bool = False,
    evaluate: str = "running",
    group: str = "norm",
    axis_name: str | None = None,
) -> Method:
    """Clips and changed copies take the frozen source model's word for their class and draw near its prototypes.

    Per batch, x' a changed copy of x (`tta.augment`), A the source model, all with the batch's statistics:
    `self_training mean 1/2 (H(x) + H(x')) + contrast L_CL`, `H(v) = -sum_c p_c(v) log A_c(x)` (`anchored`), L_CL the
    `contrastive` loss of three views of each clip behind a projector: the source prototype of largest cosine with its
    embedding, the embedding, that of x'. One optimiser step of normalisation layers and projector. A step's prediction
    is taken before its update.

    Args:
      classifier: the network.
      lr: learning rate (a library has 1e-3 with Adam for CIFAR, 0.01 with SGD for ImageNet).
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" or "sgd".
      self_training: weight of the distillation.
      contrast: weight of the contrastive loss.
      prototypes: "source" (mean embeddings of labelled source clips) or "head" (columns of the last layer, which needs
        no source clips).
      temperature: of the contrastive loss.
      projection: width of the projector.
      shift: largest circular shift of a copy, as a share of the clip (images: colours, affine maps, flips).
      gain_db: its largest gain or loss in dB.
      noise: its noise, as a share of the clip's root mean square.
      nesterov: whether SGD's momentum is Nesterov's.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      group: parameters that move, a name of `nets.masks.GROUPS`.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: impossible options, or no source clips where they are needed.

    Source: Chakrabarty, Sreenivas and Biswas, TMLR 2023, arXiv 2304.10113, equations 1 to 4 (2 without the 1/2, which a
      public library's santa.py has, github.com/mariodoebler/test-time-adaptation).
    """
    augmentation = checked("santa", Augmentation(shift, gain_db, noise))
    registry.check("evaluate of method santa", evaluate, ("running", "batch"))
    registry.check("prototypes of method santa", prototypes, PROTOTYPES)
    if not temperature > 0 or projection < 1:
        raise BadInput(
            f"santa: temperature is {temperature} and projection {projection}, expected above 0 and at least 1"
        )
    optimise = sgd_or_adam("santa", optimiser, lr, momentum, nesterov)

    def forward(variables: Variables, wave: Array, weights: Array, mode: Mode) -> tuple[Outputs, Any]:
        return classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        found = first_prototypes("santa", classifier, variables, info, prototypes)
        projector = first_projector(found.vectors.shape[1], projection, float_type(variables))
        state = joint_state("santa", variables, optimise, group, projector)
        anchor = jax.tree.map(jnp.copy, masks.split(variables["params"], group)[0])
        return state._replace(memory=SantaMemory(anchor, projector, found))

    def predict(state: AdaptState, batch: Batch) -> Array:
        return forward(state.variables, batch.wave, batch.weights, normalisers.EVALUATIONS[evaluate])[0].logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        kept, weights = state.memory, batch.weights
        copies = augmented(key, batch.wave, batch.index, augmentation)
        frozen = masks.split(state.variables["params"], group)[1]
        source = {**state.variables, "params": masks.merge(kept.anchor, frozen)}
        wanted = forward(source, batch.wave, weights, FIXED)[0].logits

        def loss(variables: Variables, projector: Any) -> tuple[Array, Evaluated]:
            plain, stats = forward(variables, batch.wave, weights, FOLLOWING)
            changed, _ = forward(variables, copies, weights, FIXED)
            rows = (anchored(plain.logits, wanted) + anchored(changed.logits, wanted)) / 2
            views = (plain.embedding, changed.embedding)
            terms = {
                "self_training": losses.weighted_mean(rows, weights, axis_name),
                "contrast": alignment(projector, kept.prototypes, *views, weights, temperature, axis_name),
            }
            value = self_training * terms["self_training"] + contrast * terms["contrast"]
            return value, Evaluated({"total": value, **terms}, stats, plain.logits)

        state, projector, evaluated = joint_update(state, kept.projector, loss, optimise, group, axis_name)
        memory = kept._replace(projector=projector)
        return state._replace(memory=memory), Prediction(evaluated.logits, evaluated.losses)

    needs = ("source_data",) if prototypes == "source" else ()
    return Method(init, step, predict, adapts=group, passes=(3, 2), needs=needs)
