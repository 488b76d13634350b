"""Jitted methods and evaluations of whole sets: what all protocols share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax.tta.streams import padded_batches
from dhauds_jax.types import AdaptState, Batch, Method


def batch_of(waves: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> Batch:
    """The batch of some rows of a set, on the device."""
    return Batch(jnp.asarray(waves[rows]), jnp.asarray(weights), jnp.asarray(rows, jnp.int32))


class Compiled(NamedTuple):
    """A method with its jitted functions; runs over sets of one shape share it and compile once.

    `predict_alone` is `predict` on each clip of a batch by itself, as batches of one.
    """

    method: Method
    step: Callable[..., tuple[AdaptState, Any]]
    predict: Callable[..., Array]
    observe: Callable[..., Any]
    predict_alone: Callable[..., Array]


def compiled(method: Method, compiler_options: Mapping[str, Any] | None = None) -> Compiled:
    """Jits a method's step (state donated) and prediction; a second compilation of either is a bug, and raises.

    `compiler_options` go to XLA, such as `{"xla_backend_optimization_level": 0}` for short runs of many methods.
    """
    jit = functools.partial(jax.jit, compiler_options=None if compiler_options is None else dict(compiler_options))

    def once(name: str, function: Callable) -> Callable:
        traces = []

        def traced(*args: Any) -> Any:
            traces.append(1)
            if len(traces) > 1:
                raise RuntimeError(f"{name} was compiled twice in one run: shapes or types changed between batches")
            return function(*args)

        return traced

    step = jit(once("step", method.step), donate_argnums=0)
    predict = jit(once("predict", method.predict))
    observe = predict if method.observe is None else jit(once("observe", method.observe))

    def alone(state: AdaptState, batch: Batch) -> Array:
        def one(wave: Array, weight: Array, index: Array) -> Array:
            return method.predict(state, Batch(wave[None], weight[None], index[None]))[0]

        # Padded rows count as real here: each is a batch of its own, and a batch without a clip has no statistics.
        return jax.vmap(one)(batch.wave, jnp.ones_like(batch.weights), batch.index)

    return Compiled(method, step, predict, observe, jit(once("predict_alone", alone)))


def evaluate(
    predict: Callable[[AdaptState, Batch], Any],
    state: AdaptState,
    waves: np.ndarray,
    batch_size: int,
    order: np.ndarray | None = None,
) -> Any:
    """What a jitted `predict` (or `observe`) says of a whole set: arrays (clips, ...) in the set's order.

    `order` says in which order the clips are batched: it matters to methods that use a batch's statistics.
    """
    order = np.arange(len(waves)) if order is None else order
    out: list[tuple[np.ndarray, Any]] = []
    for rows, weights in padded_batches(order, batch_size):
        real = int(weights.sum())
        out.append((rows[:real], predict(state, batch_of(waves, rows, weights))))

    def gathered(*parts: Array) -> np.ndarray:
        whole = np.zeros((len(waves), *parts[0].shape[1:]), parts[0].dtype)
        for (rows, _), part in zip(out, parts, strict=True):
            whole[rows] = np.asarray(part)[: len(rows)]
        return whole

    return jax.tree.map(gathered, *(values for _, values in out))


def check_finite(losses: dict[str, Array], where: str) -> dict[str, float]:
    """Losses as floats; raises `FloatingPointError` saying `where` one of them is not finite."""
    values = {name: float(value) for name, value in losses.items()}
    bad = [f"{name}={value}" for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(f"the loss is not finite at {where}: {', '.join(bad)}; lower the learning rate")
    return values


def own(state: AdaptState) -> AdaptState:
    """A copy whose buffers may be donated."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), state)
