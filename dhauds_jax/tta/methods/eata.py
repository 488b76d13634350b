"""EATA: entropy minimisation on reliable, non-redundant clips, held near the source by Fisher information."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.batchwise import (
    FEW_CLASSES,
    Passes,
    chosen_mean,
    kept_share,
    norm_passes,
    redundancy_for,
    sgd_or_adam,
    update_if_kept,
)
from dhauds_jax.tta.declared import declares
from dhauds_jax.tta.update import Evaluated, first_state, float_type, gradients
from dhauds_jax.types import AdaptState, Apply, Batch, Classifier, Method, Mode, Prediction, RunInfo, Variables

Rows = Float[Array, " batch"]
EntropyRows = Callable[[Array], Array]
"""An entropy of each row of logits, in nats: the softmax's, or another's in its place (`come`)."""


class EataMemory(NamedTuple):
    """What EATA remembers.

    Attributes:
      average: (classes,) moving average of the probabilities of the clips it learnt from.
      seen: whether `average` holds anything yet.
      fisher: diagonal Fisher information of the moving leaves, times the option `fisher`; () without.
      anchor: the moving leaves of the source model; () without.
    """

    average: Float[Array, " classes"]
    seen: Bool[Array, ""]
    fisher: Any = ()
    anchor: Any = ()


def chosen_rows(
    logits: Float[Array, "batch classes"],
    memory: EataMemory,
    weights: Rows,
    margin: float,
    redundancy: float,
    entropy_rows: EntropyRows = losses.exact_entropy_rows,
) -> Rows:
    """1 for real rows with entropy below `margin` nats whose softmax has |cosine| < `redundancy` with the average."""
    p = jax.nn.softmax(logits, -1)
    lengths = jnp.linalg.norm(p, axis=-1) * jnp.linalg.norm(memory.average)
    cosine = (p @ memory.average) / jnp.maximum(lengths, 1e-8)
    fresh = ~memory.seen | (jnp.abs(cosine) < redundancy)
    return weights * (entropy_rows(logits) < margin) * fresh


def fisher_diagonal(
    classifier: Classifier, variables: Variables, group: masks.Group, waves: Float[Array, "clips *wave"], batch: int
) -> dict[str, Any]:
    """Mean over batches of the squared gradient of their mean cross-entropy against the model's own predictions.

    `F = 1/Q sum_q (d CE(x_q, argmax f(x_q)) / d theta)^2`, BatchNorm with the statistics of each batch.

    Args:
      classifier: the network.
      variables: its source variables.
      group: parameters that move.
      waves: source clips.
      batch: clips in a batch; 1 gives the equation of the paper.
    """
    rows = -(-len(waves) // batch) * batch
    padded = jnp.concatenate([waves, jnp.zeros((rows - len(waves), *waves.shape[1:]), waves.dtype)])
    weights = (jnp.arange(rows) < len(waves)).astype(waves.dtype)
    parts = (padded.reshape(-1, batch, *waves.shape[1:]), weights.reshape(-1, batch))
    sums = _squared_gradients(classifier.apply, group, variables, parts)
    return jax.tree.map(lambda s: s / (rows // batch), sums)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _squared_gradients(
    apply: Apply, group: masks.Group, variables: Variables, parts: tuple[Array, Array]
) -> dict[str, Any]:
    """Sums over batches (waves, weights) of the squared gradients.

    The variables are an argument: closed over, all weights would be constants of the program.
    """
    mode = Mode(dropout=False, norm=normalisers.batch_frozen)

    def add(sums: Any, part: tuple[Array, Array]) -> tuple[Any, None]:
        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits = apply(variables, part[0], mode=mode, weights=part[1])[0].logits
            value = losses.smoothed_cross_entropy(logits, logits.argmax(-1), part[1], smoothing=0.0)
            return value, Evaluated({}, {}, logits)

        grads, _ = gradients(variables, loss, group)
        return jax.tree.map(lambda s, g: s + jnp.square(g), sums, grads), None

    zeros = jax.tree.map(jnp.zeros_like, masks.split(variables["params"], group)[0])
    return jax.lax.scan(add, zeros, parts)[0]


def distance(variables: Variables, memory: EataMemory, group: masks.Group) -> Float[Array, ""]:
    """`sum_i F_i (theta_i - theta_i^source)^2` over the moving leaves."""
    moving, _ = masks.split(variables["params"], group)
    terms = jax.tree.map(lambda f, p, a: (f * jnp.square(p - a)).sum(), memory.fisher, moving, memory.anchor)
    return sum(jax.tree.leaves(terms))


def remembered(
    memory: EataMemory, logits: Float[Array, "batch classes"], chosen: Rows, axis_name: str | None
) -> EataMemory:
    """The memory after a batch: `average` becomes 0.9 of itself + 0.1 of the chosen rows' mean softmax (first: it)."""
    summed, count = total((chosen @ jax.nn.softmax(logits, -1), chosen.sum()), axis_name)
    mean = summed / jnp.where(count > 0, count, 1.0)
    moved = jnp.where(memory.seen, 0.9 * memory.average + 0.1 * mean, mean)
    return memory._replace(average=jnp.where(count > 0, moved, memory.average), seen=memory.seen | (count > 0))


class Filter(NamedTuple):
    """Thresholds of a clip filter: `margin` as a share of ln(classes), `redundancy` a cosine (`redundancy_for`)."""

    margin: float
    redundancy: float
    few_classes: str


def filtered_entropy_step(
    passes: Passes,
    thresholds: Filter,
    optimiser: optax.GradientTransformation,
    group: masks.Group,
    axis_name: str | None,
    entropy_rows: EntropyRows = losses.exact_entropy_rows,
) -> Any:
    """The `step` of ETA and EATA, over states whose memory is an `EataMemory`."""

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        memory = state.memory
        classes = memory.average.shape[0]
        margin = thresholds.margin * math.log(classes)
        redundancy = redundancy_for(thresholds.redundancy, classes, thresholds.few_classes)

        def choose(logits: Array) -> Array:
            fixed = jax.lax.stop_gradient(logits)
            return chosen_rows(fixed, memory, batch.weights, margin, redundancy, entropy_rows)

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = passes.adapt(variables, batch.wave, batch.weights)
            entropy, chosen = entropy_rows(logits), choose(logits)
            weighted = jnp.exp(margin - jax.lax.stop_gradient(entropy)) * entropy
            terms = {
                "total": chosen_mean(weighted, chosen, axis_name),
                "entropy": losses.weighted_mean(entropy, batch.weights, axis_name),
                "kept": kept_share(chosen, batch.weights, axis_name),
            }
            if memory.fisher:
                terms["fisher"] = distance(variables, memory, group)
                terms["total"] = terms["total"] + terms["fisher"]
            return terms["total"], Evaluated(terms, stats, logits)

        state, prediction = update_if_kept(state, loss, optimiser, group, axis_name)
        chosen = choose(prediction.logits)
        return state._replace(memory=remembered(memory, prediction.logits, chosen, axis_name)), prediction

    return step


AUTHORS = {"optimiser": "sgd", "momentum": 0.9, "margin": 0.4, "few_classes": "as_given", "evaluate": "batch"}
"""What the authors' two recipes share."""


@declares(
    contract_options={"margin": 1.0},
    because="an untrained net is sure of no clip: its entropies pass no narrower margin",
    unsaid={"few_classes": "scaled"},
    recipes={
        "authors_imagenet": {**AUTHORS, "lr": 2.5e-4, "redundancy": 0.05, "fisher": 2000.0},
        "authors_cifar": {**AUTHORS, "lr": 5e-3, "redundancy": 0.4, "fisher": 1.0},
    },
)
def eata(
    classifier: Classifier,
    *,
    lr: float | Array = 2.5e-4,
    momentum: float = 0.9,
    optimiser: str = "sgd",
    margin: float = 0.4,
    redundancy: float = 0.4,
    few_classes: str = "scaled",
    fisher: float = 2000.0,
    fisher_clips: int = 2000,
    fisher_batch: int = 64,
    group: str = "batch_norm",
    evaluate: str = "running",
    entropy_rows: EntropyRows = losses.exact_entropy_rows,
    axis_name: str | None = None,
) -> Method:
    """Minimises the weighted entropy of clips that are reliable and not redundant, near the source in Fisher's metric.

    `mean_{b in S} exp(E0 - E_b) E_b + fisher sum_i F_i (theta_i - theta_i^source)^2`, the factor without gradient; S
    are the clips with entropy `E_b < E0 = margin ln C` whose probabilities have a cosine below `redundancy` with the
    moving average of those learnt from (0.9 old + 0.1 new; the first batch is not compared). A batch with empty S moves
    nothing but BatchNorm's running statistics. A step's prediction is taken before its update.

    Args:
      classifier: the network.
      lr: learning rate.
      momentum: of SGD (or Adam's first decay).
      optimiser: "sgd" as the authors, or "adam".
      margin: E0 as a share of ln C.
      redundancy: largest cosine; the authors have 0.4 for 10 classes and 0.05 for 1,000, where a sure prediction has
        `1/sqrt(C)` with a uniform average.
      few_classes: "scaled" takes `redundancy sqrt(10 / C)` where C is below 10 (`batchwise.redundancy_for`), "as_given"
        does not; the authors had no fewer.
      fisher: rate of the anti-forgetting term; 0 is ETA, which needs no source clips. The authors have 2000 on ImageNet
        and 1 on CIFAR-10.
      fisher_clips: source clips used, the first ones.
      fisher_batch: clips whose gradient is squared together: 64 in the authors' code, 1 in equation 9. Their labels are
        the model's own predictions.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      evaluate: statistics of an evaluation pass, "running" (followed while adapting) or "batch" (as the original).
      entropy_rows: for code alone: what stands for E_b.
      axis_name: the mapped axis over which the batch is spread.

    Raises:
      BadInput: an unknown choice, or no clips for the anti-forgetting term.

    Source: Niu et al., ICML 2022, arXiv 2204.02610, equations 3 to 9.
    """
    if fisher_clips < 1 or fisher_batch < 1:
        raise BadInput(
            f"eata: fisher_clips is {fisher_clips} and fisher_batch {fisher_batch}, expected at least 1 of each; "
            "fisher=0 leaves the term out"
        )
    registry.check("few_classes of method eata", few_classes, FEW_CLASSES)
    passes = norm_passes("eata", classifier, evaluate, axis_name)
    optimise = sgd_or_adam("eata", optimiser, lr, momentum)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state("eata", variables, optimise, group)
        memory = EataMemory(jnp.zeros(info.classes, float_type(variables)), jnp.zeros((), bool))
        if fisher > 0:
            if info.source is None:
                raise BadInput("method eata needs source clips for its Fisher term: give some, or set fisher=0")
            waves = info.source.waves[:fisher_clips]
            diagonal = fisher_diagonal(classifier, variables, group, waves, min(fisher_batch, len(waves)))
            anchor, _ = masks.split(variables["params"], group)
            memory = memory._replace(fisher=jax.tree.map(lambda f: fisher * f, diagonal), anchor=anchor)
        return state._replace(memory=memory)

    kept = Filter(margin, redundancy, few_classes)
    step = filtered_entropy_step(passes, kept, optimise, group, axis_name, entropy_rows)
    needs = ("source_data",) if fisher > 0 else ()
    return Method(init, step, passes.predict, adapts=group, passes=(1, 1), needs=needs)
