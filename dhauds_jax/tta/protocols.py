"""Protocols: in which order clips are seen, when a method predicts, when it adapts and when it starts anew.

A protocol never sees a label: it yields logits, and the caller scores them. All randomness follows from a key and the
position (epoch, step), so a run that starts again from a saved state ends with the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import parallel as parallels
from dhauds_jax.interrupts import Stopped, never
from dhauds_jax.progress import FIRST, progress_bar
from dhauds_jax.tta import sliding, streams
from dhauds_jax.tta.evaluation import Compiled, check_finite, compiled, evaluate, own
from dhauds_jax.tta.feeding import Waves, batch_of, batches_of
from dhauds_jax.tta.schedules import PROTOCOLS, check_protocol, make_stream, resolve_options
from dhauds_jax.tta.schedules.protocol import ORDERS, STREAM_OPTIONS, Protocol, Range
from dhauds_jax.tta.streams import StreamBatch, padded_batches
from dhauds_jax.types import AdaptState

__all__ = [
    "ORDERS", "PROTOCOLS", "STREAM_OPTIONS", "Compiled", "Epoch", "Protocol", "Range", "StreamStep", "Within",
    "check_protocol", "compiled", "evaluate", "evaluation_order", "make_stream", "offline", "online", "order_checksum",
    "padded_batches",
    "resolve_options", "steps_per_epoch", "stream_order", "updates_every",
]  # fmt: skip


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
    """A step of a stream: `logits` belong to the clips `rows`, as predicted when they came by.

    Logits and losses may still be computing: who fetches them a step late keeps the devices busy.
    """

    index: int
    state: AdaptState
    rows: np.ndarray
    logits: Array
    losses: dict[str, Array]


class Within(NamedTuple):
    """How far an unfinished epoch of the offline protocol is: updates done, and the losses of each."""

    updates: int = 0
    losses: Sequence[dict[str, float]] = ()


def steps_per_epoch(clips: int, batch_size: int) -> int:
    """Updates in one pass, the last partial batch included."""
    return -(-clips // batch_size)


def updates_every(passes: tuple[int, int], budget: float) -> int:
    """Under a timed stream, a method adapts to every k-th batch: `k = ceil((forward + 2 backward) / budget)`.

    A backward pass counts as two forward passes; `budget` is the forward passes that fit between two batches. Counted
    passes stand for time so that results repeat on every machine.

    Source: Alfarra et al., ICML 2024, arXiv 2304.04795 (there with measured times).
    """
    return max(1, int(np.ceil((passes[0] + 2 * passes[1]) / budget)))


def stream_order(key: PRNGKeyArray, clips: int, epoch: int = 0) -> np.ndarray:
    """The order of one pass: a permutation of the clips that follows from key and epoch alone."""
    return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), clips))


def evaluation_order(key: PRNGKeyArray, clips: int) -> np.ndarray:
    """The order in which `offline` with this key batches its evaluations.

    It is mixed once: label-sorted test lists would starve batch statistics (quirk 68).
    """
    order_key, _ = jax.random.split(key)
    return stream_order(jax.random.fold_in(order_key, 1), clips)


def order_checksum(order: np.ndarray) -> str:
    """Twelve hexadecimal digits that identify a stream's order."""
    return hashlib.sha256(np.ascontiguousarray(order, np.int64).tobytes()).hexdigest()[:12]


def _adapt_one_epoch(
    run: Compiled,
    state: AdaptState,
    waves: Waves,
    batches: list[tuple[np.ndarray, np.ndarray]],
    key: PRNGKeyArray,
    epoch: int,
    together: int,
    within: Within,
    asked: Callable[[], bool],
) -> tuple[AdaptState, dict[str, float]]:
    """One pass of updates, `together` in a dispatch (what is left over, one by one).

    Losses are fetched a dispatch late, so the devices never wait for the host.
    """
    history: list[dict[str, float]] = list(within.losses)
    pending: tuple[Mapping[str, Array], int] | None = None

    def fetch() -> None:
        if pending is None:
            return
        values = {name: np.atleast_1d(np.asarray(value)) for name, value in pending[0].items()}
        for i in range(len(next(iter(values.values()), ()))):
            where = f"epoch {epoch + 1}, step {pending[1] + i + 1}"
            history.append(check_finite({name: value[i] for name, value in values.items()}, where))

    first = within.updates
    while first < len(batches):
        count = together if first + together <= len(batches) else 1
        if count == 1:
            batch = batch_of(waves, *batches[first], run.parallel)
            state, prediction = run.step(state, batch, jax.random.fold_in(key, first))
            losses = prediction.losses
        else:
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(first, first + count))
            state, losses = run.steps(state, batches_of(waves, batches[first : first + count], run.parallel), keys)
        fetch()
        pending, first = (losses, first), first + count
        if asked():
            fetch()
            raise Stopped(state, epoch, first, history)
    fetch()
    return state, {name: float(np.mean([h[name] for h in history])) for name in (history[0] if history else ())}


def _begun(run: Compiled, state: AdaptState, observed: Any, key: PRNGKeyArray) -> AdaptState:
    """The state after `begin_epoch`, which every process computes alike on one device."""
    state = run.method.begin_epoch(parallels.here(run.parallel, state), jax.tree.map(jnp.asarray, observed), key)
    return state if run.parallel.kind == "jit" else own(state, run.parallel)


def offline(
    run: Compiled,
    state: AdaptState,
    waves: Waves,
    *,
    epochs: int,
    batch_size: int,
    key: PRNGKeyArray,
    begin: int = 0,
    progress: str | None = None,
    together: int = 1,
    within: Within = Within(),  # noqa: B008  (a tuple)
    asked: Callable[[], bool] = never,
    opening: Callable[[], AdaptState] | None = None,
) -> Iterator[Epoch]:
    """The offline protocol: evaluate the whole set, then `epochs` times adapt to it in one shuffled pass and evaluate.

    Args:
      run: the jitted adaptation method.
      state: its state, of `method.init` or of an earlier run.
      waves: (clips, time) waveforms of the unlabelled set, on the host or held on the devices.
      epochs: passes over the set.
      batch_size: clips in an update and in an evaluation batch; the last partial batch is kept, padded.
      key: everything random follows from it and from the epoch.
      begin: epochs that `state` has behind it; the evaluation of that epoch is not repeated when it is above 0.
      progress: text of a progress bar, None for none.
      together: updates in one dispatch; more than one saves the host's work where updates are short.
      within: of the epoch after `begin`, what `state` has behind it already.
      asked: says whether to stop (Ctrl-C); it is asked between dispatches.
      opening: gives the state that the first update starts from, in place of the one that epoch 0 was evaluated with.

    Raises:
      FloatingPointError: a loss is not finite; it says in which epoch and step. Stopped: `asked` said so; it holds what
        goes on from there.
    """
    state = own(state, run.parallel)
    order_key, step_key = jax.random.split(key)
    mixed = evaluation_order(key, len(waves))
    shown = {"disable": progress is None, "unit": "epoch", "awaited": FIRST.format("epoch"), "whole": True}
    bar = progress_bar(total=epochs, desc=progress, initial=begin, **shown)
    if begin == 0 and not within.updates:
        yield Epoch(0, state, evaluate(run.predict, state, waves, batch_size, mixed, run.parallel), {})
        state = state if opening is None else own(opening(), run.parallel)
    for epoch in range(begin, epochs):
        batches = padded_batches(stream_order(jax.random.fold_in(order_key, 0), len(waves), epoch), batch_size)
        epoch_key = jax.random.fold_in(step_key, epoch)
        if run.method.begin_epoch is not None and not within.updates:
            observed = evaluate(run.observe, state, waves, batch_size, mixed, run.parallel)
            state = _begun(run, state, observed, jax.random.fold_in(epoch_key, 2**31 - 1))
        state, losses = _adapt_one_epoch(run, state, waves, batches, epoch_key, epoch, together, within, asked)
        within = Within()
        logits = evaluate(run.predict, state, waves, batch_size, mixed, run.parallel)
        bar.set_postfix({name: f"{value:.3f}" for name, value in losses.items() if name == "total"})
        bar.update()
        yield Epoch(epoch + 1, state, logits, losses)
    bar.close()


def online(
    run: Compiled,
    state: AdaptState,
    waves: Waves,
    *,
    batch_size: int,
    key: PRNGKeyArray,
    stream: Sequence[StreamBatch] | None = None,
    order: str = "predict_first",
    alone: bool = False,
    window: int = 0,
    every: int = 1,
    fresh: Callable[[], AdaptState] | None = None,
    begin: int = 0,
    progress: str | None = None,
) -> Iterator[StreamStep]:
    """One pass over a stream, each batch predicted and adapted to as it comes.

    Arguments as in `offline`, and:
      stream: the batches (None: all clips, shuffled).
      order: "predict_first" takes the prediction of the method's own step (whose docstring says whether it was made
        before the update or, for methods that mean it so, after); "adapt_first" predicts again after the step.
      alone: clips come one by one: each is predicted as a batch of one, and the step follows when the batch is full.
      window: with `alone`, each clip is predicted with the statistics of the last so many clips, itself among them
        (`tta.sliding`); 0 is as the network is.
      every: the method adapts to every k-th batch; the others are predicted as they come by.
      fresh: gives the state that every domain after the first starts with (None: no reset).
      begin: steps that `state` has behind it.
    """
    state = own(state, run.parallel)
    order_key, step_key = jax.random.split(key)
    batches = streams.batches(streams.shuffled(order_key, len(waves)), batch_size) if stream is None else stream
    shown = {"disable": progress is None, "unit": "batch", "awaited": FIRST.format("batch"), "whole": True}
    bar = progress_bar(batches[begin:], desc=progress, initial=begin, total=len(batches), **shown)
    unchecked: tuple[dict[str, Array], str] | None = None
    for index, (rows, weights, domain, opens) in enumerate(bar, start=begin):
        batch, real = batch_of(waves, rows, weights, run.parallel), int(weights.sum())
        if opens and domain and fresh is not None:
            state = own(fresh(), run.parallel)
        logits, losses = None, {}
        if alone and window:
            logits = run.predict_window(state, batch, sliding.before(waves, batches, index, window, run.parallel))
        elif alone or index % every:
            logits = (run.predict_alone if alone else run.predict)(state, batch)
        if not index % every:
            state, prediction = run.step(state, batch, jax.random.fold_in(step_key, index))
            losses = dict(prediction.losses)
            if logits is None:
                logits = prediction.logits if order == "predict_first" else run.predict(state, batch)
        if unchecked is not None:
            check_finite(*unchecked)
        unchecked = (losses, f"step {index + 1} of the stream")
        yield StreamStep(index, state, rows[:real], logits if len(logits) == real else logits[:real], losses)
    if unchecked is not None:
        check_finite(*unchecked)
