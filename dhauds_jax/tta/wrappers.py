"""Reset rules as wrappers: each takes a method and returns one, so they compose and keep the contract.

A wrapped state's `memory` holds the method's own memory and a snapshot of the state it started with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from dhauds_jax.errors import BadInput
from dhauds_jax.metrics import COLLAPSE_SHARE
from dhauds_jax.parallel import total
from dhauds_jax.types import AdaptState, Batch, Method, Prediction, RunInfo, Variables

KEPT = 0.9
"""Share of the old estimate in the moving average of predicted classes (`reset_on_collapse`)."""


class Kept(NamedTuple):
    """Memory of a wrapped method.

    Attributes:
      inner: the method's own memory.
      start: (variables, optimiser state, memory) that a reset goes back to.
      shares: (classes,) moving average of the share of each predicted class; () where it is not watched.
      since: updates since the last reset, an int32 scalar.
    """

    inner: Any
    start: tuple[Any, Any, Any]
    shares: Any
    since: Array


def _unwrapped(state: AdaptState) -> AdaptState:
    return state._replace(memory=state.memory.inner)


def _wrapped(method: Method, init: Callable, step: Callable, passes: tuple[int, int]) -> Method:
    """The method with another `init` and `step`; the rest sees the inner state."""

    def predict(state: AdaptState, batch: Batch) -> Array:
        return method.predict(_unwrapped(state), batch)

    def begin_epoch(state: AdaptState, observed: Any, key: PRNGKeyArray) -> AdaptState:
        inner = method.begin_epoch(_unwrapped(state), observed, key)
        return inner._replace(memory=state.memory._replace(inner=inner.memory))

    def observe(state: AdaptState, batch: Batch) -> Any:
        return method.observe(_unwrapped(state), batch)

    return method._replace(
        init=init,
        step=step,
        predict=predict,
        begin_epoch=None if method.begin_epoch is None else begin_epoch,
        observe=None if method.observe is None else observe,
        passes=passes,
    )


def _first(method: Method, variables: Variables, info: RunInfo, shares: Any) -> AdaptState:
    state = method.init(variables, info)
    start = jax.tree.map(jnp.array, (state.variables, state.opt_state, state.memory))
    return state._replace(memory=Kept(state.memory, start, shares, jnp.zeros((), jnp.int32)))


def _reset_if(wanted: Array, inner: AdaptState, kept: Kept) -> AdaptState:
    now = (inner.variables, inner.opt_state, inner.memory)
    variables, opt_state, memory = jax.tree.map(lambda a, b: jnp.where(wanted, a, b), kept.start, now)
    return AdaptState(variables, opt_state, memory, inner.step)


def episodic(method: Method, updates: int = 1) -> Method:
    """Every batch from the start: `updates` updates on it, then its prediction, then back.

    The prediction is the adapted method's; nothing is carried to the next batch.
    """

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return _first(method, variables, info, ())

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        kept = state.memory
        inner = AdaptState(*kept.start, state.step)
        for update in range(updates):
            inner, prediction = method.step(inner, batch, jax.random.fold_in(key, update))
        logits = method.predict(inner, batch)
        start = AdaptState(kept.start[0], kept.start[1], kept._replace(inner=kept.start[2]), inner.step)
        return start, Prediction(logits, prediction.losses)

    forward, backward = method.passes
    return _wrapped(method, init, step, (updates * forward + 1, updates * backward))


def reset_every(method: Method, updates: int) -> Method:
    """Back to the start after every `updates` updates."""
    if updates < 1:
        raise BadInput(f"reset every {updates} updates: expected at least 1")

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return _first(method, variables, info, ())

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        inner, prediction = method.step(_unwrapped(state), batch, key)
        since = state.memory.since + 1
        due = since >= updates
        inner = _reset_if(due, inner, state.memory)
        kept = state.memory._replace(inner=inner.memory, since=jnp.where(due, 0, since))
        return inner._replace(memory=kept), prediction

    return _wrapped(method, init, step, method.passes)


def reset_on_collapse(method: Method, share: float = COLLAPSE_SHARE, axis_name: str | None = None) -> Method:
    """Back to the start when one class takes more than `share` of the recent predictions.

    The share of each class is a moving average over batches (`KEPT` of the old), begun at the uniform one; a reset
    begins it anew.
    """

    def uniform(classes: int) -> Float[Array, " classes"]:
        return jnp.full((classes,), 1 / classes, jnp.float32)

    def init(variables: Variables, info: RunInfo) -> AdaptState:
        return _first(method, variables, info, uniform(info.classes))

    def step(state: AdaptState, batch: Batch, key: PRNGKeyArray) -> tuple[AdaptState, Prediction]:
        inner, prediction = method.step(_unwrapped(state), batch, key)
        classes = prediction.logits.shape[-1]
        hard = jax.nn.one_hot(prediction.logits.argmax(-1), classes, dtype=batch.weights.dtype) * batch.weights[:, None]
        counted, clips = total((hard.sum(0), batch.weights.sum()), axis_name)
        shares = KEPT * state.memory.shares + (1 - KEPT) * counted / clips
        due = shares.max() > share
        inner = _reset_if(due, inner, state.memory)
        since = jnp.where(due, 0, state.memory.since + 1)
        kept = state.memory._replace(inner=inner.memory, shares=jnp.where(due, uniform(classes), shares), since=since)
        return inner._replace(memory=kept), prediction

    return _wrapped(method, init, step, method.passes)


def check_rule(rule: str) -> None:
    """Raises `BadInput` unless `rule` is "none", "domain", "collapse" or "every:K"."""
    name, _, count = rule.partition(":")
    number = int(count) if count.isascii() and count.isdigit() else 0
    if rule not in ("none", "domain", "collapse") and not (name == "every" and number > 0):
        raise BadInput(f"reset rule {rule!r}: expected none, domain, collapse or every:K with a number K of updates")


def with_reset(method: Method, rule: str, axis_name: str | None = None) -> Method:
    """A method under a reset rule: "none", "domain" (the protocol's own doing), "collapse" or "every:K".

    Raises:
      BadInput: another rule.
    """
    check_rule(rule)
    if rule in ("none", "domain"):
        return method
    if rule == "collapse":
        return reset_on_collapse(method, axis_name=axis_name)
    return reset_every(method, int(rule.partition(":")[2]))
