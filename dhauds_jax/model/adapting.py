"""Adapting to unlabelled windows: offline with a label-free choice of the epoch, or online as they come by."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from dhauds_jax import interrupts
from dhauds_jax.cells import input_statistics
from dhauds_jax.data.windows import Windows
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import methods, protocols, selection, settling, streams
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.feeding import batch_of
from dhauds_jax.tta.methods.auto import AutoMemory
from dhauds_jax.types import AdaptState, Classifier, Method, RunInfo, Variables
from dhauds_jax.workdir.saver import Saver

ADVICE = "lower the learning rate (--options=lr=...)"
KEPT = 4
"""Methods, and shapes of their sets, whose programs are kept for the next call."""


class Request(NamedTuple):
    """How to adapt.

    Attributes:
      method: its name.
      options: of the method, resolved.
      profile: "reference" or "corrected".
      online: one pass in the order of the windows, each labelled as it comes by; else epochs over all of them.
      epochs: passes (offline).
      batch_size: windows in an update.
      criterion: label-free choice of the epoch (offline), a name of `selection.CRITERIA`.
      seed: of the adaptation.
    """

    method: str
    options: Mapping[str, Any]
    profile: str = "corrected"
    online: bool = False
    epochs: int = 5
    batch_size: int = 64
    criterion: str = selection.DEFAULT
    seed: int = 0


class Outcome(NamedTuple):
    """What an adaptation came to.

    Attributes:
      before: (windows, classes) logits of the source model.
      logits: (windows, classes) after adaptation; of a stream each window's as it came by.
      state: that they are of; of a stream the last one.
      position: epochs or batches behind it.
      curve: a point an epoch (offline): number, criterion, losses.
      interrupted: whether Ctrl-C cut it short.
    """

    before: np.ndarray
    logits: np.ndarray
    state: AdaptState
    position: int
    curve: list[dict[str, Any]]
    interrupted: bool


def check(how: Request) -> None:
    """Raises `BadInput` for numbers out of range and an unknown criterion."""
    selection.check(how.criterion)
    check_number("--epochs", how.epochs, 1)
    check_number("--batch_size", how.batch_size, 2, because="batch statistics need two windows")


def check_windows(how: Request, windows: int) -> None:
    """Raises `BadInput` where there is too little to adapt to."""
    if how.method != "source" and windows < 2:
        raise BadInput("one window of audio, expected at least two to adapt to; give --method=source")


def method_of(how: Request, classifier: Classifier) -> Method:
    """The method of a request; one object for equal requests, so that models adapted again share its programs.

    Raises:
      BadInput: what the method's factory refuses.
    """
    # The factory stands in the key too: a user's own module that was loaded again has another one.
    return _method(methods.factory(how.method), how.method, tuple(sorted(how.options.items())), classifier)


@functools.lru_cache(maxsize=KEPT)
def _method(factory: Any, name: str, options: tuple[tuple[str, Any], ...], classifier: Classifier) -> Method:
    return methods.make(name, classifier, dict(options))


@functools.lru_cache(maxsize=KEPT)
def _compiled(method: Method, windows: int, samples: int, batch_size: int) -> protocols.Compiled:
    """A method's programs for sets of one shape: its memory's size may follow from the number of windows."""
    return protocols.compiled(method)


def source_variables(how: Request, config: ClassifierConfig, variables: Variables, waves: Windows) -> Variables:
    """The variables that the adaptation starts from: with the set's own input statistics where the rule wants them."""
    rule = input_statistics.rule_of(config, variables, how.profile, dict(how.options))
    return input_statistics.of_sets(config, rule, waves=waves).of("waves", variables)


def adapt(
    how: Request,
    classifier: Classifier,
    method: Method,
    variables: Variables,
    waves: Windows,
    before: Float[np.ndarray, "windows classes"],
    saver: Saver | None,
    progress: bool,
) -> Outcome:
    """Adapts to windows (windows, time); Ctrl-C ends it between two steps, with what there is, a second one at once.

    Args:
      how: the request.
      classifier: the network.
      method: `method_of` the request.
      variables: `source_variables`.
      waves: float32 windows.
      before: logits of the source model.
      saver: keeps unfinished states; None keeps none.
      progress: whether to show bars.

    Raises:
      BadInput: one window, or what the method needs is not there. FloatingPointError: a loss or a prediction is not
        finite. KeyboardInterrupt: a second Ctrl-C, in whatever step it came.
    """
    batch_size = min(how.batch_size, len(waves))
    classes = len(classifier.config.classes)
    info = RunInfo(protocols.steps_per_epoch(len(waves), batch_size), len(waves), classes, None, batch_size)
    methods.check_needs(how.method, method, variables, info)
    first = method.init(variables, info)
    run = _compiled(method, *waves.shape, batch_size)
    if how.online:
        return _stream(how, run, first, waves, batch_size, before, saver, progress)

    opening = None
    if settles(how.online, how.profile):
        opening = functools.partial(_settled, how, run, first, classifier, variables, waves, batch_size, info)
    return _epochs(how, run, first, opening, waves, batch_size, before, saver, progress)


def settles(online: bool, profile: str) -> bool:
    """Whether an adaptation starts from the set's own statistics, where its method follows these."""
    return not online and profile == "corrected"


def _settled(
    how: Request,
    run: protocols.Compiled,
    first: AdaptState,
    classifier: Classifier,
    variables: Variables,
    waves: Windows,
    batch_size: int,
    info: RunInfo,
) -> AdaptState:
    """The state before the first update: the method's, of the set's statistics where its steps follow these."""
    order = protocols.evaluation_order(jax.random.key(how.seed), len(waves))
    if not settling.follows(run, first, batch_of(waves, *protocols.padded_batches(order, batch_size)[0])):
        return first
    state = run.method.init(settling.settled(classifier, variables, waves, batch_size, order), info)
    if isinstance(state.memory, AutoMemory):  # its candidates follow the set; what may be kept is the source model
        return state._replace(variables=first.variables, memory=state.memory._replace(source=first.memory.source))
    return state


@contextlib.contextmanager
def _watching(
    saver: Saver | None, unfinished: Callable[[interrupts.Stopped], tuple[Any, dict[str, Any]]] | None = None
) -> Iterator[Callable[[], bool]]:
    """A block that Ctrl-C does not break, but for the second one: it is given what says whether one came."""
    if saver is not None:
        with saver.watching(unfinished):
            yield saver.asked
        return
    with interrupts.deferred(interrupts.UNKEPT) as asked:
        yield asked
    if asked():  # after the last step
        raise interrupts.BetweenSteps


def _epochs(
    how: Request,
    compiled: Any,
    first: AdaptState,
    opening: Callable[[], AdaptState] | None,
    waves: Windows,
    batch_size: int,
    before: np.ndarray,
    saver: Saver | None,
    progress: bool,
) -> Outcome:
    """Offline: the epoch with the highest label-free criterion, epoch 0 (as the method predicts unadapted) included."""
    criterion = selection.CRITERIA[how.criterion]
    started = (first, first, before)
    (state, best, best_logits), info = (saver and saver.load(started)) or (started, {})
    curve, interrupted = info.get("curve", []), False
    try:
        with _watching(saver, lambda stopped: ((stopped.state, best, best_logits), {"curve": curve})) as asked:
            epochs = protocols.offline(
                compiled,
                state,
                waves,
                epochs=how.epochs,
                batch_size=batch_size,
                key=jax.random.key(how.seed),
                begin=max(0, len(curve) - 1),
                progress=how.method if progress else None,
                within=protocols.Within(info.get("updates", 0), info.get("losses", ())),
                asked=asked,
                opening=opening,
            )
            for epoch in epochs:
                check_finite_logits(epoch.logits, f"after epoch {epoch.index} of {how.epochs}; {ADVICE}")
                value = float(criterion(epoch.logits))
                value = value if np.isfinite(value) else None  # as JSON has no such number; it is never chosen
                if selection.choose([*(point["criterion"] for point in curve), value]) == len(curve):
                    # The epoch's buffers are given to the next update: keep copies.
                    best, best_logits = jax.tree.map(jnp.copy, epoch.state), epoch.logits
                curve.append({"epoch": epoch.index, "criterion": value, **epoch.losses})
                if epoch.index and saver is not None:
                    saver.save((epoch.state, best, best_logits), {"position": epoch.index, "curve": curve})
    except interrupts.BetweenSteps:
        interrupted = True
    position = selection.choose([point["criterion"] for point in curve]) if curve else 0
    return Outcome(before, np.asarray(best_logits), best, position, curve, interrupted)


def _stream(
    how: Request,
    compiled: Any,
    first: AdaptState,
    waves: Windows,
    batch_size: int,
    before: np.ndarray,
    saver: Saver | None,
    progress: bool,
) -> Outcome:
    """Online: in the order of the files; windows that were not reached keep the source model's logits."""
    (state, logits), info = (saver and saver.load((first, before))) or ((first, before), {})
    logits, position, interrupted = np.array(logits), info.get("position", 0), False
    rows = np.arange(len(waves))
    stream = streams.batches(streams.Stream(rows, np.zeros_like(rows)), batch_size)
    state = jax.tree.map(jnp.copy, state)
    try:
        with _watching(saver) as asked:  # a step that is under way has been given the state's buffers
            for step in protocols.online(
                compiled,
                state,
                waves,
                batch_size=batch_size,
                key=jax.random.key(how.seed),
                stream=stream,
                begin=position,
                progress=how.method if progress else None,
            ):
                place = f"at batch {step.index + 1}; {ADVICE}"
                logits[step.rows] = check_finite_logits(np.asarray(step.logits), place)
                state, position = step.state, step.index + 1
                if saver is not None:
                    saver.save((state, logits), {"position": position})
                elif asked():
                    raise interrupts.BetweenSteps
    except interrupts.BetweenSteps:
        interrupted = True
    return Outcome(before, logits, state, position, [], interrupted)


def check_finite_weights(variables: Any) -> Any:
    """The adapted weights, on the host.

    Raises:
      FloatingPointError: some are not finite: the last update of a stream shows in no prediction.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if not np.isfinite(np.asarray(leaf)).all():
            raise FloatingPointError(f"the adapted weights {jax.tree_util.keystr(path)} are not finite; {ADVICE}")
    return jax.tree.map(np.asarray, variables)
