"""The offline and the online protocol for many copies of a run at once, and evaluations of whole sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.progress import FIRST, progress_bar
from dhauds_jax.tta.evaluation import own
from dhauds_jax.tta.protocols import ORDERS, stream_order
from dhauds_jax.tta.streams import StreamBatch, batches, padded_batches, shuffled
from dhauds_jax.tta.vectorised import Copy, Shared, Study
from dhauds_jax.types import AdaptState, Batch

Waves = np.ndarray | Sequence[np.ndarray]
"""One set (clips, time) for all seeds, or one for each."""


class StudyEpoch(NamedTuple):
    """An evaluation of the offline protocol, of every copy.

    Attributes:
      index: epochs adapted so far; 0 is the unadapted network.
      copies: the copies now, valid until the next item is asked for (their buffers are then donated).
      logits: (seeds, rates, clips, classes) of `predict` over the whole set.
      losses: (seeds, rates) means over the epoch's updates by name; empty at index 0.
      diverged: the copies with a loss that was not finite so far, and where the first one was.
    """

    index: int
    copies: AdaptState
    logits: np.ndarray
    losses: dict[str, np.ndarray]
    diverged: dict[Copy, str]


class StudyStep(NamedTuple):
    """A step of the streams of all seeds: `logits` (seeds, rates, rows, classes) belong to the clips `rows` (a row of
    positions for each seed); the rest as in `StudyEpoch`."""

    index: int
    copies: AdaptState
    rows: np.ndarray
    logits: np.ndarray
    losses: dict[str, np.ndarray]
    diverged: dict[Copy, str]


def _set_of(waves: Waves, seed: int) -> np.ndarray:
    return waves if isinstance(waves, np.ndarray) else waves[seed]


def _batch(waves: Waves, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Batch:
    """The next batch of each seed from its (rows, weights); a single one (for all seeds) has no axis of seeds."""
    gathered = [_set_of(waves, seed)[rows] for seed, (rows, _) in enumerate(parts)]
    rows, weights = (np.stack(column) for column in zip(*parts, strict=True))
    whole = Batch(np.stack(gathered), weights, rows.astype(np.int32))
    return jax.tree.map(lambda x: jnp.asarray(x[0] if len(parts) == 1 else x), whole)


def _check_sets(study: Study, waves: Waves, keys: Sequence[PRNGKeyArray]) -> int:
    """The clips of a set; `BadInput` unless each seed has a key, and all one set or each its own of equal shape."""
    if len(keys) != study.seeds:
        raise BadInput(f"{len(keys)} keys for {study.seeds} seeds: expected one a seed")
    if isinstance(waves, np.ndarray):
        return len(waves)
    shapes = {w.shape for w in waves}
    if len(waves) != study.seeds or len(shapes) != 1:
        raise BadInput(
            f"{len(waves)} sets of shapes {sorted(shapes)} for {study.seeds} seeds: expected one set, or one a seed of "
            "equal shape"
        )
    return len(waves[0])


def evaluate(
    function: Callable[..., Any],
    study: Study,
    copies: AdaptState,
    shared: Shared,
    waves: Waves,
    batch_size: int,
    orders: Sequence[np.ndarray] | None = None,
) -> Any:
    """What `study.predict` (or `observe`) says of whole sets: arrays (seeds, rates, clips, ...) in the sets' order.

    `orders` says in which order each seed's clips are batched; None: as they lie, one batch for all seeds of one set.
    """
    clips = len(_set_of(waves, 0))
    if orders is None:
        orders = [np.arange(clips)] * (1 if isinstance(waves, np.ndarray) else study.seeds)
    out: list[tuple[list[np.ndarray], Any]] = []
    for parts in zip(*(padded_batches(order, batch_size) for order in orders), strict=True):
        real = int(parts[0][1].sum())
        out.append(([rows[:real] for rows, _ in parts], function(copies, shared, _batch(waves, parts))))

    def gathered(*values: Array) -> np.ndarray:
        whole = np.zeros((*study.shape, clips, *values[0].shape[3:]), values[0].dtype)
        for (rows, _), value in zip(out, values, strict=True):
            fetched = np.asarray(value)
            for seed in range(study.seeds):
                mine = rows[seed if len(rows) > 1 else 0]
                whole[seed][:, mine] = fetched[seed][:, : len(mine)]
        return whole

    return jax.tree.map(gathered, *(values for _, values in out))


class _Watch:
    """Losses of all copies, and the copies that were lost on the way: they go on, and touch no other."""

    def __init__(self) -> None:
        self.diverged: dict[Copy, str] = {}

    def fetched(self, losses: Mapping[str, Array], where: str) -> dict[str, np.ndarray]:
        values = {name: np.asarray(value) for name, value in losses.items()}
        for name, value in values.items():
            for copy in np.argwhere(~np.isfinite(value)):
                k, r = map(int, copy)
                self.diverged.setdefault((k, r), f"the loss is not finite at {where}: {name}={value[k, r]}")
        return values


def _folded(keys: Array, data: int) -> Array:
    return jax.vmap(lambda key: jax.random.fold_in(key, data))(keys)


def offline(
    study: Study,
    copies: AdaptState,
    shared: Shared,
    waves: Waves,
    *,
    epochs: int,
    batch_size: int,
    keys: Sequence[PRNGKeyArray],
    progress: str | None = None,
) -> Iterator[StudyEpoch]:
    """`protocols.offline` of every copy.

    Args:
      study: the jitted functions.
      copies: of `start`.
      shared: of `start`.
      waves: the unlabelled set, or one a seed.
      epochs: passes over the set.
      batch_size: clips in an update; the last partial batch is kept, padded.
      keys: of each seed, as the plain run takes it.
      progress: text of a progress bar, None for none.

    Raises:
      BadInput: as many keys or sets as seeds are missing.
    """
    clips, copies, watch = _check_sets(study, waves, keys), own(copies), _Watch()
    order_keys, step_keys = zip(*(jax.random.split(key) for key in keys), strict=True)
    mixed = [stream_order(jax.random.fold_in(key, 1), clips) for key in order_keys]

    def evaluated(function: Callable[..., Any]) -> Any:
        return evaluate(function, study, copies, shared, waves, batch_size, mixed)

    shown = {"disable": progress is None, "unit": "epoch", "awaited": FIRST.format("epoch"), "whole": True}
    bar = progress_bar(range(epochs), desc=progress, **shown)
    yield StudyEpoch(0, copies, evaluated(study.predict), {}, {})
    for epoch in bar:
        orders = [stream_order(jax.random.fold_in(key, 0), clips, epoch) for key in order_keys]
        epoch_keys = _folded(jnp.stack(step_keys), epoch)
        if study.begin_epoch is not None:
            observed = jax.tree.map(jnp.asarray, evaluated(study.observe))
            copies = study.begin_epoch(copies, shared, observed, _folded(epoch_keys, 2**31 - 1))
        history, pending = [], None
        for index, parts in enumerate(zip(*(padded_batches(order, batch_size) for order in orders), strict=True)):
            copies, prediction = study.step(copies, shared, _batch(waves, parts), _folded(epoch_keys, index))
            if pending is not None:  # a step late, so that the device never waits for the host
                history.append(watch.fetched(*pending))
            pending = (prediction.losses, f"epoch {epoch + 1}, step {index + 1}")
        history.append(watch.fetched(*pending))
        losses = {name: np.mean([h[name] for h in history], axis=0, dtype=np.float64) for name in history[0]}
        yield StudyEpoch(epoch + 1, copies, evaluated(study.predict), losses, dict(watch.diverged))


def online(
    study: Study,
    copies: AdaptState,
    shared: Shared,
    waves: Waves,
    *,
    batch_size: int,
    keys: Sequence[PRNGKeyArray],
    streams: Sequence[Sequence[StreamBatch]] | None = None,
    order: str = "predict_first",
    progress: str | None = None,
) -> Iterator[StudyStep]:
    """`protocols.online` of every copy.

    Arguments as in `offline`, and:
      streams: the batches of each seed, equally many of equal size (None: all clips, shuffled by each seed's key).
      order: "predict_first" takes the prediction of the method's own step, "adapt_first" predicts again after it.

    Raises:
      BadInput: as many keys or sets as seeds are missing, or an unknown order.
    """
    clips, copies, watch = _check_sets(study, waves, keys), own(copies), _Watch()
    registry.check("order", order, ORDERS)
    order_keys, step_keys = zip(*(jax.random.split(key) for key in keys), strict=True)
    if streams is None:
        streams = [batches(shuffled(key, clips), batch_size) for key in order_keys]
    steps = list(zip(*streams, strict=True))
    shown = {"disable": progress is None, "unit": "batch", "awaited": FIRST.format("batch"), "whole": True}
    for index, items in enumerate(progress_bar(steps, desc=progress, **shown)):
        batch, real = _batch(waves, [(item.rows, item.weights) for item in items]), int(items[0].weights.sum())
        copies, prediction = study.step(copies, shared, batch, _folded(jnp.stack(step_keys), index))
        logits = prediction.logits if order == "predict_first" else study.predict(copies, shared, batch)
        losses = watch.fetched(prediction.losses, f"step {index + 1} of the stream")
        rows = np.stack([item.rows[:real] for item in items])
        yield StudyStep(index, copies, rows, np.asarray(logits)[:, :, :real], losses, dict(watch.diverged))
