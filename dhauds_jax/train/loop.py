"""Source training: label-smoothed cross-entropy summed over augmented views, with the reference's optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from dhauds_jax import metrics, parallel
from dhauds_jax.data.pipeline import ClipSplit, to_float
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import epochs_of
from dhauds_jax.interrupts import Stopped, never
from dhauds_jax.nets import masks
from dhauds_jax.nets.config import reading
from dhauds_jax.nets.normalisers import TRAIN
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.progress import FIRST, Bar, progress_bar
from dhauds_jax.train.augment import check_augmentation, make_augment, mix, target_loss
from dhauds_jax.train.auxiliary import check_aux_options, make_aux_loss
from dhauds_jax.train.evaluation import BATCH, fed, make_evaluator
from dhauds_jax.train.optimisers import learning_rate, make_optimiser
from dhauds_jax.train.options import TrainOptions, check_options
from dhauds_jax.train.selection import kept_variables, row
from dhauds_jax.train.views import TrainBatch, make_features, make_view
from dhauds_jax.tta import losses
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.protocols import stream_order
from dhauds_jax.types import Classifier, Variables
from dhauds_jax.workdir.saver import Saver, watching


class TrainState(NamedTuple):
    """What changes while training; `best` are the variables of the best validation epoch so far, or their average."""

    variables: Variables
    opt_state: Any
    best: Variables


def make_step(
    classifier: Classifier,
    options: TrainOptions,
    optimiser: optax.GradientTransformation,
    noise: Array | None,
    short: bool,
    axis_name: str | None = None,
) -> Callable[[Variables, Any, TrainBatch, Array], tuple[Variables, Any, Array]]:
    """One update `(variables, opt_state, batch, key) -> (variables, opt_state, loss)`: K views, losses summed.

    `axis_name` is the mapped axis over which the batch is spread, if any.
    """
    rows = (noise, short, classifier.config.length, reading(classifier.config.front_end)["layout"])
    views = [make_view(name, options, *rows) for name in options.views]
    features = make_features(classifier, options)
    augment = make_augment(options, classifier.config)
    classes = len(classifier.config.classes)
    # Labels as they are, unless something needs them as rows.
    plain = options.loss != "binary" and not options.mixup
    of_labels = (
        losses.double_softmax_cross_entropy if options.loss == "double_softmax" else losses.smoothed_cross_entropy
    )
    clean = make_view("clean", options, *rows)
    auxiliary = make_aux_loss(classifier, options, clean, axis_name)

    def step(variables: Variables, opt_state: Any, batch: TrainBatch, key: Array) -> tuple[Variables, Any, Array]:
        moving, frozen = masks.split(variables["params"], options.group)
        waves = [view(jax.random.fold_in(key, i), batch) for i, view in enumerate(views)]
        targets = [None if plain else jax.nn.one_hot(batch.labels, classes)] * len(views)
        if options.mixup:
            keys = [jax.random.fold_in(key, 3000 + i) for i in range(len(views))]
            shared = (batch.weights, batch.index, options.mixup, axis_name)
            mixed = [mix(k, wave, target, *shared) for k, wave, target in zip(keys, waves, targets)]
            waves, targets = (list(parts) for parts in zip(*mixed))

        def seen(wave: Array, key: Array) -> Array:
            inputs = features(key, wave, batch.index)
            return inputs if augment is None else augment(key, inputs, batch.index)

        def loss(leaves: Any) -> tuple[Array, Any]:
            value, stats = jnp.zeros(()), variables["batch_stats"]
            params = masks.merge(leaves, frozen)
            for i, (wave, target) in enumerate(zip(waves, targets)):
                outputs, stats = classifier.apply_features(
                    {"params": params, "batch_stats": stats},
                    seen(wave, jax.random.fold_in(key, 4000 + i)),
                    mode=TRAIN,
                    weights=batch.weights,
                    rngs={"dropout": jax.random.fold_in(key, 1000 + i)},
                    axis_name=axis_name,
                )
                if plain:
                    value += of_labels(
                        outputs.logits, batch.labels, batch.weights, axis_name, smoothing=options.smoothing
                    )
                else:
                    settings = {"loss": options.loss, "smoothing": options.smoothing}
                    value += target_loss(outputs.logits, target, batch.weights, axis_name, **settings)
            if auxiliary is None:
                return value, stats
            more, stats = auxiliary(params, stats, batch, key)
            return value + more, stats

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(moving)
        grads = grads if axis_name is None else jax.lax.pmean(grads, axis_name)
        updates, opt_state = optimiser.update(grads, opt_state, moving)
        params = masks.merge(optax.apply_updates(moving, updates), frozen)
        return {"params": params, "batch_stats": stats}, opt_state, value

    return step


class _Pass(NamedTuple):
    """One epoch's updates: what came of them, seconds they took, seconds of these that the host waited for data."""

    variables: Variables
    opt_state: Any
    loss: float
    seconds: float
    waited: float


def _spread_step(where: Parallel, step: Callable, compiler_options: Mapping[str, Any] | None) -> Callable:
    """A step of `make_step`, compiled; variables and the optimiser's state are donated."""
    if where.kind == "jit":
        return jax.jit(step, donate_argnums=(0, 1), compiler_options=compiler_options)

    def whole(state: tuple[Variables, Any], batch: TrainBatch, key: Array) -> tuple[Any, Any]:
        return step(*state, batch, key), ()

    run = parallel.spread(where, whole, donate=True, rest=1)
    return lambda variables, opt_state, batch, key: run((variables, opt_state), batch, key)[0]


def _epoch(
    step: Callable,
    state: TrainState,
    clips: ClipSplit,
    batch_size: int,
    key: Array,
    epoch: int,
    bar: Bar,
    fresh: bool,
    where: Parallel,
    losses: Sequence[float],
    stop: Callable[[], bool],
    steps: int,
) -> _Pass:
    """One pass, after the updates that gave `losses`; raises `Stopped` between two when `stop` says so.

    With `fresh` the step compiles in its first update, which then is not timed.
    """
    order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
    variables, opt_state, seen, pending = state.variables, state.opt_state, list(losses), None
    first = len(seen)
    order = stream_order(order_key, len(clips.ids))[: steps * batch_size]
    feed = fed(clips, order[first * batch_size :], batch_size, where)
    begun, waited = time.perf_counter(), 0.0
    for index in range(first, steps):
        asked = time.perf_counter()
        batch = next(feed)
        waited += time.perf_counter() - asked
        batch = batch._replace(wave=to_float(batch.wave))
        variables, opt_state, loss = step(variables, opt_state, batch, jax.random.fold_in(step_key, index))
        bar.update()
        if fresh and index == first:
            begun, waited = time.perf_counter(), 0.0
        if pending is not None:
            seen.append(float(pending))  # one step late, so the device never waits
        pending = loss
        if seen and not np.isfinite(seen[-1]):
            break
        if stop():
            break
    feed.close()
    if pending is not None:
        seen.append(float(pending))
    if not np.all(np.isfinite(seen)):
        raise FloatingPointError(f"the training loss is {seen[-1]} in epoch {epoch + 1}: lower --lr")
    if stop():
        raise Stopped((variables, opt_state), epoch, len(seen), seen)
    return _Pass(variables, opt_state, float(np.mean(seen)), time.perf_counter() - begun, waited)


SCORES = ("accuracy", "macro_f1", "nll")
"""What is measured on the validation clips after each epoch, functions of `dhauds_jax.metrics`."""


class TrainEpoch(NamedTuple):
    """The end of an epoch.

    Attributes:
      index: epochs done.
      loss: mean over the updates.
      validation: accuracy.
      state: the state.
      seconds: that the updates took (in the first epoch of a sitting without the first of them, which compiles).
      waited: seconds of these in which the host had no batch; the device may have been busy with the last one, so it
        waited for data no longer than that.
      scores: accuracy, macro_f1 and nll of the validation clips, and lr, the rate of the last update; empty for an
        epoch of an earlier sitting.
      logits: (clips, classes) of the validation clips; None for an epoch of an earlier sitting.
    """

    index: int
    loss: float
    validation: float
    state: TrainState
    seconds: float = 0.0
    waited: float = 0.0
    scores: Mapping[str, float] = MappingProxyType({})
    logits: np.ndarray | None = None


def train(
    classifier: Classifier,
    variables: Variables,
    clips: ClipSplit,
    validation: ClipSplit,
    options: TrainOptions,
    *,
    seed: int,
    noise: np.ndarray | None = None,
    saver: Saver | None = None,
    earlier: Saver | None = None,
    history: list[dict[str, float]] | None = None,
    where: Parallel = ONE,
    compiler_options: Mapping[str, Any] | None = None,
    whole_batches: bool = False,
) -> Iterator[TrainEpoch]:
    """Trains and yields after each epoch, then saves it; goes on from `saver`'s unfinished run, or else `earlier`.

    Args:
      classifier: the network.
      variables: first variables.
      clips: training clips, in rows at least as long as the network's clips.
      validation: clips scored after each epoch, in rows exactly as long.
      options: the recipe.
      seed: everything random follows from it and the position.
      noise: (samples,) training noise at the classifier's rate, for the "noise" view.
      saver: where the state of an unfinished run is kept, and in the end that of the finished one.
      earlier: the state of this training after fewer epochs.
      history: filled with one dict an epoch, earlier ones of a resumed run included.
      where: the devices that it trains on.
      compiler_options: of updates and validation, for XLA (one device alone).
      whole_batches: whether an epoch's last batch is left out where it is not full.

    Raises:
      BadInput: options that cannot be, noise shorter than the clips, a state after more epochs.
      FloatingPointError: a loss or a prediction is not finite. KeyboardInterrupt: Ctrl-C, after the `saver`
        has kept the state.
    """
    check_options(options, noise)
    check_aux_options(options, variables)
    check_augmentation(options, classifier.config)
    if "noise" in options.views and len(noise) < clips.width:
        raise BadInput(f"the training noise has {len(noise)} samples, expected at least the clips' {clips.width}")
    history = [] if history is None else history
    steps = -(-len(clips.ids) // options.batch_size)
    if whole_batches:
        steps = max(1, len(clips.ids) // options.batch_size)
    optimiser = make_optimiser(options, steps)
    state = TrainState(variables, optimiser.init(masks.split(variables["params"], options.group)[0]), variables)
    found = (saver and saver.load(state)) or (earlier and earlier.load(state))
    state, info = found or (state, {"history": []})
    history += info["history"]
    begun = info.get("losses", [])  # of the epoch that Ctrl-C broke off
    parallel.same_everywhere(len(history), "finished epochs")
    state = parallel.everywhere(where, state)
    if len(history) > options.epochs:
        raise BadInput(f"--epochs={options.epochs}: the saved state of this training has {len(history)} epochs done")
    if len(history) == options.epochs:  # killed between the last epoch and its checkpoint
        yield TrainEpoch(len(history), history[-1]["loss"], history[-1]["validation"], state)
        return
    short = bool(np.any(clips.lengths < clips.width))
    noise = None if noise is None else jnp.asarray(noise)
    update = make_step(classifier, options, optimiser, noise, short, where.axis_name)
    step = _spread_step(where, update, compiler_options)
    score = make_evaluator(classifier, min(BATCH, len(validation.ids)), where, compiler_options)
    key, rate = jax.random.key(seed), learning_rate(options, steps)
    counts = {"total": steps * options.epochs, "initial": steps * len(history) + len(begun), "unit": "step"}
    epochs_of(options.epochs, len(history), len(clips.ids), steps)
    first, stop = len(history), saver.asked if saver else never
    kept = lambda stopped: (TrainState(*stopped.state, state.best), {"history": history})  # noqa: E731
    with progress_bar(desc="train", awaited=FIRST.format("step"), whole=True, **counts) as bar, watching(saver, kept):
        for epoch in range(first, options.epochs):
            given = (clips, options.batch_size, key, epoch, bar, epoch == first, where)
            done = _epoch(step, state, *given, begun if epoch == first else (), stop, steps)
            logits = score(done.variables, validation)
            if epoch == first:  # the first scores compile, too
                bar.apart()
            check_finite_logits(logits, f"after epoch {epoch + 1} of {options.epochs}; lower --lr")
            scores = {name: getattr(metrics, name)(logits, validation.labels) for name in SCORES}
            accuracy = scores["accuracy"]
            state = TrainState(
                done.variables, done.opt_state, kept_variables(state.best, done.variables, scores, history, options)
            )
            history.append(row(epoch + 1, done.loss, scores, options))
            bar.set_postfix(loss=f"{done.loss:.3f}", validation=f"{accuracy:.3f}")
            scores["lr"] = rate((epoch + 1) * steps - 1)
            # Before the state is saved, which a Ctrl-C ends: only this sitting has the epoch's scores and seconds.
            yield TrainEpoch(epoch + 1, done.loss, accuracy, state, done.seconds, done.waited, scores, logits)
            if saver:
                saver.save(state, {"position": epoch + 1, "history": history}, always=epoch + 1 == options.epochs)
