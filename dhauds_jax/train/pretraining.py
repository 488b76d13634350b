"""SSAST's self-supervised pretraining: hidden patches are told apart and drawn again; no label is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from dhauds_jax.data.pipeline import ClipSplit, batches, to_device, to_float
from dhauds_jax.dsp.views import random_roll
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import epochs_of
from dhauds_jax.interrupts import Stopped, never
from dhauds_jax.nets import ssast_losses, ssast_masks, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.ssast_pretrain import PretrainNet
from dhauds_jax.progress import FIRST, Bar, progress_bar
from dhauds_jax.train.optimisers import warmup_in_stairs
from dhauds_jax.train.request import PretrainOptions
from dhauds_jax.tta.protocols import stream_order
from dhauds_jax.types import Variables
from dhauds_jax.workdir.saver import Saver, watching

OVER = {"reference": "predictions", "corrected": "patches"}
"""Profile -> what the contrastive loss is normalised over (S1)."""


class PretrainState(NamedTuple):
    """What changes: the variables, Adam's state, and the plateau rule's (`next_plateau`)."""

    variables: Variables
    opt_state: Any
    plateau: Array


FIRST_PLATEAU = (1.0, -np.inf, 0.0)


def check_options(options: PretrainOptions, grid: tuple[int, int]) -> None:
    """Raises `BadInput` in one sentence for options that cannot be."""
    if options.profile not in OVER:
        raise BadInput(f"--profile={options.profile}: expected {' or '.join(OVER)}")
    if options.passes not in (1, 2):
        raise BadInput(f"--passes={options.passes}: expected 1 or 2")
    for name in ("epochs", "batch_size"):
        check_number(f"--{name}", getattr(options, name), 1)
    for name in ("warmup_steps", "patience", "weight_decay", "reconstruction"):
        check_number(f"--{name}", getattr(options, name), 0)
    for name in ("b1", "b2"):
        check_number(f"--{name}", getattr(options, name), 0.0, 1.0, below=True)
    check_number("--lr", options.lr, 0.0, above=True)
    check_number("--shift", options.shift, 0.0, 1.0, because="a share of the clip")
    ssast_masks.check_hidden(grid, options.mask_patches, options.clusters)


def next_plateau(plateau: Any, accuracy: float, patience: int) -> np.ndarray:
    """(factor of the rate, best accuracy, evaluations without a better one), after another evaluation.

    A better one exceeds the best by a ten-thousandth of it; more than `patience` without halve the factor.
    Source: PyTorch's ReduceLROnPlateau with mode max, factor 0.5 and threshold 1e-4 (relative), as SSAST uses it.
    """
    factor, best, waited = (float(x) for x in plateau)
    if accuracy > best * (1 + 1e-4) or best == -np.inf:
        return np.array([factor, accuracy, 0.0], np.float32)
    if waited + 1 > patience:
        return np.array([factor / 2, best, 0.0], np.float32)
    return np.array([factor, best, waited + 1], np.float32)


def make_optimiser(options: PretrainOptions) -> optax.GradientTransformation:
    """Adam with coupled decay and the warm-up; the plateau's factor is applied by the step."""
    rate = lambda count: options.lr * warmup_in_stairs(count, options.warmup_steps)  # noqa: E731
    return optax.chain(optax.add_decayed_weights(options.weight_decay), optax.adam(rate, options.b1, options.b2))


def make_objective(
    net: PretrainNet, options: PretrainOptions, hidden: int
) -> Callable[[Variables, Array, Array, Array, Array], tuple[Array, dict[str, Array]]]:
    """`(variables, features, weights, index, key) -> (loss, its parts)`: contrastive + reconstruction, joint."""
    settings = {"clusters": options.clusters, "profile": options.profile}

    def objective(
        variables: Variables, features: Array, weights: Array, index: Array, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        masks = [
            ssast_masks.draw_masks(jax.random.fold_in(key, i), index, net.encoder.grid, hidden, **settings)
            for i in range(options.passes)
        ]
        seen = [net.apply(variables, features, mask) for mask in masks]
        rows = [(ssast_losses.hidden_rows(s.patches, m, hidden), s, m) for s, m in zip(seen, masks)]
        (true, first, mask), (true2, second, mask2) = rows[0], rows[-1]
        guess = ssast_losses.hidden_rows(first.contrast, mask, hidden)
        contrast = ssast_losses.discriminate(true, guess, weights, over=OVER[options.profile])
        drawn = ssast_losses.hidden_rows(second.generate, mask2, hidden)
        error = ssast_losses.reconstruct(true2, drawn, weights)
        loss = contrast.loss + options.reconstruction * error
        return loss, {
            "loss": loss,
            "contrast": contrast.loss,
            "reconstruction": error,
            "accuracy": contrast.accuracy,
        }

    return objective


class PretrainEpoch(NamedTuple):
    """The end of an epoch: epochs done, means over its updates and over the validation clips, and the state."""

    index: int
    history: list[dict[str, float]]
    state: PretrainState


def pretrain(
    net: PretrainNet,
    config: ClassifierConfig,
    variables: Variables,
    clips: ClipSplit,
    validation: ClipSplit,
    options: PretrainOptions,
    *,
    seed: int,
    saver: Saver | None = None,
) -> Iterator[PretrainEpoch]:
    """Pretrains and yields after each epoch; goes on from `saver` when it holds an unfinished run.

    Args:
      net: `ssast_pretrain.build(config)`.
      config: of pretraining (stride = patch).
      variables: first variables, `ssast_pretrain.init`.
      clips: rows exactly as long as the config's clips.
      validation: likewise; its masks are the same every epoch.
      options: the recipe.
      seed: everything random follows from it and the position.
      saver: where the state of an unfinished run is kept.

    Raises:
      BadInput: options that cannot be. FloatingPointError: a loss is not finite. KeyboardInterrupt: Ctrl-C; with a
        `saver`, after the state was kept.
    """
    check_options(options, net.encoder.grid)
    features, optimiser = zoo.front_end(config), make_optimiser(options)
    objective = make_objective(net, options, options.mask_patches)

    def update(state: PretrainState, batch: Any, key: Array) -> tuple[PretrainState, dict[str, Array]]:
        wave = random_roll(jax.random.fold_in(key, 2), to_float(batch.wave), batch.index, options.shift)
        rest = (features(wave), batch.weights, batch.index, key)
        (_, parts), grads = jax.value_and_grad(objective, has_aux=True)(state.variables, *rest)
        updates, opt_state = optimiser.update(grads, state.opt_state, state.variables)
        updates = jax.tree.map(lambda u: u * state.plateau[0], updates)
        return PretrainState(optax.apply_updates(state.variables, updates), opt_state, state.plateau), parts

    def score(variables: Variables, batch: Any) -> dict[str, Array]:
        return objective(variables, features(to_float(batch.wave)), batch.weights, batch.index, jax.random.key(1))[1]

    step, score = jax.jit(update, donate_argnums=0), jax.jit(score)
    state = PretrainState(dict(variables), optimiser.init(dict(variables)), jnp.asarray(FIRST_PLATEAU))
    history: list[dict[str, float]] = []
    found = saver.load(state) if saver else None
    begun: list[dict[str, float]] = []  # losses of the epoch that Ctrl-C broke off
    if found:
        state, history, begun = found[0], found[1]["history"], found[1].get("losses", [])
    state = jax.tree.map(lambda x: jnp.array(x, copy=True), state)
    if len(history) == options.epochs:  # killed between the last epoch and its checkpoint
        yield PretrainEpoch(len(history), history, state)
        return
    steps = math.ceil(len(clips.ids) / options.batch_size)
    counts = {"total": steps * options.epochs, "initial": steps * len(history) + len(begun), "unit": "step"}
    epochs_of(options.epochs, len(history), len(clips.ids), steps)
    stop, kept = saver.asked if saver else never, lambda stopped: (stopped.state, {"history": history})
    shown = {"awaited": FIRST.format("step"), "whole": True, **counts}
    with progress_bar(desc="pretrain", **shown) as bar, watching(saver, kept):
        for epoch in range(len(history), options.epochs):
            order_key, step_key = jax.random.split(jax.random.fold_in(jax.random.key(seed), epoch))
            order = stream_order(order_key, len(clips.ids))
            seen, begun, pending = begun, [], None
            feed = to_device(batches(clips, order, options.batch_size, begin=len(seen)))
            for index, batch in enumerate(feed, start=len(seen)):
                state, parts = step(state, batch, jax.random.fold_in(step_key, index))
                bar.update()
                if pending is not None:
                    seen.append(_fetched(pending, epoch, bar))  # one step late, so the device never waits
                pending = parts
                if stop():
                    seen.append(_fetched(pending, epoch, bar))
                    raise Stopped(state, epoch, len(seen), seen)
            if pending is not None:
                seen.append(_fetched(pending, epoch, bar))
            scores = _scored(score, state.variables, validation, options.batch_size)
            if not np.isfinite(scores["loss"]):  # the last update's own loss is of before it
                raise FloatingPointError(f"the validation loss is {scores['loss']} after epoch {epoch + 1}: lower --lr")
            rate = options.lr * float(state.plateau[0])
            plateau = jnp.asarray(next_plateau(np.asarray(state.plateau), scores["accuracy"], options.patience))
            state = state._replace(plateau=plateau)
            means = {name: float(np.mean([row[name] for row in seen])) for name in seen[0]}
            history.append(
                {"epoch": epoch + 1, "rate": rate, **means, **{f"validation_{k}": v for k, v in scores.items()}}
            )
            if saver:
                last = epoch + 1 == options.epochs  # whatever the clock says: its checkpoint is still to be written
                saver.save(state, {"position": epoch + 1, "history": history}, always=last)
            yield PretrainEpoch(epoch + 1, history, state)


def _fetched(parts: dict[str, Array], epoch: int, bar: Bar) -> dict[str, float]:
    values = {name: float(value) for name, value in parts.items()}
    if not np.isfinite(values["loss"]):
        raise FloatingPointError(f"the pretraining loss is {values['loss']} in epoch {epoch + 1}: lower --lr")
    bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
    return values


def _scored(score: Callable, variables: Variables, clips: ClipSplit, batch_size: int) -> dict[str, float]:
    """Means over the validation clips, each batch counted by its real rows."""
    sums: dict[str, float] = {}
    feed = to_device(batches(clips, np.arange(len(clips.ids)), min(batch_size, len(clips.ids))))
    for batch in feed:
        share = float(np.sum(batch.weights)) / len(clips.ids)
        for name, value in score(variables, batch).items():
            sums[name] = sums.get(name, 0.0) + share * float(value)
    return sums
