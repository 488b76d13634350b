"""Jitted methods and evaluations of whole sets: what all protocols share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from dhauds_jax import parallel as parallels
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.tta import borders, sliding
from dhauds_jax.tta.feeding import Waves, batch_of
from dhauds_jax.tta.streams import padded_batches
from dhauds_jax.tta.traced import Seen
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Prediction, Step


class Compiled(NamedTuple):
    """A method with its compiled functions; runs over sets of one shape share it and compile once.

    `steps` is several of `step` in one dispatch, `(state, batches, keys) -> (state, losses of each)`; `predict_alone`
    is `predict` on each clip of a batch by itself, as batches of one; `predict_window` is `sliding.predictor`'s, None
    where no classifier was given or on several devices. Batches lie as `feeding.batch_of` puts them for `parallel`;
    `method` is the one for a single device.
    """

    method: Method
    step: Callable[..., tuple[AdaptState, Any]]
    predict: Callable[..., Array]
    observe: Callable[..., Any]
    predict_alone: Callable[..., Array]
    steps: Callable[..., tuple[AdaptState, Any]]
    parallel: Parallel = ONE
    predict_window: Callable[..., Array] | None = None


def compiled(
    method: Method,
    compiler_options: Mapping[str, Any] | None = None,
    *,
    parallel: Parallel = ONE,
    spread: Method | None = None,
    classifier: Classifier | None = None,
) -> Compiled:
    """Compiles a method's step (state donated) and prediction; a second compilation of either is a bug, and raises.

    Args:
      method: for one device.
      compiler_options: go to XLA, such as `{"xla_backend_optimization_level": 0}` for short runs of many methods (one
        device alone).
      parallel: where its functions run.
      spread: the method built with `parallel.axis_name` (None: `method`, which will do unless that is a name).
      classifier: the method's, for `predict_window`.
    """
    method = method._replace(step=bordered(method.step))
    spread = method if spread is None else spread._replace(step=bordered(spread.step))

    alone, steps = alone_of(method), steps_of(spread)
    if parallel.kind == "jit":
        options = None if compiler_options is None else dict(compiler_options)
        jit = functools.partial(jax.jit, compiler_options=options)
        step, several = (jit(once(name, f), donate_argnums=0) for name, f in (("step", method.step), ("steps", steps)))
        predict = jit(once("predict", method.predict))
        observe = predict if method.observe is None else jit(once("observe", method.observe))
        window = None if classifier is None else jit(once("predict_window", sliding.predictor(classifier, method)))
        run = Compiled(method, step, predict, observe, jit(once("predict_alone", alone)), several)
        return run._replace(predict_window=window)

    def rows_of(name: str, function: Callable[[AdaptState, Batch], Any]) -> Callable[[AdaptState, Batch], Any]:
        return parallels.spread_rows(parallel, once(name, function))

    predict = rows_of("predict", spread.predict)
    observe = predict if spread.observe is None else rows_of("observe", spread.observe)
    step, several = _spread_steps(parallel, spread, steps)
    return Compiled(method, step, predict, observe, rows_of("predict_alone", alone), several, parallel)


def alone_of(method: Method) -> Callable[[AdaptState, Batch], Array]:
    """`Compiled.predict_alone` of a method, not yet compiled."""

    def alone(state: AdaptState, batch: Batch) -> Array:
        def one(wave: Array, weight: Array, index: Array) -> Array:
            return method.predict(state, Batch(wave[None], weight[None], index[None]))[0]

        # Padded rows count as real here: each is a batch of its own, and a batch without a clip has no statistics.
        return jax.vmap(one)(batch.wave, jnp.ones_like(batch.weights), batch.index)

    return alone


def steps_of(method: Method) -> Callable[[AdaptState, Batch, Array], tuple[AdaptState, Any]]:
    """`Compiled.steps` of a method, not yet compiled."""

    def steps(state: AdaptState, batches: Batch, keys: Array) -> tuple[AdaptState, Any]:
        def one(state: AdaptState, given: tuple[Batch, Array]) -> tuple[AdaptState, Any]:
            state, prediction = method.step(state, *given)
            return state, prediction.losses

        return jax.lax.scan(one, state, (batches, keys))

    return steps


def _spread_steps(parallel: Parallel, spread: Method, steps: Callable) -> tuple[Callable, Callable]:
    """`Compiled.step` and `Compiled.steps` over several devices."""

    def one(state: AdaptState, batch: Batch, key: Array) -> tuple[Any, Any]:
        state, prediction = spread.step(state, batch, key)
        return (state, prediction.losses), prediction.logits

    def several(state: AdaptState, batches: Batch, keys: Array) -> tuple[Any, Any]:
        return steps(state, batches, keys), ()

    run_one, run_several = (
        parallels.spread(parallel, once(name, f), donate=True, rest=1)
        for name, f in (("step", one), ("steps", several))
    )

    def step(state: AdaptState, batch: Batch, key: Array) -> tuple[AdaptState, Prediction]:
        (state, losses), logits = run_one(state, batch, key)
        return state, Prediction(logits, losses)

    return step, lambda state, batches, keys: run_several(state, batches, keys)[0]


def once(name: str, function: Callable) -> Callable:
    """The function, which raises when it is traced a second time for arguments of other shapes or types.

    It may be traced again for the same ones, as under another precision of products or after the caches were cleared.
    """
    first: list[Seen] = []

    def traced(*args: Any) -> Any:
        now = Seen.of(dict(zip(("state", "batch", "key"), args, strict=False)))
        difference = first[0].difference(now) if first else None
        if difference is not None:
            raise RuntimeError(f"{name} was compiled twice in one run: {difference}")
        first.append(now)
        return function(*args)

    traced.__name__ = name  # of the program: equal ones of several methods are one in the compilation cache
    return traced


def bordered(step: Step) -> Step:
    """A method's step, which raises where it returns what protocols cannot use. Checked while tracing."""

    def bordered(state: AdaptState, batch: Batch, key: Array) -> tuple[AdaptState, Prediction]:
        found = step(state, batch, key)
        fault = borders.fault_of_step(state, batch, found, None)
        if fault is not None:
            raise TypeError(f"a method's {fault}")
        return found

    return bordered


def evaluate(
    predict: Callable[[AdaptState, Batch], Any],
    state: AdaptState,
    waves: Waves,
    batch_size: int,
    order: np.ndarray | None = None,
    parallel: Parallel = ONE,
) -> Any:
    """What a compiled `predict` (or `observe`) says of a whole set: arrays (clips, ...) in the set's order.

    `order` says in which order the clips are batched: it matters to methods that use a batch's statistics. `parallel`
    is where `predict` runs.
    """
    order = np.arange(len(waves)) if order is None else order
    out: list[tuple[np.ndarray, Any]] = []
    for rows, weights in padded_batches(order, batch_size):
        real = int(weights.sum())
        out.append((rows[:real], predict(state, batch_of(waves, rows, weights, parallel))))

    def gathered(*parts: Array) -> np.ndarray:
        whole = np.zeros((len(waves), *parts[0].shape[1:]), parts[0].dtype)
        for (rows, _), part in zip(out, parts, strict=True):
            whole[rows] = np.asarray(part)[: len(rows)]
        return whole

    return jax.tree.map(gathered, *(values for _, values in out))


def watched(
    predict: Callable[[AdaptState, Batch], Any], ended: Callable[[], Any]
) -> Callable[[AdaptState, Batch], Any]:
    """`predict`, which calls `ended` for every batch but the last, when the next one is on its way."""
    before: list[Any] = []

    def seen(state: AdaptState, batch: Batch) -> Any:
        said = predict(state, batch)
        for late in before:
            jax.block_until_ready(late)
            ended()
        before[:] = [said]
        return said

    return seen


def check_finite(losses: Mapping[str, Any], where: str) -> dict[str, float]:
    """Losses as floats; raises `FloatingPointError` saying `where` one of them is not finite."""
    values = {name: float(value) for name, value in losses.items()}
    bad = [f"{name}={value}" for name, value in values.items() if not np.isfinite(value)]
    if bad:
        raise FloatingPointError(f"the loss is not finite at {where}: {', '.join(bad)}; lower the learning rate")
    return values


def check_finite_logits(logits: np.ndarray, where: str) -> np.ndarray:
    """The logits (..., classes); raises `FloatingPointError` saying `where` one of them is not finite.

    The losses of an update are those of before it: an update that overflows shows in the predictions after it alone.
    """
    if not np.isfinite(logits).all():
        raise FloatingPointError(f"predictions are not finite {where}")
    return logits


def own(state: AdaptState, parallel: Parallel = ONE) -> AdaptState:
    """A copy, on all devices, whose buffers may be donated."""
    return parallels.everywhere(parallel, state)
