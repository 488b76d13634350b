"""What the methods share that adapt normalisation parameters batch by batch on the clips they trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from dhauds_jax import registry
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.parallel import total
from dhauds_jax.tta.update import LossFunction, gradient_update
from dhauds_jax.types import AdaptState, Batch, Classifier, Mode, Prediction, Variables

Rows = Float[Array, " batch"]
Scalar = Float[Array, ""]


class Passes(NamedTuple):
    """Forward passes of a classifier without dropout.

    Attributes:
      adapt: `(variables, wave, weights) -> (logits, batch_stats)` with the batch's statistics; running ones follow.
      look: `(variables, wave, weights) -> logits` with the batch's statistics; running ones stay.
      predict: `(state, batch) -> logits`, an evaluation pass.
    """

    adapt: Callable[[Variables, Array, Array], tuple[Array, Mapping[str, Any]]]
    look: Callable[[Variables, Array, Array], Array]
    predict: Callable[[AdaptState, Batch], Array]


class Snapshot(NamedTuple):
    """The part of a state that a reset brings back: moving leaves, BatchNorm statistics, optimiser, memory."""

    moving: Any
    batch_stats: Any
    opt_state: Any
    memory: Any


def norm_passes(method: str, classifier: Classifier, evaluate: str, axis_name: str | None) -> Passes:
    """The passes of a method whose BatchNorm layers use each batch's statistics while it adapts.

    Args:
      method: name for error messages.
      classifier: the network.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (of each batch).
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown `evaluate`.
    """
    registry.check(f"evaluate of method {method}", evaluate, ("running", "batch"))

    def forward(variables: Variables, wave: Array, weights: Array, norm: Any) -> tuple[Array, Mapping[str, Any]]:
        mode = Mode(dropout=False, norm=norm)
        outputs, stats = classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)
        return outputs.logits, stats

    evaluating = normalisers.running if evaluate == "running" else normalisers.batch_frozen
    return Passes(
        lambda variables, wave, weights: forward(variables, wave, weights, normalisers.batch),
        lambda variables, wave, weights: forward(variables, wave, weights, normalisers.batch_frozen)[0],
        lambda state, batch: forward(state.variables, batch.wave, batch.weights, evaluating)[0],
    )


def sgd_or_adam(
    method: str, name: str, lr: float | Array, momentum: float, nesterov: bool = False
) -> optax.GradientTransformation:
    """Plain SGD ("sgd", with `momentum`) or Adam ("adam"), without weight decay.

    `momentum` is SGD's; Adam has no such number and takes it as its first beta (the decay of its mean gradient, with
    0.999 for the squares): one option of a method, `momentum`, stands for both.
    """
    registry.check(f"optimiser of method {method}", name, ("sgd", "adam"))
    return optax.sgd(lr, momentum=momentum, nesterov=nesterov) if name == "sgd" else optax.adam(lr, b1=momentum)


FEW_CLASSES = ("scaled", "as_given")
"""Thresholds that were set for 10 classes or more: scaled to fewer, or as given."""


def redundancy_for(redundancy: float, classes: int, few_classes: str) -> float:
    """EATA's largest cosine for a number of classes.

    A sure clip's cosine with a uniform average is `1 / sqrt(C)`, above 0.4 for C <= 6: nothing would be kept. Below 10
    classes, for which the authors set 0.4, it is scaled with that cosine, `redundancy sqrt(10 / C)`.
    """
    return redundancy * math.sqrt(10 / classes) if few_classes == "scaled" and classes < 10 else redundancy


def recovery_for(recover: float, classes: int, few_classes: str) -> float:
    """SAR's least average loss in nats for a number of classes, scaled with their entropy below 10 of them.

    `recover ln C / ln 10`: 0.2 as given lies just under the margin of two classes, 0.4 ln 2 = 0.28, and would recover
    the source nearly always.
    """
    return recover * math.log(classes) / math.log(10) if few_classes == "scaled" and classes < 10 else recover


def chosen_mean(rows: Rows, chosen: Rows, axis_name: str | None) -> Scalar:
    """`sum(chosen * rows) / sum(chosen)` over the whole batch, 0 (with gradient 0) when nothing is chosen."""
    summed, count = total(((chosen * rows).sum(), chosen.sum()), axis_name)
    return summed / jnp.where(count > 0, count, 1.0)


def kept_share(chosen: Rows, weights: Rows, axis_name: str | None) -> Scalar:
    """Share of the real rows of the whole batch that are chosen."""
    kept, real = total(((chosen > 0).astype(weights.dtype).sum(), weights.sum()), axis_name)
    return kept / real


def with_idle(losses: Mapping[str, Array]) -> dict[str, Array]:
    """The losses of an update, and `idle`: 1 where it kept no clip, else 0; its mean is the share of such updates."""
    return {**losses, "idle": (losses["kept"] == 0).astype(losses["kept"].dtype)}


IDLE_SHARE = 0.8
"""A run of whose updates at least this share kept no clip is said to be idle."""


def idle_said(losses: Mapping[str, float]) -> str:
    """A sentence for a user where mean losses say that a method learnt from hardly any clip, else ""."""
    share = losses.get("idle", 0.0)
    if share < IDLE_SHARE:
        return ""
    return f"{100 * share:.0f} % of the updates kept no clip; expected some: widen the method's thresholds"


CHOSE = "chose_"
"""Before a name among losses: 1 for updates after which a method that chooses among several said what this one says."""


def chose_said(losses: Mapping[str, float]) -> str:
    """In what share of the updates a method chose which of several, the most frequent first; "" where it has none."""
    shares = {name.removeprefix(CHOSE): share for name, share in losses.items() if name.startswith(CHOSE) and share > 0}
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in ordered)


def where(condition: Bool[Array, ""], new: Any, old: Any) -> Any:
    """`new` where `condition` holds, else `old`: two pytrees of one structure."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def take_snapshot(state: AdaptState, group: masks.Group) -> Snapshot:
    """What `restored` needs to bring this state back."""
    moving, _ = masks.split(state.variables["params"], group)
    return Snapshot(moving, state.variables["batch_stats"], state.opt_state, state.memory)


def restored(state: AdaptState, snapshot: Snapshot, group: masks.Group, condition: Bool[Array, ""]) -> AdaptState:
    """The snapshot's state where `condition` holds (`step` counts on), else the state as it is.

    The snapshot's memory must have the structure of `state.memory`.
    """
    moving, frozen = masks.split(state.variables["params"], group)
    now = Snapshot(moving, state.variables["batch_stats"], state.opt_state, state.memory)
    back = where(condition, snapshot, now)
    variables = {**state.variables, "params": masks.merge(back.moving, frozen), "batch_stats": back.batch_stats}
    return AdaptState(variables, back.opt_state, back.memory, state.step)


def update_if_kept(
    state: AdaptState,
    loss: LossFunction,
    optimiser: optax.GradientTransformation,
    group: masks.Group,
    axis_name: str | None,
) -> tuple[AdaptState, Prediction]:
    """One `gradient_update`, undone (BatchNorm's running statistics apart) when `losses["kept"]` is 0.

    Without this, momentum would go on moving the parameters on batches of which no clip is trusted. Beside the losses
    stands `idle`, 1 for such an update and else 0.
    """
    updated, evaluated = gradient_update(state, loss, optimiser, group, axis_name)
    before, _ = masks.split(state.variables["params"], group)
    after, frozen = masks.split(updated.variables["params"], group)
    kept = evaluated.losses["kept"] > 0
    params = masks.merge(where(kept, after, before), frozen)
    state = AdaptState(
        {**updated.variables, "params": params},
        where(kept, updated.opt_state, state.opt_state),
        state.memory,
        updated.step,
    )
    return state, Prediction(evaluated.logits, with_idle(evaluated.losses))
