"""RMT: a mean teacher with a symmetric cross-entropy, pulled to source prototypes, the source replayed beside it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

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
from dhauds_jax.tta.methods.roid import symmetric_cross_entropy
from dhauds_jax.tta.update import Evaluated, between, float_type, gradients
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Method,
    Mode,
    Outputs,
    Prediction,
    Predicts,
    RunInfo,
    SourceData,
    Variables,
)

FOLLOWING, FIXED = (Mode(dropout=False, norm=norm) for norm in (normalisers.batch, normalisers.batch_frozen))


class RmtMemory(NamedTuple):
    """What RMT keeps beside the student.

    Attributes:
      teacher: the teacher's variables, its BatchNorm statistics among them.
      projector: of `contrast.first_projector`, learnt with the student.
      prototypes: of the source.
      replayed: the labelled source clips that are replayed; () without.
    """

    teacher: Variables
    projector: Any
    prototypes: Prototypes
    replayed: SourceData | tuple[()]


class WarmUp(NamedTuple):
    """How student and teacher begin: `clips` source clips in batches of `batch`, the rate rising to the optimiser's."""

    clips: int
    batch: int
    optimiser: optax.GradientTransformation
    momentum: float


def warmed_up(
    classifier: Classifier, state: AdaptState, group: masks.Group, source: SourceData, plan: WarmUp
) -> tuple[AdaptState, Any]:
    """The state and the teacher's moving leaves after the warm-up.

    Of n updates the i-th has i/n of the rate and descends the symmetric cross-entropy of student and teacher on the
    next clips of the source (which come again in the same order when they are used up); the teacher follows each.
    BatchNorm has the batch's statistics, the running ones stay.
    """
    size = min(plan.batch, len(source.labels))
    updates = plan.clips // size
    frozen = masks.split(state.variables["params"], group)[1]

    def update(carry: tuple[AdaptState, Any], i: Array) -> tuple[tuple[AdaptState, Any], None]:
        state, slow = carry
        waves = source.waves[(i * size + jnp.arange(size)) % len(source.labels)]
        wanted = classifier.apply({**state.variables, "params": masks.merge(slow, frozen)}, waves, mode=FIXED)[0].logits

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits = classifier.apply(variables, waves, mode=FIXED)[0].logits
            return symmetric_cross_entropy(logits, wanted).mean(), Evaluated({}, {}, logits)

        slope, _ = gradients(state.variables, loss, group)
        moving = masks.split(state.variables["params"], group)[0]
        steps, kept = plan.optimiser.update(slope, state.opt_state[0], moving)
        moving = optax.apply_updates(moving, jax.tree.map(lambda s: s * (i + 1) / updates, steps))
        variables = {**state.variables, "params": masks.merge(moving, frozen)}
        state = state._replace(variables=variables, opt_state=(kept, state.opt_state[1]))
        return (state, between(plan.momentum, slow, moving)), None

    start = (state, masks.split(state.variables["params"], group)[0])
    return jax.lax.scan(update, start, jnp.arange(updates))[0]


AUTHORS = {
    "momentum": 0.9,
    "teacher_momentum": 0.999,
    "prototypes": "source",
    "temperature": 0.1,
    "projection": 128,
    "evaluate": "batch",
}
"""What the authors' two recipes share; the warm-up is left at once through the source clips, which are fewer here."""


@declares(
    contract_options={"warm_up": 16, "group": "norm"},
    because="two updates warm up as many do, and Adam makes whole steps of the rounding errors in a gradient that is 0",
    begins_at_rate=True,
    unsaid={"nesterov": False},
    recipes={
        "authors_cifar": {**AUTHORS, "optimiser": "adam", "lr": 1e-3},
        "authors_imagenet": {**AUTHORS, "optimiser": "sgd", "lr": 0.01, "nesterov": True},
    },
)
def rmt(
    classifier: Classifier,
    *,
    lr: float | Array = 1e-3,
    momentum: float = 0.9,
    optimiser: str = "adam",
    teacher_momentum: float = 0.999,
    self_training: float = 1.0,
    contrast: float = 1.0,
    replay: float = 1.0,
    replay_clips: int = 64,
    warm_up: int = 500,
    prototypes: str = "source",
    temperature: float = 0.1,
    projection: int = 128,
    shift: float = 0.1,
    gain_db: float = 3.0,
    noise: float = 0.05,
    nesterov: bool = False,
    evaluate: str = "running",
    group: str = "all",
    axis_name: str | None = None,
) -> Method:
    """A student agrees with its slow average, draws near source prototypes and goes on learning labelled source clips.

    Per batch, x' a changed copy of x (`tta.augment`), S and T student and teacher, all with the batch's statistics:
    `self_training mean 1/2 (SCE(S(x), T(x)) + SCE(S(x'), T(x))) + contrast L_CL + replay CE(S(source), labels)`, SCE
    the symmetric cross-entropy, L_CL the `contrastive` loss of three views of each clip behind a projector: the source
    prototype of largest cosine with its embedding, the embedding, that of x'. One optimiser step of student and
    projector; then `T = m T + (1 - m) S`. Before the first batch both warm up on source clips (`warmed_up`).
    A prediction, of a step before its update and of an evaluation, is the sum of both logits. The state's variables are
    the student's. Source clips of a step are drawn anew; every device replays all of them.

    Args:
      classifier: the network.
      lr: learning rate (1e-3 with Adam is the authors' for CIFAR, 0.01 with SGD for ImageNet).
      momentum: Adam's first decay (or SGD's momentum).
      optimiser: "adam" or "sgd".
      teacher_momentum: m, the share of the old teacher.
      self_training: weight of the symmetric cross-entropy.
      contrast: weight of the contrastive loss.
      replay: weight of the source's cross-entropy; 0 replays none and keeps no source clips.
      replay_clips: source clips replayed in a step (the authors: as many as the batch has).
      warm_up: source clips in the warm-up (50,000 in the authors' code, once through CIFAR; here once through
        `--source_clips`), at a rate that rises to `lr`; 0 leaves it out.
      prototypes: "source" (mean embeddings of the source clips) or "head" (columns of the last layer); with "head",
        `replay=0` and `warm_up=0` no source clips are needed.
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

    Source: Döbler, Marsden and Yang, CVPR 2023, arXiv 2211.13081; their code's rmt.py.
    """
    augmentation = checked("rmt", Augmentation(shift, gain_db, noise))
    _check(teacher_momentum, temperature, replay_clips, projection, evaluate)
    if warm_up < 0:
        raise BadInput(f"rmt: warm_up is {warm_up}, expected 0 or a number of source clips")
    registry.check("prototypes of method rmt", prototypes, PROTOTYPES)
    optimise = sgd_or_adam("rmt", optimiser, lr, momentum, nesterov)
    needs = ("source_data",) if replay > 0 or warm_up > 0 or prototypes == "source" else ()

    def forward(variables: Variables, wave: Array, weights: Array, mode: Mode) -> tuple[Outputs, Any]:
        return classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        if info.source is None and needs:
            raise BadInput("method rmt needs source clips: give some, or set prototypes=head, replay=0 and warm_up=0")
        found = first_prototypes("rmt", classifier, variables, info, prototypes)
        projector = first_projector(found.vectors.shape[1], projection, float_type(variables))
        state = joint_state("rmt", variables, optimise, group, projector)
        slow, frozen = masks.split(variables["params"], group)
        if warm_up > 0:
            plan = WarmUp(warm_up, info.batch_size or replay_clips, optimise, teacher_momentum)
            state, slow = jax.jit(lambda s, d: warmed_up(classifier, s, group, d, plan))(state, info.source)
        teacher = jax.tree.map(jnp.copy, {**variables, "params": masks.merge(slow, frozen)})
        kept = info.source if replay > 0 else ()
        return state._replace(memory=RmtMemory(teacher, projector, found, kept))

    def predict(state: AdaptState, batch: Batch) -> Array:
        mode = normalisers.EVALUATIONS[evaluate]
        both = (forward(v, batch.wave, batch.weights, mode)[0] for v in (state.variables, state.memory.teacher))
        return sum(outputs.logits for outputs in both)

    def replay_loss(variables: Variables, source: SourceData, key: PRNGKeyArray) -> Array:
        rows = jax.random.permutation(key, len(source.labels))[:replay_clips]
        logits = classifier.apply(variables, source.waves[rows], mode=FIXED)[0].logits
        return losses.smoothed_cross_entropy(logits, source.labels[rows], smoothing=0.0)

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        copy_key, replay_key = jax.random.split(key)
        kept, weights = state.memory, batch.weights
        copies = augmented(copy_key, batch.wave, batch.index, augmentation)
        slow, slow_stats = forward(kept.teacher, batch.wave, weights, FOLLOWING)

        def loss(variables: Variables, projector: Any) -> tuple[Array, Evaluated]:
            plain, stats = forward(variables, batch.wave, weights, FOLLOWING)
            changed, _ = forward(variables, copies, weights, FIXED)
            rows = sum(symmetric_cross_entropy(view.logits, slow.logits) for view in (plain, changed)) / 2
            views = (plain.embedding, changed.embedding)
            terms = {
                "self_training": losses.weighted_mean(rows, weights, axis_name),
                "contrast": alignment(projector, kept.prototypes, *views, weights, temperature, axis_name),
            }
            value = self_training * terms["self_training"] + contrast * terms["contrast"]
            if replay > 0:
                terms["replay"] = replay_loss(variables, kept.replayed, replay_key)
                value = value + replay * terms["replay"]
            return value, Evaluated({"total": value, **terms}, stats, plain.logits)

        state, projector, evaluated = joint_update(state, kept.projector, loss, optimise, group, axis_name)
        fast, frozen = masks.split(state.variables["params"], group)
        moved = between(teacher_momentum, masks.split(kept.teacher["params"], group)[0], fast)
        teacher = {**kept.teacher, "params": masks.merge(moved, frozen), "batch_stats": slow_stats}
        memory = kept._replace(teacher=teacher, projector=projector)
        return state._replace(memory=memory), Prediction(evaluated.logits + slow.logits, evaluated.losses)

    passes = (4, 3) if replay > 0 else (3, 2)
    return Method(init, step, predict, adapts=group, passes=passes, needs=needs, predicts=Predicts(2, networks=2))


def _check(teacher_momentum: float, temperature: float, replay_clips: int, projection: int, evaluate: str) -> None:
    registry.check("evaluate of method rmt", evaluate, ("running", "batch"))
    if not 0.0 <= teacher_momentum <= 1.0:
        raise BadInput(f"rmt: teacher_momentum is {teacher_momentum}, expected a share from 0 to 1")
    if not temperature > 0:
        raise BadInput(f"rmt: temperature is {temperature}, expected a number above 0")
    if replay_clips < 1 or projection < 1:
        raise BadInput(f"rmt: replay_clips is {replay_clips} and projection {projection}, expected at least 1 of each")
