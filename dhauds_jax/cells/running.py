"""One cell of a benchmark: adapt to one corrupted set with one method under one protocol, and write its record."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dhauds_jax import digests, metrics
from dhauds_jax.cells import embeddings, input_statistics
from dhauds_jax.cells.cell import Cell, cell_id
from dhauds_jax.cells.input_statistics import InputStatistics
from dhauds_jax.cells.loops import Plan, Trajectory, stream_of, through_epochs, through_stream
from dhauds_jax.cells.programs import Programs, wrapped_method
from dhauds_jax.cells.request import title
from dhauds_jax.cells.scoring import bins
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.cells.targets import Target
from dhauds_jax.nets import masks
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.tta import methods, protocols, selection
from dhauds_jax.types import AdaptState, Method, RunInfo, Variables
from dhauds_jax.workdir import provenance
from dhauds_jax.workdir.saver import Saver

MADE_BY = ("cells", "data", "dsp", "nets", "tta")
"""The rooms that a record's numbers follow from: records belong together whose digest of them, `code`, is equal."""


def _passes(method: Method, cell: Cell, every: int, batch_norm: bool) -> dict[str, float]:
    """Forward and backward passes per clip of the whole run, evaluations and the method's start apart.

    Of a window all clips are passed through each network for its statistics (with BatchNorm), and all are predicted.
    """
    forward, backward = method.passes
    window = dict(cell.protocol_options).get("window", 0)
    each, statistics = method.predicts, method.predicts.networks if batch_norm else 0
    offline = protocols.PROTOCOLS[cell.protocol].epochs
    times = cell.epochs if offline else 1 / every
    return {
        "forward": forward * times + window * (statistics + each.forward),
        "backward": backward * times + window * each.backward,
        "evaluation": cell.epochs + 1 if offline else 0,
    }


def plan_of(cell: Cell, passes: tuple[int, int]) -> Plan:
    """How a cell runs over its target."""
    options = dict(cell.protocol_options)
    every = protocols.updates_every(passes, options["budget"]) if "budget" in options else 1
    key = jax.random.key(cell.seed)
    return Plan(cell.protocol, options, cell.epochs, cell.batch_size, key, every, criterion=cell.criterion)


def saver_of(cell: Cell, source: SourceModel, workdir: Path, save_every_s: float = 20.0) -> Saver:
    """Keeps the states of an unfinished cell; whoever writes its record clears it, and only then.

    Its folder names the cell; what the cell is called stands beside the state for whoever plans the rest
    (`planned.begun_in`).
    """
    folder = workdir / "state" / cell_id(cell, source.sha256)
    return Saver(folder, save_every_s, called(cell, source), same=lambda stored, wanted: True)


def called(cell: Cell, source: SourceModel) -> dict[str, Any]:
    """The part of a cell's record that is known before it is run."""
    names = ("dataset", "corruption", "level", "method", "protocol", "profile", "seed")
    return {
        **{name: getattr(cell, name) for name in names},
        "options": {**dict(cell.options), "epochs": cell.epochs, "batch_size": cell.batch_size, **dict(cell.draw)},
        "protocol_options": dict(cell.protocol_options),
        "selection": {"criterion": cell.criterion},
        "source_checkpoint": source.sha256,
    }


def run_cell(
    cell: Cell,
    source: SourceModel,
    target: Target,
    workdir: Path,
    *,
    command: str,
    programs: Programs | None = None,
    save_every_s: float = 20.0,
    progress: bool = True,
    with_embeddings: bool = False,
    where: Parallel = ONE,
    together: int = 1,
) -> dict[str, Any]:
    """Runs a cell, or goes on with it, and returns its record, not yet written; its last state stays (`saver_of`).

    Args:
      cell: what to run.
      source: the source model.
      target: the corrupted set.
      workdir: unfinished states are kept under `workdir/state`.
      command: the command line, for the record.
      programs: what was compiled for cells before (None: nothing).
      save_every_s: least seconds between two saved states.
      progress: whether to show a bar.
      with_embeddings: whether to keep embeddings under `workdir/embeddings`.
      where: the devices that updates and evaluations run on.
      together: updates of the offline protocol in one dispatch.

    Raises:
      BadInput: the network lacks what the method needs. FloatingPointError: a loss is not finite.
    """
    programs, method = programs or Programs(), wrapped_method(cell, source.classifier)
    plan = plan_of(cell, method.passes)._replace(together=together)
    statistics = statistics_of(cell, source, target)
    source = source._replace(variables=statistics.of("waves", source.variables))
    info = _info(cell, source, target, plan)
    methods.check_needs(cell.method, method, source.variables, info)
    classifier, batch_size = source.classifier, cell.batch_size
    if with_embeddings:  # said now, not after the run
        embeddings.groups_of(target.labels[embeddings.rows_of(len(target.waves))], classifier.config.classes)
    begun = time.perf_counter()
    state = jax.block_until_ready(method.init(source.variables, info))
    started = time.perf_counter() - begun  # a warm-up or statistics of source clips are the method's cost too
    run = programs.compiled(cell, classifier, method, (state, target.waves[:1]), where)
    saver = saver_of(cell, source, workdir, save_every_s)
    unadapted = programs.source_logits(classifier, source.variables, target.waves, batch_size, where)
    text = f"{title(cell.corruption, cell.level)} {cell.method} {cell.protocol} seed {cell.seed}" if progress else None
    before = unadapted
    if not protocols.PROTOCOLS[cell.protocol].epochs:
        trajectory = through_stream(plan, run, state, target, statistics, unadapted, saver, text)
    else:
        trajectory = through_epochs(plan, run, state, target, statistics, saver, text)
        if target.evaluation is not None:
            variables = statistics.of("evaluation", source.variables)
            before = programs.source_logits(classifier, variables, target.evaluation, batch_size, where)
    trajectory = trajectory._replace(seconds=trajectory.seconds + started)
    record = record_of(cell, source, target, plan, before, trajectory, run.method, statistics, command, where)
    record["flops_per_clip"] = programs.flops(cell, classifier, run, trajectory.state, target.waves.shape[1])
    if with_embeddings:
        path, observe = workdir / "embeddings" / f"{record['cell']}.npz", programs.embeddings(classifier)
        both = statistics.of("evaluation", (source.variables, trajectory.state.variables))
        record |= embeddings.keep(path, observe, classifier.config.classes, both, target, batch_size)
    return record


def state_bytes(source: Variables, state: AdaptState) -> int:
    """What a state holds beside the network that it came from: optimiser, memory, and every leaf that has moved."""
    before, now = jax.tree.leaves(source), jax.tree.leaves(state.variables)
    moved = [leaf for was, leaf in zip(before, now, strict=True) if not np.array_equal(was, leaf)]
    return sum(leaf.nbytes for leaf in (*moved, *jax.tree.leaves((state.opt_state, state.memory))))


def _info(cell: Cell, source: SourceModel, target: Target, plan: Plan) -> RunInfo:
    """What a method learns of its run before it starts."""
    clips = len(target.waves)
    if protocols.PROTOCOLS[cell.protocol].epochs:
        steps = protocols.steps_per_epoch(clips, cell.batch_size)
    else:
        steps = len(stream_of(plan, target))
    classes = len(source.classifier.config.classes)
    return RunInfo(steps, clips, classes, source.data_of(cell.method), cell.batch_size)


def statistics_of(cell: Cell, source: SourceModel, target: Target) -> InputStatistics:
    """Which statistics normalise the images of each of a cell's sets."""
    config = source.classifier.config
    rule = input_statistics.rule_of(config, source.variables, cell.profile, dict(cell.options))
    return input_statistics.of_sets(config, rule, waves=target.waves, evaluation=target.evaluation, clean=target.clean)


def _chosen(cell: Cell, target: Target, before: np.ndarray, trajectory: Trajectory) -> dict[str, Any]:
    """The four numbers of a record and which epochs they are of.

    With an evaluation draw the epochs are chosen on the adaptation draw and the numbers are of the evaluation draw, as
    the published tables have it.
    """
    curve = trajectory.curve
    measured = [point.get("evaluation", point) for point in curve]
    # A second view is looked at offline alone.
    criterion = cell.criterion if cell.criterion in curve[0]["criteria"] else selection.DEFAULT
    scores = [point["criteria"][criterion] for point in curve]
    selected, best = selection.choose(scores), selection.oracle([point["metric"] for point in curve])
    reliability = dict(trajectory.reliability)
    if protocols.PROTOCOLS[cell.protocol].epochs:
        non_adapted = metrics.METRICS[target.metric](before, target.labels)
        reliability = {"before": bins(before, target.labels), **reliability}
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
        "domains": trajectory.domains,
        "metrics": trajectory.final,
        "reliability": reliability,
        **({"selected_as_it_goes": dict(trajectory.as_it_goes)} if trajectory.as_it_goes else {}),
        **{name: measured[-1][name] for name in ("ece", "nll", "collapsed")},
    }


def record_of(
    cell: Cell,
    source: SourceModel,
    target: Target,
    plan: Plan,
    before: np.ndarray,
    trajectory: Trajectory,
    method: Method,
    statistics: InputStatistics,
    command: str,
    where: Parallel = ONE,
) -> dict[str, Any]:
    """The record of a cell that was run through; `before`: unadapted logits of the set that is reported."""
    order_key, _ = jax.random.split(plan.key)
    if protocols.PROTOCOLS[cell.protocol].epochs:
        order = protocols.stream_order(order_key, len(target.waves))
    else:
        order = np.concatenate([batch.rows[batch.weights > 0] for batch in stream_of(plan, target)])
    extra = {"epochs": cell.epochs, "batch_size": cell.batch_size, **dict(cell.draw)}
    if cell.source_clips is not None:
        extra["source_clips"] = cell.source_clips
    if statistics.rule is not None:
        extra["input_statistics"] = statistics.rule
    return {
        "cell": cell_id(cell, source.sha256),
        **{name: getattr(cell, name) for name in ("dataset", "corruption", "level", "net", "method", "protocol")},
        "profile": cell.profile,
        "metric": target.metric,
        "n": len(order),
        "seed": cell.seed,
        **_chosen(cell, target, before, trajectory),
        "seconds": trajectory.seconds,
        "passes": _passes(method, cell, plan.every, bool(jax.tree.leaves(source.variables["batch_stats"]))),
        "parameters_moved": masks.count(source.variables["params"], method.adapts),
        "state_bytes": state_bytes(source.variables, trajectory.state) if where.kind == "jit" else None,
        "options": {**dict(cell.options), **extra},
        "protocol_options": dict(cell.protocol_options),
        "content": dict(cell.content),
        "code": digests.of_code(*MADE_BY),
        "source_checkpoint": source.sha256,
        "stream_checksum": protocols.order_checksum(order),
        **where.describe(),
        **provenance.block(command),
    }
