"""What adapts a session: a method's programs, compiled ahead, over the leaves that move alone.

A session's state is an `AdaptState` whose parameters are those that the method moves; the frozen ones are there once,
whatever the number of sessions (`tta.vectorised.parted`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dhauds_jax import calibration
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.metrics import softmax
from dhauds_jax.model.record import Model
from dhauds_jax.nets.precision import exactly
from dhauds_jax.serve import filters, guards
from dhauds_jax.tta import methods
from dhauds_jax.tta.vectorised import joined, parted
from dhauds_jax.types import AdaptState, Batch, Method, RunInfo

UPDATES = ("idle", "before_next")
"""When a full buffer is learnt from: when no prediction waits, or before the next prediction of the session."""


class Adaptation(NamedTuple):
    """How sessions adapt.

    Attributes:
      method: its name.
      options: of the method, resolved.
      adapt_batch: clips in an update.
      update: of `UPDATES`.
      judged: clips that an update is judged by, the last ones.
      epoch_updates: updates that count as a pass over a set, for methods whose learning rate falls from pass to pass.
      limits: how far an update may go; None: nothing is judged, every update is kept.
      filters: which clips are not learnt from.
      snapshots: good states that are kept to go back to.
      rollbacks: refused updates in a row after which a session answers from the source model.
      shadow: whether the source model's answers are computed beside the session's; else where an update is judged.
      seed: everything random in an update follows from it and the update's number.
    """

    method: str
    options: Mapping[str, Any]
    adapt_batch: int = 16
    update: str = "idle"
    judged: int = guards.JUDGED
    epoch_updates: int = 64
    limits: guards.Limits | None = guards.Limits()
    filters: filters.Filters = filters.Filters()
    snapshots: int = 3
    rollbacks: int = 3
    shadow: bool = True
    seed: int = 0


class Programs(NamedTuple):
    """A method's programs for sessions; nothing of them depends on the session.

    Attributes:
      first: the state that every session starts with; it is never given away, so sessions share its arrays.
      frozen: the parameters that no session moves.
      shapes: numbers of rows that `predict` is compiled for.
      predict: `(state, float32 waves (rows, time)) -> probabilities (rows, classes)` of what is reported, each row
        predicted alone, as protocol `batch1` does; rows are one of `shapes`.
      logits: `predict` before `report`, the probabilities of logits.
      step: `(state, float32 waves (adapt_batch, time), clip numbers, number of the update) -> (state, finite)`; the
        given state stays as it was, and `finite` says whether losses are. The key is that of `protocols.online`.
      measure: `state -> (whether its weights are finite, their distance from the first ones)`.
    """

    first: AdaptState
    frozen: Mapping[str, Any]
    shapes: tuple[int, ...]
    predict: Callable[[AdaptState, np.ndarray], Float[np.ndarray, "rows classes"]]
    step: Callable[[AdaptState, np.ndarray, np.ndarray, int], tuple[AdaptState, bool]]
    measure: Callable[[AdaptState], tuple[bool, float]]
    logits: Callable[[AdaptState, np.ndarray], Float[np.ndarray, "rows logits"]]
    report: Callable[[np.ndarray], Float[np.ndarray, "rows classes"]]


def check(how: Adaptation) -> None:
    """Raises `BadInput` for numbers out of their range."""
    check_number("--adapt_batch", how.adapt_batch, 2, because="batch statistics need two clips")
    check_number("judged", how.judged, 1)
    check_number("epoch_updates", how.epoch_updates, 1)
    check_number("snapshots", how.snapshots, 1)
    check_number("rollbacks", how.rollbacks, 1)
    if how.update not in UPDATES:
        raise BadInput(f"--update={how.update}: expected {' or '.join(UPDATES)}")
    if how.limits is not None:
        guards.check(how.limits)
    filters.check(how.filters)


def method_of(how: Adaptation, model: Model) -> tuple[Method, RunInfo]:
    """The method, and what it may know of a session, whose clips nobody can count before.

    Raises:
      BadInput: a method that looks at the whole set first, that needs what a session has not, or as its factory.
    """
    method = methods.make(how.method, model.classifier, how.options)
    if method.begin_epoch is not None:
        raise BadInput(
            f"--method={how.method}: it looks at the whole set before it adapts, and a session has no end: expected "
            "one that adapts batch by batch, such as t3a, tent or dhauds"
        )
    info = RunInfo(how.epoch_updates, how.epoch_updates * how.adapt_batch, len(model.classes), None, how.adapt_batch)
    methods.check_needs(how.method, method, model.variables, info)
    return method, info


def programs(model: Model, how: Adaptation, shapes: tuple[int, ...]) -> Programs:
    """The programs of a method for a model, not compiled yet (`warm`).

    Args:
      model: the source model.
      how: the request.
      shapes: numbers of rows that predictions may have.

    Raises:
      BadInput: as `check` and `method_of`.
    """
    check(how)
    method, info = method_of(how, model)
    first, frozen = parted(jax.tree.map(_strong, method.init(model.variables, info)), method.adapts)
    _, step_key = jax.random.split(jax.random.key(how.seed))

    session_predict, session_step = _of_method(method)
    report = reporting(model)

    @exactly()
    def logits(state: AdaptState, waves: np.ndarray) -> np.ndarray:
        return np.asarray(session_predict(state, frozen, waves))

    def predict(state: AdaptState, waves: np.ndarray) -> np.ndarray:
        return report(logits(state, waves))

    @exactly()
    def step(state: AdaptState, waves: np.ndarray, clips: np.ndarray, number: int) -> tuple[AdaptState, bool]:
        # As an argument: weights of 1 that the compiler knew would be folded away, and sums would round otherwise.
        batch = Batch(waves, np.ones(len(waves), np.float32), clips)
        new, finite = session_step(state, frozen, batch, step_key, np.int32(number))
        return new, bool(finite)

    def measure(state: AdaptState) -> tuple[bool, float]:
        finite, drift = _measure(state, first)
        return bool(finite), float(drift)

    return Programs(first, frozen, tuple(sorted(shapes)), predict, step, measure, logits, report)


def _of_method(method: Method) -> tuple[Callable[..., Array], Callable[..., tuple[AdaptState, Array]]]:
    """A method's prediction and step as programs of the moving and the frozen leaves."""

    @jax.jit
    def session_predict(state: AdaptState, frozen: Any, waves: Array) -> Array:
        whole = joined(state, frozen)

        def one(wave: Array) -> Array:
            return method.predict(whole, Batch(wave[None], jnp.ones(1), jnp.zeros(1, jnp.int32)))[0]

        return jax.vmap(one)(waves)

    @jax.jit
    def session_step(
        state: AdaptState, frozen: Any, batch: Batch, key: Array, number: Array
    ) -> tuple[AdaptState, Array]:
        new, prediction = method.step(joined(state, frozen), batch, jax.random.fold_in(key, number))
        finite = [jnp.isfinite(loss).all() for loss in prediction.losses.values()]
        return jax.tree.map(_strong_traced, parted(new, method.adapts)[0]), jnp.array(finite).all()

    return session_predict, session_step


@jax.jit
def _measure(state: AdaptState, first: AdaptState) -> tuple[Array, Array]:
    leaves = [x for x in jax.tree.leaves(state.variables) if jnp.issubdtype(x.dtype, jnp.inexact)]
    finite = jnp.array([jnp.isfinite(x).all() for x in leaves]).all()
    return finite, distance(state.variables["params"], first.variables["params"])


def reporting(model: Model) -> Callable[[np.ndarray], Float[np.ndarray, "rows classes"]]:
    """`logits -> probabilities` of what is reported: the checkpoint's temperature, and classes summed by group."""
    held = calibration.from_extra(model.extra)
    temperature = 1.0 if held is None else held.temperature

    def report(logits: Float[np.ndarray, "rows classes"]) -> np.ndarray:
        return calibration.by_group(softmax(np.asarray(logits, np.float64) / temperature), model.config.groups)

    return report


def distance(params: Any, first: Any) -> Float[Array, ""]:
    """How far parameters are from the first ones, in lengths of these; 0 where none move."""
    pairs = list(zip(jax.tree.leaves(params), jax.tree.leaves(first), strict=True))
    if not pairs:
        return jnp.zeros(())
    apart, length = (sum(jnp.sum(jnp.square(x)) for x in leaves) for leaves in zip(*((a - b, b) for a, b in pairs)))
    return jnp.sqrt(apart / jnp.maximum(length, 1e-30))


def warm(made: Programs, how: Adaptation, length: int) -> dict[int, float]:
    """Compiles all programs, and says how many seconds a prediction of each shape took.

    Raises:
      BadInput: a method that keeps nothing from one update to the next.
    """
    noise = 0.1 * np.random.default_rng(0).standard_normal((max(how.adapt_batch, *made.shapes), length), np.float32)
    numbers = np.arange(how.adapt_batch, dtype=np.int32)
    state, _ = made.step(made.first, noise[: how.adapt_batch], numbers, 0)
    if _same(made.first._replace(step=state.step), state):
        raise BadInput(
            f"--method={how.method}: it keeps nothing from one update to the next, expected a method that does, such "
            "as t3a, tent or dhauds"
        )
    state, _ = made.step(state, noise[: how.adapt_batch], numbers, 1)
    made.measure(state)
    seconds = {}
    for rows in made.shapes:
        started = time.perf_counter()
        made.predict(made.first, noise[:rows])
        made.predict(state, noise[:rows])
        seconds[rows] = time.perf_counter() - started
    return seconds


def in_chunks(
    predict: Callable[[np.ndarray], np.ndarray], waves: Float[np.ndarray, "rows time"], shapes: tuple[int, ...]
) -> Float[np.ndarray, "rows classes"]:
    """Predictions of any number of rows by a program of some shapes; what is missing in the last one is padded."""
    largest = shapes[-1]
    parts = []
    for start in range(0, len(waves), largest):
        part = waves[start : start + largest]
        rows = next(shape for shape in shapes if shape >= len(part))
        whole = np.concatenate([part, np.broadcast_to(part[:1], (rows - len(part), *part.shape[1:]))])
        parts.append(predict(whole)[: len(part)])
    return np.concatenate(parts)


def bytes_of(states: list[AdaptState], beside: Any) -> int:
    """Bytes of states, arrays that several of them or `beside` hold counted once or not at all."""
    known = {id(leaf) for leaf in jax.tree.leaves(beside)}
    mine: dict[int, Int] = {id(leaf): leaf.nbytes for leaf in jax.tree.leaves(states) if id(leaf) not in known}
    return sum(mine.values())


def _strong(x: Any) -> Array:
    """An array whose type is not weak: what a step gives back must look the same, or it would be compiled again."""
    x = jnp.asarray(x)
    return jnp.asarray(np.asarray(x)) if x.weak_type else x


def _strong_traced(x: Array) -> Array:
    return jax.lax.convert_element_type(x, x.dtype) if x.weak_type else x


def _same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True) for a, b in pairs)
