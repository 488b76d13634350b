"""Methods that adapt to one clip, or to one batch, and then forget: what MEMO and SUTA share.

An episode starts from the source's moving leaves with a fresh optimiser, makes some updates on views of its clips, and
predicts the clips themselves with the leaves it ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray, UInt32

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks, normalisers
from dhauds_jax.parallel import total
from dhauds_jax.tta import losses
from dhauds_jax.tta.update import Evaluated, first_state, gradient_update
from dhauds_jax.types import (
    AdaptState,
    Batch,
    Classifier,
    Method,
    Mode,
    Normaliser,
    Prediction,
    Predicts,
    RunInfo,
    Variables,
)

OVER = ("clip", "batch")


class Episode(NamedTuple):
    """How an episode goes.

    Attributes:
      name: of the method, for messages.
      classifier: the network.
      views: `(key, wave, index) -> (views, clips, time)`.
      losses: `(logits (views, clips, classes), weights (clips,), axis_name) -> losses by name`; `total` is minimised.
      copies: views of a clip, for the count of passes.
      optimiser: fresh in every episode.
      iterations: updates of an episode.
      group: parameters that move, a name of `nets.masks.GROUPS`.
      norm: what BatchNorm layers do, in updates and in the prediction.
      over: "clip" (each clip is an episode) or "batch" (a batch is one).
      reset: whether an episode starts from the source; only a "batch" may go on where the last one ended.
    """

    name: str
    classifier: Classifier
    views: Callable[[PRNGKeyArray, Array, Array], Array]
    losses: Callable[[Array, Array, str | None], Mapping[str, Array]]
    copies: int
    optimiser: optax.GradientTransformation
    iterations: int
    group: str
    norm: Normaliser
    over: str
    reset: bool


class EpisodeMemory(NamedTuple):
    """What outlives an episode: the source's moving leaves, and the seed that `predict` draws its views from."""

    source: Any
    seed: UInt32[Array, ""]


def statistics_of(name: str, statistics: str, alpha: float, moments: str = "unbiased") -> Normaliser:
    """What BatchNorm layers do: "running" statistics, or their "blend" with a share `alpha` of the episode's own.

    `moments` are those of `normalisers.moments_to_blend`.

    Raises:
      BadInput: unknown `statistics` or `moments`, or an `alpha` that is no share.
    """
    registry.check(f"statistics of method {name}", statistics, ("running", "blend"))
    registry.check(f"moments of method {name}", moments, normalisers.MOMENTS)
    if not 0.0 <= alpha <= 1.0:
        raise BadInput(f"{name}: alpha is {alpha}, expected a share from 0 (the source's statistics) to 1 (the views')")
    return normalisers.running if statistics == "running" else normalisers.blend(alpha, moments)


def _checked(episode: Episode) -> Episode:
    registry.check(f"over of method {episode.name}", episode.over, OVER)
    if episode.over == "clip" and not episode.reset:
        raise BadInput(
            f"{episode.name}: over=clip with reset=False, but clips adapt side by side: choose over=batch to go on"
        )
    for option, value in (("iterations", episode.iterations), ("augmentations", episode.copies)):
        if value < 1:
            raise BadInput(f"{episode.name}: {option} is {value}, expected at least 1")
    return episode


def run(
    episode: Episode, state: AdaptState, batch: Batch, key: PRNGKeyArray, axis_name: str | None
) -> tuple[AdaptState, Array, Mapping[str, Array]]:
    """One episode from `state` on: the state it ends with, the batch's logits there, the last update's losses."""
    mode = Mode(dropout=False, norm=episode.norm)

    def forward(variables: Variables, wave: Array, weights: Array) -> tuple[Array, Any]:
        outputs, stats = episode.classifier.apply(variables, wave, mode=mode, weights=weights, axis_name=axis_name)
        return outputs.logits, stats

    def iterate(state: AdaptState, key: PRNGKeyArray) -> tuple[AdaptState, Mapping[str, Array]]:
        views = episode.views(key, batch.wave, batch.index)
        weights = jnp.tile(batch.weights, views.shape[0])

        def loss(variables: Variables) -> tuple[Array, Evaluated]:
            logits, stats = forward(variables, views.reshape(-1, views.shape[-1]), weights)
            terms = episode.losses(logits.reshape(*views.shape[:2], -1), batch.weights, axis_name)
            return terms["total"], Evaluated(terms, stats, logits)

        state, evaluated = gradient_update(state, loss, episode.optimiser, episode.group, axis_name)
        return state, evaluated.losses

    state, history = jax.lax.scan(iterate, state, jax.random.split(key, episode.iterations))
    logits, _ = forward(state.variables, batch.wave, batch.weights)
    return state, logits, jax.tree.map(lambda values: values[-1], history)


def _from_source(episode: Episode, state: AdaptState) -> AdaptState:
    """The state in which an episode starts."""
    source = state.memory.source
    params = masks.merge(source, masks.split(state.variables["params"], episode.group)[1])
    return AdaptState({**state.variables, "params": params}, episode.optimiser.init(source), (), state.step)


def each_clip(
    episode: Episode, state: AdaptState, batch: Batch, key: PRNGKeyArray, axis_name: str | None
) -> tuple[Any, Array, Mapping[str, Array]]:
    """An episode for each clip: the mean of the moving leaves they end with, all logits, the mean losses.

    Clips are taken one after the other: side by side, each with its own weights, they would be slower on a CPU and
    need the memory of as many networks. The mean over clips is what a step can hand on without favouring a clip.
    """
    start = _from_source(episode, state)
    source = state.memory.source

    def one(moved: Any, row: Batch) -> tuple[Any, tuple[Array, Mapping[str, Array]]]:
        clip = Batch(row.wave[None], jnp.ones((1,), row.weights.dtype), row.index[None])
        after, logits, terms = run(episode, start, clip, jax.random.fold_in(key, row.index), None)
        ended = masks.split(after.variables["params"], episode.group)[0]
        # `where`, for even a product with 0 would let a padded row's NaN in.
        moved = jax.tree.map(lambda s, e, o: s + jnp.where(row.weights > 0, e - o, 0.0), moved, ended, source)
        terms = jax.tree.map(lambda value: jnp.where(row.weights > 0, value, 0.0), terms)
        return moved, (logits[0], terms)

    moved, (logits, terms) = jax.lax.scan(one, jax.tree.map(jnp.zeros_like, source), batch)
    moved, count = total((moved, batch.weights.sum()), axis_name)
    mean = jax.tree.map(lambda o, s: o + s / count, source, moved)
    return mean, logits, {name: losses.weighted_mean(rows, batch.weights, axis_name) for name, rows in terms.items()}


def episodic(episode: Episode, axis_name: str | None) -> Method:
    """The method that runs an episode a clip or a batch.

    A step's prediction is taken after the updates. `predict` adapts afresh too, at the cost of a step (with views drawn
    from the last step's seed), so an evaluation is an adapted one from the start. After a step the state's variables
    are those that its episodes ended with (`over="clip"`: their mean over the clips), to be looked at; the next episode
    starts from the source again. Without `reset`, `predict` takes the variables as they are.
    """
    episode = _checked(episode)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        state = first_state(episode.name, variables, episode.optimiser, episode.group)
        if not episode.reset:
            return state
        source = jax.tree.map(jnp.copy, masks.split(variables["params"], episode.group)[0])
        return state._replace(opt_state=(), memory=EpisodeMemory(source, jnp.zeros((), jnp.uint32)))

    def episodes(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Array, Mapping[str, Array]]:
        if not episode.reset:
            return run(episode, state, batch, key, axis_name)
        if episode.over == "batch":
            after, logits, terms = run(episode, _from_source(episode, state), batch, key, axis_name)
            return state._replace(variables=after.variables), logits, terms
        moving, logits, terms = each_clip(episode, state, batch, key, axis_name)
        frozen = masks.split(state.variables["params"], episode.group)[1]
        return state._replace(variables={**state.variables, "params": masks.merge(moving, frozen)}), logits, terms

    def predict(state: AdaptState, batch: Batch) -> Array:
        if episode.reset:
            return episodes(state, batch, jax.random.key(state.memory.seed))[1]
        mode = Mode(dropout=False, norm=episode.norm)
        outputs, _ = episode.classifier.apply(
            state.variables, batch.wave, mode=mode, weights=batch.weights, axis_name=axis_name
        )
        return outputs.logits

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        count = state.step + 1
        state, logits, terms = episodes(state, batch, key)
        if episode.reset:
            state = state._replace(memory=state.memory._replace(seed=jax.random.bits(key, (), jnp.uint32)))
        return state._replace(step=count), Prediction(logits, terms)

    updates = episode.copies * episode.iterations
    passes = (updates + 1, updates)
    predicts = Predicts(*passes) if episode.reset else Predicts()
    return Method(init, step, predict, adapts=episode.group, passes=passes, predicts=predicts)
