"""Going through a target set: the epochs or the stream of one cell, resumable, each point of the curve scored."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.nets.mel_image import Statistics
from dhauds_jax.tta import metrics, parallel, protocols, selection, streams
from dhauds_jax.tta.feeding import hold
from dhauds_jax.types import AdaptState
from experiments.input_statistics import normalising
from experiments.resume import Saver


class Target(NamedTuple):
    """The corrupted set of a cell.

    Attributes:
      waves: (domains * clips, time), domain after domain.
      labels: of every row, for scoring and for label-ordered streams only: class indices, or 0/1 rows of classes.
      metric: name of the data set's metric.
      domains: (corruption, level) of each domain; one for most protocols.
      evaluation: (clips, time) the evaluation draw of the same clips, or None where one draw serves both.
      clean: (clips, time) the uncorrupted clips, for protocols that watch forgetting.
      view: (clips, time) a second view of `waves`, for criteria of agreement (offline only).
    """

    waves: np.ndarray
    labels: np.ndarray
    metric: str
    domains: tuple[tuple[str, str], ...] = ()
    evaluation: np.ndarray | None = None
    clean: np.ndarray | None = None
    view: np.ndarray | None = None

    @property
    def clips(self) -> int:
        """Clips of one domain."""
        return len(self.waves) // max(1, len(self.domains))


class Passage(NamedTuple):
    """What going through a target gave.

    Attributes:
      curve: points as `scored` makes them.
      domains: one entry a domain, for streams of several.
      seconds: over all sittings.
      state: the last one.
      final: every metric of the last predictions (of the evaluation draw where there is one).
      reliability: bins of the same predictions ("after"), and of the unadapted ones where it saw them ("before").
    """

    curve: list[dict[str, Any]]
    domains: list[dict[str, Any]]
    seconds: float
    state: AdaptState
    final: dict[str, float]
    reliability: dict[str, list[list[float]]]


class Plan(NamedTuple):
    """How a cell goes through its target: what `offline` and `online` need beside method, state and waves.

    `statistics`: of the images of the target's evaluation draw and of its clean clips, where they have their own
    (`experiments.input_statistics`). `together`: updates in one dispatch, offline.
    """

    protocol: str
    options: Mapping[str, Any]
    epochs: int
    batch_size: int
    key: Any
    every: int = 1
    statistics: tuple[Statistics | None, Statistics | None] = (None, None)
    together: int = 1


def scored(index: int, logits: np.ndarray, labels: np.ndarray, metric: str, losses: Mapping[str, float]) -> dict:
    """One point of the curve: the metric, every label-free criterion, calibration, signs of collapse, mean losses."""
    return {
        "epoch": index,
        **measured(logits, labels, metric),
        "criteria": {name: f(logits) for name, f in selection.CRITERIA.items()},
        "losses": dict(losses),
    }


def measured(logits: np.ndarray, labels: np.ndarray, metric: str) -> dict[str, Any]:
    """The metric, calibration and signs of collapse of some predictions."""
    return {
        "metric": metrics.METRICS[metric](logits, labels),
        "ece": metrics.ece(logits, labels),
        "nll": metrics.nll(logits, labels),
        "top_share": metrics.top_share(logits),
        "collapsed": metrics.collapsed(logits),
    }


def bins(logits: np.ndarray, labels: np.ndarray) -> list[list[float]]:
    """The filled bins of a reliability diagram as a record holds them: [share, share that is right, confidence]."""
    return [list(row) for row in metrics.reliability(logits, labels)]


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
    plan: Plan, run: protocols.Compiled, state: AdaptState, target: Target, saver: Saver | None, progress: str | None
) -> Passage:
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
    )
    for epoch in epochs:
        point = scored(epoch.index, epoch.logits, target.labels, target.metric, epoch.losses)
        logits = epoch.logits
        if view is not None:
            seen = protocols.evaluate(run.predict, epoch.state, view, plan.batch_size, parallel=where)
            point["criteria"]["agreement"] = selection.agreement(logits, seen)
        if evaluation is not None:
            other = _watched(run, epoch.state, normalising(epoch.state, plan.statistics[0]))
            logits = protocols.evaluate(run.predict, other, evaluation, plan.batch_size, parallel=where)
            point["evaluation"] = measured(logits, target.labels, target.metric)
        if epoch.index == plan.epochs:
            point["metrics"] = metrics.everything(logits, target.labels)
            point["reliability"] = {"after": bins(logits, target.labels)}
        curve.append(point)
        if saver and epoch.index:
            saver.save(epoch.state, {"position": epoch.index, "curve": curve, "seconds": clock.seconds()})
        last = epoch.state
    final, filled = (curve[-1].pop(name, {}) for name in ("metrics", "reliability"))
    return Passage(curve, [], clock.seconds(), parallel.here(where, last), final, filled)


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
    unadapted: np.ndarray,
    saver: Saver | None,
    progress: str | None,
) -> Passage:
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
            logits[step.rows] = np.asarray(step.logits)
            losses.append({name: float(value) for name, value in step.losses.items()})

    steps = protocols.online(
        run,
        state,
        hold(target.waves, run.parallel),
        batch_size=plan.batch_size,
        key=plan.key,
        stream=stream,
        order=plan.options.get("order", "predict_first"),
        alone=protocol.alone,
        every=plan.every,
        fresh=(lambda: first) if plan.options.get("reset") == "domain" else None,
        begin=info.get("position", 0),
        progress=progress,
    )
    for step in steps:
        fetch()
        late.append(step._replace(state=None))
        ends = step.index + 1 == len(stream) or stream[step.index + 1].opens
        if protocol.clean and ends:
            other = _watched(run, step.state, normalising(step.state, plan.statistics[1]))
            seen = protocols.evaluate(run.predict, other, target.clean, plan.batch_size, parallel=run.parallel)
            clean.append(metrics.METRICS[target.metric](seen, target.labels[: target.clips]))
        if saver and saver.due():
            fetch()
            facts = {"position": step.index + 1, "losses": losses, "clean": clean, "seconds": clock.seconds()}
            saver.save((step.state, logits), facts)
        state = step.state
    fetch()
    rows = _rows(stream)
    mean = mean_losses(losses)
    curve = [
        scored(i, z[rows], target.labels[rows], target.metric, m) for i, z, m in ((0, unadapted, {}), (1, logits, mean))
    ]
    domains = _by_domain(stream, target, unadapted, logits, clean)
    labels = target.labels[rows]
    filled = {"before": bins(unadapted[rows], labels), "after": bins(logits[rows], labels)}
    final = metrics.everything(logits[rows], labels)
    return Passage(curve, domains, clock.seconds(), parallel.here(run.parallel, state), final, filled)


def _rows(stream: Sequence[streams.StreamBatch]) -> np.ndarray:
    """The rows that a stream showed, sorted."""
    return np.sort(np.concatenate([batch.rows[batch.weights > 0] for batch in stream]))


def mean_losses(losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over the updates by name; steps without an update have none."""
    updates = [item for item in losses if item]
    return {name: float(np.mean([item[name] for item in updates])) for name in (updates[0] if updates else {})}


def _by_domain(
    stream: Sequence[streams.StreamBatch],
    target: Target,
    unadapted: np.ndarray,
    logits: np.ndarray,
    clean: Sequence[float],
) -> list[dict[str, Any]]:
    """For each of several domains: what was measured on its clips, and on the clean set when it had gone by."""
    if len(target.domains) < 2:
        return []
    score, rows, out = metrics.METRICS[target.metric], _rows(stream), []
    for d, (corruption, level) in enumerate(target.domains):
        mine = rows[rows // target.clips == d]
        if not len(mine):
            continue
        out.append(
            {
                "corruption": corruption,
                "level": level,
                "n": len(mine),
                "non_adapted": score(unadapted[mine], target.labels[mine]),
                "metric": score(logits[mine], target.labels[mine]),
                **({"clean": clean[d]} if d < len(clean) else {}),
            }
        )
    return out
