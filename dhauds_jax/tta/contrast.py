"""Contrastive alignment of clips to prototypes of the source: what RMT and SANTA share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.tta.neighbours import of_unit_length
from dhauds_jax.tta.update import Evaluated, first_state
from dhauds_jax.types import AdaptState, Apply, Classifier, RunInfo, SourceData, Variables

PROTOTYPES = ("source", "head")
"""Where prototypes come from: mean embeddings of labelled source clips, or the columns of the last layer."""

BLOCK = 64
"""Source clips that are embedded at once."""


class Prototypes(NamedTuple):
    """One embedding a class, and whether there is one: a class without source clips has none."""

    vectors: Float[Array, "classes features"]
    known: Bool[Array, " classes"]


def first_prototypes(
    method: str, classifier: Classifier, variables: Variables, info: RunInfo, origin: str
) -> Prototypes:
    """The prototypes that a method starts with, and keeps.

    Args:
      method: name for error messages.
      classifier: the network.
      variables: its source variables.
      info: the run's; its source clips are used where `origin` is "source".
      origin: of `PROTOTYPES`.

    Raises:
      BadInput: no source clips where they are wanted.
    """
    registry.check(f"prototypes of method {method}", origin, PROTOTYPES)
    if origin == "head":
        return Prototypes(classifier.head(variables).kernel.T, jnp.ones(info.classes, bool))
    if info.source is None:
        raise BadInput(f"method {method} needs source clips for its prototypes: give some, or set prototypes=head")
    return _class_means(classifier.apply, info.classes, variables, info.source)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _class_means(apply: Apply, classes: int, variables: Variables, source: SourceData) -> Prototypes:
    """Mean embedding of each class, BatchNorm with the source's running statistics."""
    clips, *wave = source.waves.shape
    rows = -(-clips // BLOCK) * BLOCK
    waves = jnp.concatenate([source.waves, jnp.zeros((rows - clips, *wave), source.waves.dtype)])
    blocks = waves.reshape(-1, min(BLOCK, rows), *wave)
    embedding = jax.lax.map(lambda block: apply(variables, block, mode=EVAL)[0].embedding, blocks)
    embedding = embedding.reshape(rows, -1)[:clips]
    belongs = jax.nn.one_hot(source.labels, classes, dtype=embedding.dtype)
    counts = belongs.sum(0)
    return Prototypes(belongs.T @ embedding / jnp.maximum(counts, 1)[:, None], counts > 0)


def nearest_prototype(embedding: Float[Array, "batch features"], prototypes: Prototypes) -> Int[Array, " batch"]:
    """The class whose prototype has the largest cosine with each row."""
    cosine = of_unit_length(embedding) @ of_unit_length(prototypes.vectors).T
    return jnp.where(prototypes.known[None], cosine, -jnp.inf).argmax(-1)


def first_projector(features: int, width: int, dtype: Any = jnp.float32) -> dict[str, Any]:
    """Two layers `features -> width -> width`, drawn as PyTorch draws them: U(-1/sqrt(fan in), 1/sqrt(fan in)).

    The draw is always the same: a method's `init` has no key.
    """
    keys = iter(jax.random.split(jax.random.key(0), 4))

    def layer(fan_in: int) -> dict[str, Array]:
        bound = 1 / math.sqrt(fan_in)
        shapes = {"kernel": (fan_in, width), "bias": (width,)}
        return {name: jax.random.uniform(next(keys), shape, dtype, -bound, bound) for name, shape in shapes.items()}

    return {"first": layer(features), "second": layer(width)}


def projected(projector: dict[str, Any], rows: Float[Array, "rows features"]) -> Float[Array, "rows width"]:
    """The rows behind `linear, ReLU, linear`, of unit length."""
    first, second = projector["first"], projector["second"]
    hidden = jax.nn.relu(rows @ first["kernel"] + first["bias"][None])
    out = hidden @ second["kernel"] + second["bias"][None]
    # As `of_unit_length`, with a slope at 0 too.
    return out * jax.lax.rsqrt(jnp.maximum(jnp.square(out).sum(-1, keepdims=True), 1e-24))


def contrastive(
    views: Float[Array, "views batch width"],
    weights: Float[Array, " batch"],
    temperature: float,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Mean over all views i of all clips of `-1/|P_i| sum_{p in P_i} log(e^{s_ip} / sum_{a != i} e^{s_ia})`.

    `s_ij = v_i . v_j / temperature`, P_i the other views of i's clip, a all views of all real clips but i itself.

    Args:
      views: (views, batch, width) of unit length.
      weights: (batch,) 1 for real clips, 0 for padded ones.
      temperature: of the products.
      axis_name: the mapped axis over which the batch is spread.

    Source: Khosla et al., NeurIPS 2020, arXiv 2004.11362, equation 2, each clip a class of its own.
    """
    count = views.shape[0]
    everyone, real = views, weights
    if axis_name is not None:  # every device computes one loss of all rows, so the pmean of its slopes is right
        everyone = jax.lax.all_gather(views, axis_name, axis=1, tiled=True)
        real = jax.lax.all_gather(weights, axis_name, tiled=True)
    clips = everyone.shape[1]
    rows = everyone.reshape(count * clips, -1)
    similarity = rows @ rows.T / temperature
    clip = jnp.tile(jnp.arange(clips), count)
    itself = jnp.eye(count * clips, dtype=bool)
    similarity = jnp.where(itself | (jnp.tile(real, count) == 0)[None], -jnp.inf, similarity)
    log_p = similarity - jax.nn.logsumexp(similarity, -1, keepdims=True)
    positive = (clip[:, None] == clip[None]) & ~itself
    each = -jnp.where(positive & (jnp.tile(real, count) > 0)[:, None], log_p, 0.0).sum(-1) / (count - 1)
    return each.sum() / (count * real.sum())


@functools.partial(jax.jit, static_argnames=("temperature", "axis_name"))
def alignment(
    projector: dict[str, Any],
    prototypes: Prototypes,
    plain: Float[Array, "batch features"],
    changed: Float[Array, "batch features"],
    weights: Float[Array, " batch"],
    temperature: float,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """The `contrastive` loss of three views of each clip: its nearest prototype, itself, a changed copy; projected."""
    nearest = prototypes.vectors[nearest_prototype(plain, prototypes)]
    views = jnp.stack([projected(projector, view) for view in (nearest, plain, changed)])
    return contrastive(views, weights, temperature, axis_name)


JointLoss = Callable[[Variables, Any], tuple[Array, Evaluated]]


def joint_state(
    method: str, variables: Variables, optimiser: optax.GradientTransformation, group: masks.Group, own: Any
) -> AdaptState:
    """As `first_state`, for a method that also learns leaves of its `own`, whose optimiser counts by itself."""
    state = first_state(method, variables, optimiser, group)
    return state._replace(opt_state=(state.opt_state, optimiser.init(own)))


def joint_update(
    state: AdaptState,
    own: Any,
    loss: JointLoss,
    optimiser: optax.GradientTransformation,
    group: masks.Group,
    axis_name: str | None,
) -> tuple[AdaptState, Any, Evaluated]:
    """One optimiser step of the leaves of `group` and of a method's `own` ones down the slope of `loss`.

    Returns:
      The state (of `joint_state`) and the own leaves after it, and what the loss evaluated before it.
    """
    moving, frozen = masks.split(state.variables["params"], group)

    def of_moving(leaves: Any, own: Any) -> tuple[Array, Evaluated]:
        return loss({**state.variables, "params": masks.merge(leaves, frozen)}, own)

    (_, evaluated), grads = jax.value_and_grad(of_moving, argnums=(0, 1), has_aux=True)(moving, own)
    grads = grads if axis_name is None else jax.lax.pmean(grads, axis_name)
    after, opt_state = [], []
    for leaves, slope, kept in zip((moving, own), grads, state.opt_state, strict=True):
        updates, kept = optimiser.update(slope, kept, leaves)
        after.append(optax.apply_updates(leaves, updates))
        opt_state.append(kept)
    params = masks.merge(after[0], frozen)
    variables = {**state.variables, "params": params, "batch_stats": evaluated.batch_stats}
    return AdaptState(variables, tuple(opt_state), state.memory, state.step + 1), after[1], evaluated
