"""One cell of a benchmark: adapt to one corrupted set with one method under one protocol, and write its record."""

from __future__ import annotations

import functools
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.tta import masks, methods, metrics, protocols, selection
from dhauds_jax.types import AdaptState, Classifier, RunInfo, Variables
from experiments import records
from experiments.resume import Saver


class Cell(NamedTuple):
    """What names a result: two runs with equal cells (and equal source weights) give equal numbers.

    Attributes:
      dataset, corruption, level, net, method, protocol, profile, seed: as in the record.
      options: the method's resolved options.
      epochs: passes of the offline protocol.
      batch_size: clips in an update.
      criterion: label-free choice of the epoch, a name of `tta.selection.CRITERIA`.
      draw: the corruption draw's settings and checksum.
    """

    dataset: str
    corruption: str
    level: str
    net: str
    method: str
    protocol: str
    profile: str
    seed: int
    options: tuple[tuple[str, Any], ...]
    epochs: int
    batch_size: int
    criterion: str
    draw: tuple[tuple[str, Any], ...] = ()


class Target(NamedTuple):
    """The corrupted set: (clips, time) waves, labels (for scoring only), the name of its metric."""

    waves: np.ndarray
    labels: np.ndarray
    metric: str


class Source(NamedTuple):
    """The classifier and the weights it starts from, with their hash."""

    classifier: Classifier
    variables: Variables
    sha256: str


def source(classifier: Classifier, variables: Variables) -> Source:
    """A source model with its hash."""
    return Source(classifier, variables, variables_hash(variables))


def cell_id(cell: Cell, source_hash: str) -> str:
    """Sixteen hexadecimal digits that name a cell: its fields and the source weights."""
    text = json.dumps([list(cell), source_hash], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_COMPILED: dict[Any, protocols.Compiled] = {}


def compiled_method(cell: Cell, classifier: Classifier, shape: tuple[int, ...]) -> protocols.Compiled:
    """The jitted method, shared by cells that differ in nothing that is compiled."""
    key = (cell.method, cell.options, cell.batch_size, id(classifier), shape)
    if key not in _COMPILED:
        _COMPILED[key] = protocols.compiled(methods.make(cell.method, classifier, dict(cell.options)))
    return _COMPILED[key]


@functools.lru_cache(maxsize=4)
def _source_predict(classifier: Classifier) -> Any:
    return jax.jit(methods.make("source", classifier, {}).predict)


def source_logits(source: Source, target: Target, batch_size: int) -> np.ndarray:
    """Logits of the unadapted model over the set."""
    state = AdaptState(source.variables, (), (), np.int32(0))
    return protocols.evaluate(_source_predict(source.classifier), state, target.waves, batch_size)


def _scored(index: int, logits: np.ndarray, target: Target, losses: Mapping[str, float]) -> dict[str, Any]:
    """One point of the curve: the metric, every label-free criterion, signs of collapse, mean losses."""
    criteria = {name: f(logits) for name, f in selection.CRITERIA.items()}
    return {
        "epoch": index,
        "metric": metrics.METRICS[target.metric](logits, target.labels),
        "ece": metrics.ece(logits, target.labels),
        "nll": metrics.nll(logits, target.labels),
        "top_share": metrics.top_share(logits),
        "collapsed": metrics.collapsed(logits),
        "criteria": criteria,
        "losses": dict(losses),
    }


def _offline(
    cell: Cell, run: protocols.Compiled, state: AdaptState, target: Target, saver: Saver | None, progress: str | None
) -> tuple[list[dict[str, Any]], float]:
    """The curve of the offline protocol and the seconds it took, over all sittings."""
    curve: list[dict[str, Any]] = []
    spent = 0.0
    found = saver.load(state) if saver else None
    if found:
        state, info = found
        curve, spent = info["curve"], info["seconds"]
    begun = time.perf_counter()
    epochs = protocols.offline(
        run,
        state,
        target.waves,
        epochs=cell.epochs,
        batch_size=cell.batch_size,
        key=jax.random.key(cell.seed),
        begin=len(curve) - 1 if curve else 0,
        progress=progress,
    )
    for epoch in epochs:
        curve.append(_scored(epoch.index, epoch.logits, target, epoch.losses))
        if saver and epoch.index:
            seconds = spent + time.perf_counter() - begun
            saver.save(epoch.state, {"position": epoch.index, "curve": curve, "seconds": seconds})
    return curve, spent + time.perf_counter() - begun


def _online(
    cell: Cell,
    run: protocols.Compiled,
    state: AdaptState,
    target: Target,
    unadapted: np.ndarray,
    saver: Saver | None,
    progress: str | None,
) -> tuple[list[dict[str, Any]], float]:
    """Two points: the unadapted model, and the predictions made as the stream went by."""
    logits, losses, begin, spent = np.zeros_like(unadapted), [], 0, 0.0
    found = saver.load((state, logits)) if saver else None
    if found:
        (state, logits), info = found
        logits, losses, begin, spent = np.array(logits), info["losses"], info["position"], info["seconds"]
    begun = time.perf_counter()
    steps = protocols.online(
        run,
        state,
        target.waves,
        batch_size=cell.batch_size,
        key=jax.random.key(cell.seed),
        begin=begin,
        progress=progress,
    )
    for step in steps:
        logits[step.rows] = step.logits
        losses.append(step.losses)
        if saver:
            seconds = spent + time.perf_counter() - begun
            saver.save((step.state, logits), {"position": step.index + 1, "losses": losses, "seconds": seconds})
    mean = {name: float(np.mean([item[name] for item in losses])) for name in losses[0]}
    curve = [_scored(0, unadapted, target, {}), _scored(1, logits, target, mean)]
    return curve, spent + time.perf_counter() - begun


def _passes(method: Any, cell: Cell) -> dict[str, int]:
    """Forward and backward passes per clip of the whole run, evaluations apart."""
    forward, backward = method.passes
    times = cell.epochs if cell.protocol == "offline" else 1
    evaluations = cell.epochs + 1 if cell.protocol == "offline" else 0
    return {"forward": forward * times, "backward": backward * times, "evaluation": evaluations}


def run_cell(
    cell: Cell,
    source: Source,
    target: Target,
    workdir: Path,
    *,
    command: str,
    save_every_s: float = 20.0,
    progress: bool = True,
) -> dict[str, Any]:
    """Runs a cell, or goes on with it, and returns its record (not yet written).

    Args:
      cell: what to run.
      source: the source model.
      target: the corrupted set.
      workdir: unfinished states are kept under `workdir/state`.
      command: the command line, for the record.
      save_every_s: least seconds between two saved states.
      progress: whether to show a bar.

    Raises:
      ValueError: the network lacks what the method needs. FloatingPointError: a loss is not finite.
    """
    info = RunInfo(
        protocols.steps_per_epoch(len(target.waves), cell.batch_size),
        len(target.waves),
        len(source.classifier.config.classes),
    )
    run = compiled_method(cell, source.classifier, target.waves.shape[1:])
    methods.check_needs(cell.method, run.method, source.variables, info)
    state = run.method.init(source.variables, info)
    saver = Saver(workdir / "state" / cell_id(cell, source.sha256), save_every_s)
    unadapted = source_logits(source, target, cell.batch_size)
    text = f"{cell.corruption}-{cell.level} {cell.method} {cell.protocol} seed {cell.seed}" if progress else None
    if cell.protocol == "offline":
        curve, seconds = _offline(cell, run, state, target, saver, text)
    else:
        curve, seconds = _online(cell, run, state, target, unadapted, saver, text)
    record = _record(cell, source, target, unadapted, curve, seconds, run.method, command)
    saver.clear()
    return record


def _record(
    cell: Cell,
    source: Source,
    target: Target,
    unadapted: np.ndarray,
    curve: list[dict[str, Any]],
    seconds: float,
    method: Any,
    command: str,
) -> dict[str, Any]:
    scores = [point["criteria"][cell.criterion] for point in curve]
    values = [point["metric"] for point in curve]
    selected, best = selection.choose(scores), selection.oracle(values)
    order_key, _ = jax.random.split(jax.random.key(cell.seed))
    return {
        "cell": cell_id(cell, source.sha256),
        **{name: getattr(cell, name) for name in ("dataset", "corruption", "level", "net", "method", "protocol")},
        "profile": cell.profile,
        "metric": target.metric,
        "n": len(target.waves),
        "seed": cell.seed,
        "non_adapted": metrics.METRICS[target.metric](unadapted, target.labels),
        "adapted_last": values[-1],
        "adapted_selected": values[selected],
        "adapted_oracle": values[best],
        "selection": {"criterion": cell.criterion, "epoch": selected, "oracle_epoch": best},
        "curve": curve,
        "ece": curve[-1]["ece"],
        "nll": curve[-1]["nll"],
        "seconds": seconds,
        "passes": _passes(method, cell),
        "parameters_moved": masks.count(source.variables["params"], method.adapts),
        "peak_memory_mb": records.peak_memory_mb(),
        "collapsed": curve[-1]["collapsed"],
        "options": {**dict(cell.options), "epochs": cell.epochs, "batch_size": cell.batch_size, **dict(cell.draw)},
        "source_checkpoint": source.sha256,
        "stream_checksum": protocols.order_checksum(protocols.stream_order(order_key, len(target.waves))),
        "git_revision": records.git_revision(),
        "versions": records.versions(),
        "device": records.device(),
        "command": command,
    }
