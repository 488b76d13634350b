"""Protocols: in which order clips are seen, when a method predicts and when it adapts.

A protocol never sees a label: it yields logits, and the caller scores them. All randomness follows from a key and the
position (epoch, step), so a run that starts again from a saved state ends with the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from tqdm import tqdm

from dhauds_jax.types import AdaptState, Batch, Method

PROTOCOLS = ("offline", "online")


class Epoch(NamedTuple):
    """An evaluation of the offline protocol.

    Attributes:
      index: epochs adapted so far; 0 is the unadapted network.
      state: the state now. It is valid until the next item is asked for (its buffers are then donated).
      logits: (clips, classes) of `method.predict` over the whole set.
      losses: mean over the epoch's updates by name; empty at index 0.
    """

    index: int
    state: AdaptState
    logits: np.ndarray
    losses: dict[str, float]


class StreamStep(NamedTuple):
    """A step of the online protocol: `logits` belong to the clips `rows`, as predicted when they came by."""

    index: int
    state: AdaptState
    rows: np.ndarray
    logits: np.ndarray
    losses: dict[str, float]


def check_protocol(name: str) -> None:
    """Raises `ValueError` with the valid names when `name` is unknown."""
    if name not in PROTOCOLS:
        raise ValueError(f"unknown protocol {name!r}: expected one of {', '.join(PROTOCOLS)}")


def steps_per_epoch(clips: int, batch_size: int) -> int:
    """Updates in one pass, the last partial batch included."""
    return -(-clips // batch_size)


def stream_order(key: PRNGKeyArray, clips: int, epoch: int = 0) -> np.ndarray:
    """The order of one pass: a permutation of the clips that follows from key and epoch alone."""
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), clips))


def order_checksum(order: np.ndarray) -> str:
    """Twelve hexadecimal digits that identify a stream's order."""
    return hashlib.sha256(np.ascontiguousarray(order, np.int64).tobytes()).hexdigest()[:12]


def padded_batches(order: np.ndarray, batch_size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cuts an order into batches of equal size; the last is filled with its first clip, at weight 0."""
    batches = []
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        weights = np.zeros(batch_size, np.float32)
        weights[: len(rows)] = 1
        batches.append((np.concatenate([rows, np.full(batch_size - len(rows), rows[0], rows.dtype)]), weights))
    return batches


def _batch(waves: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> Batch:
    return Batch(jnp.asarray(waves[rows]), jnp.asarray(weights), jnp.asarray(rows, jnp.int32))


class Compiled(NamedTuple):
    """A method with its jitted functions; runs over sets of one shape share it and compile once."""

    method: Method
    step: Callable[..., tuple[AdaptState, Any]]
    predict: Callable[..., Array]
    observe: Callable[..., Any]


def compiled(method: Method) -> Compiled:
    """Jits a method's step (state donated) and prediction; a second compilation of either is a bug, and raises."""

    def once(name: str, function: Callable) -> Callable:
        traces = []

        def traced(*args: Any) -> Any:
            traces.append(1)
            if len(traces) > 1:
                raise RuntimeError(f"{name} was compiled twice in one run: shapes or types changed between batches")
            return function(*args)

        return traced

    step = jax.jit(once("step", method.step), donate_argnums=0)
    predict = jax.jit(once("predict", method.predict))
    observe = predict if method.observe is None else jax.jit(once("observe", method.observe))
    return Compiled(method, step, predict, observe)


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
        out.append((rows[:real], predict(state, _batch(waves, rows, weights))))

    def gathered(*parts: Array) -> np.ndarray:
        whole = np.zeros((len(waves), *parts[0].shape[1:]), parts[0].dtype)
        for (rows, _), part in zip(out, parts, strict=True):
            whole[rows] = np.asarray(part)[: len(rows)]
        return whole

    return jax.tree.map(gathered, *(values for _, values in out))


def _check_finite(losses: dict[str, Array], where: str) -> dict[str, float]:
    values = {name: float(value) for name, value in losses.items()}
    bad = [f"{name}={value}" for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(f"the loss is not finite at {where}: {', '.join(bad)}; lower the learning rate")
    return values


def _own(state: AdaptState) -> AdaptState:
    """A copy whose buffers may be donated."""
    return jax.tree.map(lambda x: jnp.array(x, copy=True), state)


def _adapt_one_epoch(
    step: Callable,
    state: AdaptState,
    waves: np.ndarray,
    batches: list[tuple[np.ndarray, np.ndarray]],
    key: PRNGKeyArray,
    epoch: int,
) -> tuple[AdaptState, dict[str, float]]:
    """One pass of updates. Losses are fetched one step late, so the device never waits for the host."""
    history: list[dict[str, float]] = []
    pending: tuple[dict[str, Array], str] | None = None
    for index, (rows, weights) in enumerate(batches):
        state, prediction = step(state, _batch(waves, rows, weights), jax.random.fold_in(key, index))
        if pending is not None:
            history.append(_check_finite(*pending))
        pending = (dict(prediction.losses), f"epoch {epoch + 1}, step {index + 1}")
    history.append(_check_finite(*pending))
    return state, {name: float(np.mean([h[name] for h in history])) for name in history[0]}


def offline(
    run: Compiled,
    state: AdaptState,
    waves: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKeyArray,
    begin: int = 0,
    progress: str | None = None,
) -> Iterator[Epoch]:
    """The offline protocol: evaluate the whole set, then `epochs` times adapt to it in one shuffled pass and evaluate.

    Args:
      run: the jitted adaptation method.
      state: its state, of `method.init` or of an earlier run.
      waves: (clips, time) waveforms of the unlabelled set.
      epochs: passes over the set.
      batch_size: clips in an update and in an evaluation batch; the last partial batch is kept, padded.
      key: everything random follows from it and from the epoch.
      begin: epochs that `state` has behind it; the evaluation of that epoch is not repeated when it is above 0.
      progress: text of a progress bar, None for none.

    Raises:
      FloatingPointError: a loss is not finite; it says in which epoch and step.
    """
    state = _own(state)
    order_key, step_key = jax.random.split(key)
    # Batches of an evaluation are mixed once: label-sorted test lists would starve batch statistics (quirk 68).
    mixed = stream_order(jax.random.fold_in(order_key, 1), len(waves))
    if begin == 0:
        yield Epoch(0, state, evaluate(run.predict, state, waves, batch_size, mixed), {})
    bar = tqdm(total=epochs, desc=progress, disable=progress is None, initial=begin, unit="epoch")
    for epoch in range(begin, epochs):
        batches = padded_batches(stream_order(jax.random.fold_in(order_key, 0), len(waves), epoch), batch_size)
        epoch_key = jax.random.fold_in(step_key, epoch)
        if run.method.begin_epoch is not None:
            observed = jax.tree.map(jnp.asarray, evaluate(run.observe, state, waves, batch_size, mixed))
            state = run.method.begin_epoch(state, observed, jax.random.fold_in(epoch_key, 2**31 - 1))
        state, losses = _adapt_one_epoch(run.step, state, waves, batches, epoch_key, epoch)
        logits = evaluate(run.predict, state, waves, batch_size, mixed)
        bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items() if name == "total"})
        bar.update()
        yield Epoch(epoch + 1, state, logits, losses)


def online(
    run: Compiled,
    state: AdaptState,
    waves: np.ndarray,
    *,
    batch_size: int,
    key: PRNGKeyArray,
    begin: int = 0,
    progress: str | None = None,
) -> Iterator[StreamStep]:
    """The online protocol: one pass over a shuffled stream, each batch predicted and adapted to as it comes.

    Arguments as in `offline`; `begin` is the number of steps that `state` has behind it. A method's docstring says
    whether its step predicts before or after its update.
    """
    state = _own(state)
    order_key, step_key = jax.random.split(key)
    batches = padded_batches(stream_order(order_key, len(waves)), batch_size)
    bar = tqdm(
        batches[begin:], desc=progress, disable=progress is None, initial=begin, total=len(batches), unit="batch"
    )
    for index, (rows, weights) in enumerate(bar, start=begin):
        state, prediction = run.step(state, _batch(waves, rows, weights), jax.random.fold_in(step_key, index))
        losses = _check_finite(dict(prediction.losses), f"step {index + 1} of the stream")
        real = int(weights.sum())
        yield StreamStep(index, state, rows[:real], np.asarray(prediction.logits)[:real], losses)
