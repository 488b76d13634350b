"""Source training: label-smoothed cross-entropy summed over augmented views, with the reference's optimiser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array
from tqdm import tqdm

from dhauds_jax.data.pipeline import Source, batches, to_device, to_float
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.tta import losses, masks, metrics
from dhauds_jax.tta.aux_tasks import SHIFT
from dhauds_jax.tta.protocols import stream_order
from dhauds_jax.tta.sgd import SGDOptions, scheduled_sgd
from dhauds_jax.types import Classifier, Variables
from experiments.resume import Saver
from experiments.training_aux import check_aux_options, class_statistics, make_aux_loss
from experiments.training_views import VIEWS, TrainBatch, make_features, make_view


class TrainOptions(NamedTuple):
    """Source training. Defaults are the recipe of the small AMAuT (24 epochs, SGD at 0.05, two views).

    Attributes:
      epochs: passes over the training clips.
      batch_size: clips in an update.
      optimiser: "sgd" (the reference's, `tta.sgd`), "adamw" (linear warm-up, then a cosine to 0), or those of
        TTA-in-AC: "multistep" (SGD, a tenth of the rate from each of `milestones` on) and "adam" (a constant rate).
      lr: learning rate (the peak for adamw).
      backbone: of "sgd", factor on the rate of the encoder (CoNMix: 0.1).
      cardinality, gamma, threshold: schedule of "sgd".
      momentum: of sgd and multistep.
      weight_decay: decoupled for adamw, else coupled.
      warmup_epochs: adamw's warm-up.
      smoothing: label smoothing, 0 to 1.
      views: augmented views of a clip, each a forward pass: "shift" (two-sided roll up to `shift` of the clip),
        "noise" (training noise at `noise_snr_db`, no roll), "clean".
      shift: largest roll as a share of the clip.
      crop: of clips longer than the network's: "random", a piece from anywhere, anew each time, or "head".
      crop_last_start: whether a random piece may be the clip's very end (quirk 34: the reference's never is).
      noise_snr_db: SNR of the noise view in dB.
      group: parameters that move, a name of `tta.masks.GROUPS`.
      selection: "last" (what the reference does by a slip, quirk 7) or "best_validation".
      first_epoch_plain, nesterov: quirks 4 and 3 of the optimiser.
      milestones: epochs after which the rate of "multistep" falls.
      aux_task: "none", or "time_shift": the auxiliary head learns the shift of each clip (`training_aux`).
      aux_labels: one "random" shift a clip, or all three of each ("expand").
      aux_shift: shift as a share of the clip.
      time_flip: quirk 42, half of the images are mirrored in time (nets over images alone).
    """

    epochs: int = 24
    batch_size: int = 32
    optimiser: str = "sgd"
    lr: float = 0.05
    cardinality: int = 34
    gamma: float = 10.0
    threshold: int = 1
    momentum: float = 0.9
    weight_decay: float = 1e-3
    warmup_epochs: int = 2
    smoothing: float = 0.1
    views: tuple[str, ...] = ("shift", "noise")
    shift: float = 0.17
    crop: str = "random"
    crop_last_start: bool = False
    noise_snr_db: float = 50.0
    group: str = "all"
    selection: str = "last"
    first_epoch_plain: bool = True
    nesterov: bool = False
    milestones: tuple[int, ...] = ()
    aux_task: str = "none"
    aux_labels: str = "random"
    aux_shift: float = SHIFT
    time_flip: bool = True
    backbone: float = 1.0


class TrainState(NamedTuple):
    """What changes while training; `best` are the variables of the best validation epoch so far."""

    variables: Variables
    opt_state: Any
    best: Variables


def check_options(options: TrainOptions, noise: np.ndarray | None) -> None:
    """Raises `ValueError` in one sentence for options that cannot be."""
    unknown = [view for view in options.views if view not in VIEWS]
    if unknown or not options.views:
        raise ValueError(f"--views: unknown {', '.join(unknown) or 'empty list'}, expected some of {', '.join(VIEWS)}")
    if "noise" in options.views and noise is None:
        raise ValueError("--views holds noise, but there is no training noise: give --noise_dir, or --views=shift")
    if options.optimiser not in ("sgd", "adamw", "multistep", "adam"):
        raise ValueError(f"--optimiser={options.optimiser}: expected sgd, adamw, multistep or adam")
    if options.selection not in ("last", "best_validation"):
        raise ValueError(f"--selection={options.selection}: expected last or best_validation")
    if options.crop not in ("random", "head"):
        raise ValueError(f"--crop={options.crop}: expected random or head")
    if options.epochs < 1 or options.batch_size < 2:
        raise ValueError("--epochs must be at least 1 and --batch_size at least 2 (BatchNorm needs two clips)")
    masks.check_group(options.group)


def make_optimiser(options: TrainOptions, steps_per_epoch: int) -> optax.GradientTransformation:
    """The optimiser of a training run."""
    if options.optimiser == "adamw":
        rate = optax.warmup_cosine_decay_schedule(
            0.0, options.lr, options.warmup_epochs * steps_per_epoch, options.epochs * steps_per_epoch
        )
        return optax.chain(
            optax.clip_by_global_norm(1.0), optax.adamw(rate, b2=0.98, weight_decay=options.weight_decay)
        )
    if options.optimiser in ("multistep", "adam"):
        rate = optax.piecewise_constant_schedule(options.lr, {m * steps_per_epoch: 0.1 for m in options.milestones})
        rule = optax.adam(options.lr) if options.optimiser == "adam" else optax.sgd(rate, momentum=options.momentum)
        return optax.chain(optax.add_decayed_weights(options.weight_decay), rule)
    names = set(SGDOptions._fields) & set(TrainOptions._fields)
    return scheduled_sgd(SGDOptions(**{name: getattr(options, name) for name in names}), steps_per_epoch)


def make_step(
    classifier: Classifier,
    options: TrainOptions,
    optimiser: optax.GradientTransformation,
    noise: Array | None,
    short: bool,
) -> Callable[[Variables, Any, TrainBatch, Array], tuple[Variables, Any, Array]]:
    """One update `(variables, opt_state, batch, key) -> (variables, opt_state, loss)`: K views, losses summed."""
    views = [make_view(name, options, noise, short, classifier.config.length) for name in options.views]
    features = make_features(classifier, options)
    auxiliary = make_aux_loss(classifier, options, make_view("clean", options, noise, short, classifier.config.length))

    def step(variables: Variables, opt_state: Any, batch: TrainBatch, key: Array) -> tuple[Variables, Any, Array]:
        moving, frozen = masks.split(variables["params"], options.group)
        waves = [view(jax.random.fold_in(key, i), batch) for i, view in enumerate(views)]

        def loss(leaves: Any) -> tuple[Array, Any]:
            value, stats = jnp.zeros(()), variables["batch_stats"]
            params = masks.merge(leaves, frozen)
            for i, wave in enumerate(waves):
                outputs, new = classifier.apply_features(
                    {"params": params, "batch_stats": stats},
                    features(jax.random.fold_in(key, 3000 + i), wave, batch.index),
                    mode=TRAIN,
                    weights=batch.weights,
                    rngs={"dropout": jax.random.fold_in(key, 1000 + i)},
                )
                stats = class_statistics(stats, new)
                value += losses.smoothed_cross_entropy(
                    outputs.logits, batch.labels, batch.weights, smoothing=options.smoothing
                )
            if auxiliary is None:
                return value, stats
            more, stats = auxiliary(params, stats, batch, key)
            return value + more, stats

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(moving)
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


def _epoch(
    step: Callable, state: TrainState, clips: Source, batch_size: int, key: Array, epoch: int, bar: tqdm, fresh: bool
) -> _Pass:
    """One pass. With `fresh` the step compiles in its first update, which then is not timed."""
    order_key, step_key = jax.random.split(jax.random.fold_in(key, epoch))
    variables, opt_state, seen, pending = state.variables, state.opt_state, [], None
    feed = to_device(batches(clips, stream_order(order_key, len(clips.ids)), batch_size))
    begun, waited = time.perf_counter(), 0.0
    for index in range(-(-len(clips.ids) // batch_size)):
        asked = time.perf_counter()
        batch = next(feed)
        waited += time.perf_counter() - asked
        batch = batch._replace(wave=to_float(batch.wave))
        variables, opt_state, loss = step(variables, opt_state, batch, jax.random.fold_in(step_key, index))
        bar.update()
        if fresh and index == 0:
            begun, waited = time.perf_counter(), 0.0
        if pending is not None:
            seen.append(float(pending))  # one step late, so the device never waits
        pending = loss
        if seen and not np.isfinite(seen[-1]):
            break
    feed.close()
    seen.append(float(pending))
    if not np.all(np.isfinite(seen)):
        raise FloatingPointError(f"the training loss is {seen[-1]} in epoch {epoch + 1}: lower --lr")
    return _Pass(variables, opt_state, float(np.mean(seen)), time.perf_counter() - begun, waited)


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
    """

    index: int
    loss: float
    validation: float
    state: TrainState
    seconds: float = 0.0
    waited: float = 0.0


def make_evaluator(classifier: Classifier, batch_size: int) -> Callable[[Variables, Source], np.ndarray]:
    """`(variables, clips) -> logits` in evaluation mode, compiled once; the clips are as long as the network's."""
    forward = jax.jit(lambda variables, wave: classifier.apply(variables, wave, mode=EVAL)[0].logits)

    def score(variables: Variables, clips: Source) -> np.ndarray:
        feed = to_device(batches(clips, np.arange(len(clips.ids)), batch_size))
        logits = [forward(variables, to_float(batch.wave)) for batch in feed]
        return np.concatenate([np.asarray(part) for part in logits])[: len(clips.ids)]

    return score


def train(
    classifier: Classifier,
    variables: Variables,
    clips: Source,
    validation: Source,
    options: TrainOptions,
    *,
    seed: int,
    noise: np.ndarray | None = None,
    saver: Saver | None = None,
    history: list[dict[str, float]] | None = None,
) -> Iterator[TrainEpoch]:
    """Trains and yields after each epoch; goes on from `saver` when it holds an unfinished run.

    Args:
      classifier: the network.
      variables: first variables.
      clips: training clips, in rows at least as long as the network's clips.
      validation: clips scored after each epoch, in rows exactly as long.
      options: the recipe.
      seed: everything random follows from it and the position.
      noise: (samples,) training noise at the classifier's rate, for the "noise" view.
      saver: where the state of an unfinished run is kept.
      history: filled with one dict an epoch, earlier ones of a resumed run included.

    Raises:
      ValueError: options that cannot be, noise shorter than the clips. FloatingPointError: the loss is not finite.
    """
    check_options(options, noise)
    check_aux_options(options, variables)
    if "noise" in options.views and len(noise) < clips.width:
        raise ValueError(f"the training noise has {len(noise)} samples, expected at least the clips' {clips.width}")
    history = [] if history is None else history
    steps = -(-len(clips.ids) // options.batch_size)
    optimiser = make_optimiser(options, steps)
    state = TrainState(variables, optimiser.init(masks.split(variables["params"], options.group)[0]), variables)
    found = saver.load(state) if saver else None
    if found:
        state, info = found
        history += info["history"]
    state = jax.tree.map(lambda x: jnp.array(x, copy=True), state)
    if len(history) == options.epochs:  # killed between the last epoch and its checkpoint
        yield TrainEpoch(len(history), history[-1]["loss"], history[-1]["validation"], state)
        return
    short = bool(np.any(clips.lengths < clips.width))
    noise = None if noise is None else jnp.asarray(noise)
    step = jax.jit(make_step(classifier, options, optimiser, noise, short), donate_argnums=(0, 1))
    score = make_evaluator(classifier, min(100, len(validation.ids)))
    key = jax.random.key(seed)
    with tqdm(total=steps * options.epochs, initial=steps * len(history), desc="train", unit="step") as bar:
        first = len(history)
        for epoch in range(first, options.epochs):
            done = _epoch(step, state, clips, options.batch_size, key, epoch, bar, fresh=epoch == first)
            accuracy = metrics.accuracy(score(done.variables, validation), validation.labels)
            better = accuracy >= max((h["validation"] for h in history), default=0.0)
            best = jax.tree.map(jnp.copy, done.variables) if better else state.best
            state = TrainState(done.variables, done.opt_state, best)
            history.append({"epoch": epoch + 1, "loss": done.loss, "validation": accuracy})
            bar.set_postfix(loss=f"{done.loss:.3f}", validation=f"{accuracy:.3f}")
            if saver:
                saver.save(state, {"position": epoch + 1, "history": history})
            yield TrainEpoch(epoch + 1, done.loss, accuracy, state, done.seconds, done.waited)


def chosen(state: TrainState, options: TrainOptions) -> Variables:
    """The variables that the run ends with."""
    return state.best if options.selection == "best_validation" else state.variables


def workdir_state(workdir: Path) -> Path:
    """Where a training run keeps the state of an unfinished run."""
    return Path(workdir) / "state" / "train"
