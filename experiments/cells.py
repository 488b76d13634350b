"""One cell of a benchmark: adapt to one corrupted set with one method under one protocol, and write its record."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dhauds_jax.nets.checkpoint import variables_hash
from dhauds_jax.tta import masks, methods, metrics, parallel, protocols, selection, wrappers
from dhauds_jax.tta.parallel import ONE, Parallel
from dhauds_jax.types import AdaptState, Classifier, Method, RunInfo, SourceData, Variables
from experiments import costs, embeddings, input_statistics, records
from experiments.passes import Passage, Plan, Target, bins, stream_of, through_epochs, through_stream
from experiments.resume import Saver

__all__ = ["Cell", "Source", "Target", "cell_id", "compiled_method", "run_cell", "source", "source_logits"]


class Cell(NamedTuple):
    """What names a result: two runs with equal cells (and equal source weights) give equal numbers.

    Attributes:
      dataset, corruption, level, net, method, protocol, profile, seed: as in the record; protocols over several
        corruptions join their names by "+".
      options: the method's resolved options.
      epochs: passes of the offline protocol.
      batch_size: clips in an update.
      criterion: label-free choice of the epoch, a name of `tta.selection.CRITERIA`.
      draw: the corruption draws' settings and checksums.
      protocol_options: the protocol's resolved options.
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
    protocol_options: tuple[tuple[str, Any], ...] = ()


class Source(NamedTuple):
    """The classifier and the weights it starts from, with their hash; labelled source clips for methods that need some.

    The hash names the weights alone: the source clips are those the weights were trained on.
    """

    classifier: Classifier
    variables: Variables
    sha256: str
    data: SourceData | None = None


def source(classifier: Classifier, variables: Variables, data: SourceData | None = None) -> Source:
    """A source model with its hash."""
    return Source(classifier, variables, variables_hash(variables), data)


def cell_id(cell: Cell, source_hash: str) -> str:
    """Sixteen hexadecimal digits that name a cell: its fields and the source weights."""
    text = json.dumps([list(cell), source_hash], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_COMPILED: dict[Any, protocols.Compiled] = {}
_FLOPS: dict[int, float | None] = {}


def wrapped_method(cell: Cell, classifier: Classifier, axis_name: str | None = None) -> Method:
    """The cell's method under its protocol's rule of starting anew."""
    method = methods.make(cell.method, classifier, dict(cell.options), axis_name)
    options = dict(cell.protocol_options)
    if cell.protocol == "episodic":
        return wrappers.episodic(method, options["updates"])
    return wrappers.with_reset(method, options.get("reset", "none"), axis_name)


def compiled_method(
    cell: Cell, classifier: Classifier, method: Method, like: Any, where: Parallel = ONE
) -> protocols.Compiled:
    """The jitted method, shared by cells that differ in nothing that is compiled.

    `like` is a tree of arrays whose shapes enter the compiled functions: a state and some waves.
    """
    rules = (cell.protocol == "episodic", *(dict(cell.protocol_options).get(name) for name in ("reset", "updates")))
    shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(like))
    key = (cell.method, cell.options, cell.batch_size, id(classifier), shapes, rules, where)
    if key not in _COMPILED:
        spread = wrapped_method(cell, classifier, where.axis_name)
        _COMPILED[key] = protocols.compiled(method, parallel=where, spread=spread)
    return _COMPILED[key]


def forget_compiled() -> None:
    """Drops every compiled method, whose programs would fill the memory of a long sweep over many networks."""
    _COMPILED.clear()
    _FLOPS.clear()
    _source_predict.cache_clear()


@functools.lru_cache(maxsize=4)
def _source_predict(classifier: Classifier, where: Parallel) -> Any:
    return parallel.spread_rows(where, methods.make("source", classifier, {}, where.axis_name).predict)


def source_logits(source: Source, waves: np.ndarray, batch_size: int, where: Parallel = ONE) -> np.ndarray:
    """Logits of the unadapted model over a set."""
    state = AdaptState(source.variables, (), (), np.int32(0))
    state = state if where.kind == "jit" else parallel.everywhere(where, state)
    return protocols.evaluate(_source_predict(source.classifier, where), state, waves, batch_size, parallel=where)


def _passes(method: Method, cell: Cell, every: int) -> dict[str, float]:
    """Forward and backward passes per clip of the whole run, evaluations apart."""
    forward, backward = method.passes
    offline = protocols.PROTOCOLS[cell.protocol].epochs
    times = cell.epochs if offline else 1 / every
    return {"forward": forward * times, "backward": backward * times, "evaluation": cell.epochs + 1 if offline else 0}


def _flops(run: protocols.Compiled, state: AdaptState, cell: Cell, samples: int) -> float | None:
    """Operations of one update a clip, counted once for what was compiled once."""
    if id(run) not in _FLOPS:
        _FLOPS[id(run)] = costs.flops_per_clip(run.method, state, cell.batch_size, samples)
    return _FLOPS[id(run)]


def plan_of(cell: Cell, passes: tuple[int, int]) -> Plan:
    """How a cell goes through its target."""
    options = dict(cell.protocol_options)
    every = protocols.updates_every(passes, options["budget"]) if "budget" in options else 1
    return Plan(cell.protocol, options, cell.epochs, cell.batch_size, jax.random.key(cell.seed), every)


def run_cell(
    cell: Cell,
    source: Source,
    target: Target,
    workdir: Path,
    *,
    command: str,
    save_every_s: float = 20.0,
    progress: bool = True,
    with_embeddings: bool = False,
    where: Parallel = ONE,
    together: int = 1,
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
      with_embeddings: whether to keep embeddings under `workdir/embeddings`.
      where: the devices that updates and evaluations run on.
      together: updates of the offline protocol in one dispatch.

    Raises:
      ValueError: the network lacks what the method needs. FloatingPointError: a loss is not finite.
    """
    method = wrapped_method(cell, source.classifier)
    rule, measured = input_rule(cell, source), functools.partial(measured_statistics, cell, source)
    plan = plan_of(cell, method.passes)._replace(
        statistics=(measured(target.evaluation), measured(target.clean)), together=together
    )
    source = source._replace(variables=input_statistics.normalising(source.variables, measured(target.waves)))
    offline = protocols.PROTOCOLS[cell.protocol].epochs
    info = RunInfo(
        protocols.steps_per_epoch(len(target.waves), cell.batch_size) if offline else len(stream_of(plan, target)),
        len(target.waves),
        len(source.classifier.config.classes),
        source.data,
        cell.batch_size,
    )
    methods.check_needs(cell.method, method, source.variables, info)
    if with_embeddings:  # said now, not after the run
        embeddings.groups_of(target.labels[embeddings.rows_of(len(target.waves))], source.classifier.config.classes)
    state = method.init(source.variables, info)
    run = compiled_method(cell, source.classifier, method, (state, target.waves[:1]), where)
    saver = Saver(workdir / "state" / cell_id(cell, source.sha256), save_every_s)
    unadapted = source_logits(source, target.waves, cell.batch_size, where)
    shift = cell.corruption if cell.level == "-" else f"{cell.corruption}-{cell.level}"
    text = f"{shift} {cell.method} {cell.protocol} seed {cell.seed}" if progress else None
    if offline:
        passage = through_epochs(plan, run, state, target, saver, text)
    else:
        passage = through_stream(plan, run, state, target, unadapted, saver, text)
    record = record_of(cell, source, target, plan, unadapted, passage, run.method, command, where)
    if rule is not None:
        record["options"]["input_statistics"] = rule
    record["flops_per_clip"] = _flops(run, passage.state, cell, target.waves.shape[1])
    if with_embeddings:
        path = workdir / "embeddings" / f"{record['cell']}.npz"
        both = input_statistics.normalising((source.variables, passage.state.variables), plan.statistics[0])
        record |= embeddings.keep(path, source.classifier, both, target, cell.batch_size)
    saver.clear()
    return record


def input_rule(cell: Cell, source: Source) -> str | None:
    """Which statistics normalise the images of a cell's sets; None for nets without images."""
    return input_statistics.rule_of(source.classifier.config, cell.profile, dict(cell.options))


def measured_statistics(cell: Cell, source: Source, waves: np.ndarray | None) -> Any:
    """The statistics of a set's own images where the rule asks for them, else None."""
    return input_statistics.measured(source.classifier.config, input_rule(cell, source), waves)


def _chosen(
    cell: Cell, target: Target, plan: Plan, unadapted: np.ndarray, passage: Passage, source: Source, where: Parallel
) -> dict[str, Any]:
    """The four numbers of a record and which epochs they are of.

    With an evaluation draw the epochs are chosen on the adaptation draw and the numbers are of the evaluation draw, as
    the published tables have it.
    """
    curve = passage.curve
    measured = [point.get("evaluation", point) for point in curve]
    # A second view is looked at offline alone.
    criterion = cell.criterion if cell.criterion in curve[0]["criteria"] else selection.DEFAULT
    scores = [point["criteria"][criterion] for point in curve]
    selected, best = selection.choose(scores), selection.oracle([point["metric"] for point in curve])
    reliability = dict(passage.reliability)
    if protocols.PROTOCOLS[cell.protocol].epochs:
        other = target.evaluation
        if other is None:
            logits = unadapted
        else:
            variables = input_statistics.normalising(source.variables, plan.statistics[0])
            logits = source_logits(source._replace(variables=variables), other, cell.batch_size, where)
        non_adapted = metrics.METRICS[target.metric](logits, target.labels)
        reliability = {"before": bins(logits, target.labels), **reliability}
    else:
        non_adapted = curve[0]["metric"]
    values = [point["metric"] for point in measured]
    return {
        "non_adapted": non_adapted,
        "adapted_last": values[-1],
        "adapted_selected": values[selected],
        "adapted_oracle": values[best],
        "selection": {"criterion": criterion, "epoch": selected, "oracle_epoch": best},
        "curve": curve,
        "domains": passage.domains,
        "metrics": passage.final,
        "reliability": reliability,
        **{name: measured[-1][name] for name in ("ece", "nll", "collapsed")},
    }


def record_of(
    cell: Cell,
    source: Source,
    target: Target,
    plan: Plan,
    unadapted: np.ndarray,
    passage: Passage,
    method: Method,
    command: str,
    where: Parallel = ONE,
) -> dict[str, Any]:
    """The record of a cell that was gone through."""
    order_key, _ = jax.random.split(plan.key)
    if protocols.PROTOCOLS[cell.protocol].epochs:
        order = protocols.stream_order(order_key, len(target.waves))
    else:
        order = np.concatenate([batch.rows[batch.weights > 0] for batch in stream_of(plan, target)])
    extra = {"epochs": cell.epochs, "batch_size": cell.batch_size, **dict(cell.draw)}
    return {
        "cell": cell_id(cell, source.sha256),
        **{name: getattr(cell, name) for name in ("dataset", "corruption", "level", "net", "method", "protocol")},
        "profile": cell.profile,
        "metric": target.metric,
        "n": len(order),
        "seed": cell.seed,
        **_chosen(cell, target, plan, unadapted, passage, source, where),
        "seconds": passage.seconds,
        "passes": _passes(method, cell, plan.every),
        "parameters_moved": masks.count(source.variables["params"], method.adapts),
        "peak_memory_mb": records.peak_memory_mb(),
        "options": {**dict(cell.options), **extra},
        "protocol_options": dict(cell.protocol_options),
        "source_checkpoint": source.sha256,
        "stream_checksum": protocols.order_checksum(order),
        "git_revision": records.git_revision(),
        "versions": records.versions(),
        "device": records.device(),
        **where.describe(),
        "command": command,
    }
