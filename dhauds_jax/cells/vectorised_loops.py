"""Running over the target sets of many copies of a run at once; each copy's curve is scored as `loops` does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from dhauds_jax import metrics
from dhauds_jax.cells import loops, targets
from dhauds_jax.cells.input_statistics import InputStatistics
from dhauds_jax.cells.scoring import bins, chosen_as_it_goes, mean_losses, measured, scored
from dhauds_jax.tta import vectorised, vectorised_protocols
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.wording import counted


class Lost(NamedTuple):
    """A copy that diverged, and where."""

    where: str


class Replicas(NamedTuple):
    """Copies of a run that run at once, one for each (seed, rate).

    Attributes:
      study: the method for all copies.
      plans: of each seed.
      sets: the target of each seed.
      statistics: of the first set, and of the evaluation draw, which all share.
      copies, shared: the states, split as `vectorised.start` does.
      unadapted: the source model's logits of each seed's set, (clips, classes).
      text: says on the bar what runs.
    """

    study: vectorised.Study
    plans: Sequence[loops.Plan]
    sets: Sequence[targets.Target]
    statistics: InputStatistics
    copies: Any
    shared: vectorised.Shared
    unadapted: Sequence[np.ndarray]
    text: str


def _waves(targets_: Sequence[targets.Target]) -> Any:
    return targets_[0].waves if len(targets_) == 1 else [target.waves for target in targets_]


def lost(index: int, diverged: dict[vectorised.Copy, str], copy: vectorised.Copy, logits: np.ndarray) -> Lost | None:
    """Where a copy diverged, of whose predictions after `index` passes these are the logits; None if it did not."""
    if copy in diverged:
        return Lost(diverged[copy])
    try:
        check_finite_logits(logits, f"after {counted(index, 'pass', 'passes')}")
    except FloatingPointError as error:
        return Lost(str(error))
    return None


def through_epochs(replicas: Replicas) -> dict[vectorised.Copy, loops.Trajectory | Lost]:
    """The offline protocol of every copy, each point scored as `loops.through_epochs` does."""
    study, plan, evaluation = replicas.study, replicas.plans[0], replicas.sets[0].evaluation
    copies, shared = replicas.copies, replicas.shared
    begun = time.perf_counter()
    curves: dict[vectorised.Copy, Any] = {copy: [] for copy in np.ndindex(study.shape)}
    final: dict[vectorised.Copy, tuple[Any, Any]] = {}
    given = {
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        "keys": [p.key for p in replicas.plans],
        "progress": replicas.text,
    }
    for epoch in vectorised_protocols.offline(study, copies, shared, _waves(replicas.sets), **given):
        reported = epoch.logits
        if evaluation is not None:
            other = jax.vmap(jax.vmap(lambda c: replicas.statistics.of("evaluation", c)))(epoch.copies)
            reported = vectorised_protocols.evaluate(study.predict, study, other, shared, evaluation, plan.batch_size)
        for copy, curve in curves.items():
            if isinstance(curve, Lost):
                continue
            end = lost(epoch.index, epoch.diverged, copy, np.stack([epoch.logits[copy], reported[copy]]))
            if end:
                curves[copy] = end
                continue
            target, losses = replicas.sets[copy[0]], {name: float(value[copy]) for name, value in epoch.losses.items()}
            point = scored(epoch.index, epoch.logits[copy], target.labels, target.metric, losses, plan.criterion)
            if evaluation is not None:
                point["evaluation"] = measured(reported[copy], target.labels, target.metric)
            curve.append(point)
            final[copy] = reported[copy], target.labels
    seconds = (time.perf_counter() - begun) / len(curves)
    found: dict[vectorised.Copy, loops.Trajectory | Lost] = {}
    for copy, curve in curves.items():
        if isinstance(curve, Lost):
            found[copy] = curve
            continue
        state, said = vectorised.state_of(epoch.copies, shared, copy), metrics.everything(*final[copy])
        found[copy] = loops.Trajectory(curve, [], seconds, state, said, {"after": bins(*final[copy])})
    return found


def through_streams(replicas: Replicas) -> dict[vectorised.Copy, loops.Trajectory | Lost]:
    """The online protocol of every copy, as `loops.through_stream` has it for one domain."""
    study, plans, sets, unadapted = replicas.study, replicas.plans, replicas.sets, replicas.unadapted
    begun = time.perf_counter()
    streams = [loops.stream_of(plan, target) for plan, target in zip(plans, sets, strict=True)]
    logits = np.zeros((*study.shape, *unadapted[0].shape), unadapted[0].dtype)
    losses, step = [], None
    given = {
        "batch_size": plans[0].batch_size,
        "keys": [p.key for p in plans],
        "streams": streams,
        "order": plans[0].options["order"],
        "progress": replicas.text,
    }
    for step in vectorised_protocols.online(study, replicas.copies, replicas.shared, _waves(sets), **given):
        for k, rows in enumerate(step.rows):
            logits[k][:, rows] = step.logits[k]
        losses.append(step.losses)
    seconds = (time.perf_counter() - begun) / len(logits.reshape(-1, *logits.shape[2:]))
    found: dict[vectorised.Copy, loops.Trajectory | Lost] = {}
    for copy in np.ndindex(study.shape):
        labels, metric, before = sets[copy[0]].labels, sets[copy[0]].metric, unadapted[copy[0]]
        end = lost(1, step.diverged, copy, logits[copy])
        if end:
            found[copy] = end
            continue
        mean = mean_losses([{name: float(value[copy]) for name, value in item.items()} for item in losses])
        points = ((0, before, {}), (1, logits[copy], mean))
        curve = [scored(index, z, labels, metric, terms, plans[0].criterion) for index, z, terms in points]
        reliability = {"before": bins(before, labels), "after": bins(logits[copy], labels)}
        final = metrics.everything(logits[copy], labels)
        mine = (streams[copy[0]], sets[copy[0]], before, logits[copy])
        choice = chosen_as_it_goes(*mine, plans[0].criterion, alone=False)
        state = vectorised.state_of(step.copies, replicas.shared, copy)
        found[copy] = loops.Trajectory(curve, [], seconds, state, final, reliability, choice)
    return found
