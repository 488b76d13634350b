"""Running over a target set: the epochs or the stream of one cell, resumable, each point of the curve scored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax import interrupts, metrics, parallel
from dhauds_jax.cells.input_statistics import InputStatistics
from dhauds_jax.cells.scoring import (
    bins,
    by_domain,
    chosen_as_it_goes,
    mean_losses,
    measured,
    rows_of,
    scored,
)
from dhauds_jax.cells.targets import Target
from dhauds_jax.tta import protocols, selection, streams
from dhauds_jax.tta.evaluation import check_finite, check_finite_logits
from dhauds_jax.tta.feeding import hold
from dhauds_jax.types import AdaptState
from dhauds_jax.workdir.saver import Saver, watching


class Trajectory(NamedTuple):
    """What a run over a target gave.

    Attributes:
      curve: points as `scored` makes them.
      domains: one entry a domain, for streams of several.
      seconds: over all sittings.
      state: the last one.
      final: every metric of the last predictions (of the evaluation draw where there is one).
      reliability: bins of the same predictions ("after"), and of the unadapted ones where it saw them ("before").
      as_it_goes: of a stream, what the label-free choice batch by batch gave (`scoring.chosen_as_it_goes`).
    """

    curve: list[dict[str, Any]]
    domains: list[dict[str, Any]]
    seconds: float
    state: AdaptState
    final: dict[str, float]
    reliability: dict[str, list[list[float]]]
    as_it_goes: Mapping[str, Any] = MappingProxyType({})


class Plan(NamedTuple):
    """How a cell runs over its target: what `offline` and `online` need beside method, state and waves.

    `together`: updates in one dispatch, offline; `criterion`: the cell's, one of the user's own is looked at too.
    """

    protocol: str
    options: Mapping[str, Any]
    epochs: int
    batch_size: int
    key: Any
    every: int = 1
    together: int = 1
    criterion: str = selection.DEFAULT


class _Clock:
    """Seconds of this sitting and of the earlier ones."""

    def __init__(self, spent: float):
        self._spent, self._begun = spent, time.perf_counter()

    def seconds(self) -> float:
        return self._spent + time.perf_counter() - self._begun


def _resumed(saver: Saver | None, tree: Any) -> tuple[Any, dict[str, Any], _Clock]:
    """The saved state and its facts, or `tree` and none."""
    found = saver.load(tree) if saver else None
    tree, info = found or (tree, {})
    return tree, info, _Clock(info.get("seconds", 0.0))


def _watched(run: protocols.Compiled, state: AdaptState, other: AdaptState) -> AdaptState:
    """A state whose statistics were replaced, on all devices again."""
    return other if other is state or run.parallel.kind == "jit" else parallel.everywhere(run.parallel, other)


def through_epochs(
    plan: Plan,
    run: protocols.Compiled,
    state: AdaptState,
    target: Target,
    statistics: InputStatistics,
    saver: Saver | None,
    progress: str | None,
) -> Trajectory:
    """The offline protocol; with an evaluation draw every point also holds what was measured there."""
    state, info, clock = _resumed(saver, state)
    curve: list[dict[str, Any]] = info.get("curve", [])
    parallel.same_everywhere(len(curve), "finished epochs")
    last, where = state, run.parallel
    waves, evaluation, view = (hold(set_, where) for set_ in (target.waves, target.evaluation, target.view))
    epochs = protocols.offline(
        run,
        state,
        waves,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        key=plan.key,
        begin=len(curve) - 1 if curve else 0,
        progress=progress,
        together=plan.together,
        within=protocols.Within(info.get("updates", 0), info.get("losses", ())),
        asked=saver.asked if saver else interrupts.never,
    )
    whole = {"of": plan.epochs}
    with watching(saver, lambda stopped: (stopped.state, {"curve": curve, "seconds": clock.seconds(), **whole})):
        for epoch in epochs:
            place = f"after epoch {epoch.index} of {plan.epochs}; lower the learning rate"
            logits = check_finite_logits(epoch.logits, place)
            point = scored(epoch.index, logits, target.labels, target.metric, epoch.losses, plan.criterion)
            if view is not None:
                seen = protocols.evaluate(run.predict, epoch.state, view, plan.batch_size, parallel=where)
                point["criteria"]["agreement"] = selection.agreement(logits, check_finite_logits(seen, place))
            if evaluation is not None:
                other = _watched(run, epoch.state, statistics.of("evaluation", epoch.state))
                logits = protocols.evaluate(run.predict, other, evaluation, plan.batch_size, parallel=where)
                logits = check_finite_logits(logits, place)
                point["evaluation"] = measured(logits, target.labels, target.metric)
            if epoch.index == plan.epochs:
                point["metrics"] = metrics.everything(logits, target.labels)
                point["reliability"] = {"after": bins(logits, target.labels)}
            curve.append(point)
            if saver and epoch.index:
                saver.save(epoch.state, {"position": epoch.index, "curve": curve, "seconds": clock.seconds(), **whole})
            last = epoch.state
    final, filled = (curve[-1].pop(name, {}) for name in ("metrics", "reliability"))
    return Trajectory(curve, [], clock.seconds(), parallel.here(where, last), final, filled)


def stream_of(plan: Plan, target: Target) -> list[streams.StreamBatch]:
    """The batches of a one-pass protocol."""
    labels = target.labels[: target.clips]
    stream = protocols.make_stream(
        plan.protocol,
        plan.key,
        clips=target.clips,
        domains=max(1, len(target.domains)),
        labels=labels if labels.ndim == 1 else labels.argmax(-1),
        options=plan.options,
    )
    return streams.batches(stream, plan.batch_size)


def through_stream(
    plan: Plan,
    run: protocols.Compiled,
    first: AdaptState,
    target: Target,
    statistics: InputStatistics,
    unadapted: np.ndarray,
    saver: Saver | None,
    progress: str | None,
) -> Trajectory:
    """A one-pass protocol: the predictions made as the stream went by, domain by domain where there are several."""
    stream = stream_of(plan, target)
    protocol = protocols.PROTOCOLS[plan.protocol]
    (state, logits), info, clock = _resumed(saver, (first, np.zeros_like(unadapted)))
    logits, losses, clean = np.array(logits), info.get("losses", []), info.get("clean", [])
    parallel.same_everywhere(info.get("position", 0), "steps of the stream")
    late: list[protocols.StreamStep] = []

    def fetch() -> None:
        """Takes the results of the last step from the devices."""
        while late:
            step = late.pop(0)
            place = f"step {step.index + 1} of the stream"
            logits[step.rows] = check_finite_logits(np.asarray(step.logits), f"at {place}; lower the learning rate")
            losses.append(check_finite(step.losses, place))

    steps = protocols.online(
        run,
        state,
        hold(target.waves, run.parallel),
        batch_size=plan.batch_size,
        key=plan.key,
        stream=stream,
        order=plan.options.get("order", "predict_first"),
        alone=protocol.alone,
        window=plan.options.get("window", 0),
        every=plan.every,
        fresh=(lambda: first) if plan.options.get("reset") == "domain" else None,
        begin=info.get("position", 0),
        progress=progress,
    )
    with watching(saver):
        for step in steps:
            fetch()
            late.append(step._replace(state=None))
            ends = step.index + 1 == len(stream) or stream[step.index + 1].opens
            if protocol.clean and ends:
                other = _watched(run, step.state, statistics.of("clean", step.state))
                seen = protocols.evaluate(run.predict, other, target.clean, plan.batch_size, parallel=run.parallel)
                check_finite_logits(seen, f"on clean clips after step {step.index + 1} of the stream")
                clean.append(metrics.METRICS[target.metric](seen, target.labels[: target.clips]))
            if saver and saver.due():
                fetch()
                facts = {"position": step.index + 1, "of": len(stream), "losses": losses, "clean": clean}
                saver.save((step.state, logits), {**facts, "seconds": clock.seconds()})
            state = step.state
    fetch()
    rows = rows_of(stream)
    mean = mean_losses(losses)
    curve = [
        scored(i, z[rows], target.labels[rows], target.metric, m, plan.criterion)
        for i, z, m in ((0, unadapted, {}), (1, logits, mean))
    ]
    domains = by_domain(stream, target, unadapted, logits, clean)
    labels = target.labels[rows]
    filled = {"before": bins(unadapted[rows], labels), "after": bins(logits[rows], labels)}
    final = metrics.everything(logits[rows], labels)
    choice = chosen_as_it_goes(stream, target, unadapted, logits, plan.criterion, protocol.alone)
    return Trajectory(curve, domains, clock.seconds(), parallel.here(run.parallel, state), final, filled, choice)
