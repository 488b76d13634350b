"""What the rows of a table cost in arithmetic: XLA's count of an update and of a forward pass, times the passes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax.data import sets
from dhauds_jax.data.sets.base import list_split
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.recipes.rows import Roots
from dhauds_jax.recipes.table import Row
from dhauds_jax.tta import flops, methods, protocols
from dhauds_jax.types import RunInfo
from dhauds_jax.wording import counted, plural

NOWHERE = Roots(None, None, None)
"""No folder is known: own sets on disk have no number of clips."""


class Cost(NamedTuple):
    """Floating-point operations of rows of one data set and net.

    Attributes:
      name: data set, net and method.
      rows: how many.
      clips: of the evaluated split; None where it is not known.
      update: GFLOP of an update, a clip.
      forward: GFLOP of a forward pass, a clip.
      total: PFLOP of all rows; None without a number of clips.
      problem: why nothing of it is known, if so.
    """

    name: str
    rows: int
    clips: int | None
    update: float
    forward: float
    total: float | None
    problem: str = ""


def _gflop(
    net: str, classes: tuple[str, ...], method: str, options: tuple[tuple[str, str], ...], profile: str, batch: int
) -> tuple[float, float]:
    """GFLOP a clip of an update and of a forward pass, every block counted, nothing computed."""
    config = zoo.preset(net, classes or None)
    unrolled = {"scan": False} if "scan" in zoo.family(config.family).compute else {}
    classifier = zoo.build(config, **unrolled)
    shapes = zoo.shapes(classifier)
    made = methods.make(method, classifier, methods.resolve_options(method, profile, dict(options)))
    info = RunInfo(1, batch, len(config.classes), None, batch)
    state = jax.eval_shape(lambda variables: made.init(variables, info), shapes)
    wave = jax.ShapeDtypeStruct((batch, config.length), jnp.float32)
    update = flops.flops_per_clip(made.step, state, batch, config.length) or 0.0
    forward = flops.counted(lambda v, w: classifier.apply(v, w, mode=EVAL)[0].logits, shapes, wave) or 0.0
    return update / 1e9, forward / batch / 1e9


def passes(row: Row) -> tuple[int, int]:
    """Updates and forward passes that each clip of a row sees.

    Offline, every epoch updates once and evaluates both draws, which are also evaluated before the first one, by the
    method and by the source model.
    """
    if not protocols.PROTOCOLS[row.protocol].epochs:
        return 1, 1
    draws = 2 if row.draw == "two" else 1
    return row.epochs, draws * (row.epochs + 2)


def clips_of(row: Row, roots: Roots) -> int | None:
    """Clips of the evaluated split: the published number, or what there is; None where neither is at hand."""
    dataset = _dataset(row, roots)
    if dataset.counts.get("test"):
        return dataset.counts["test"]
    if dataset.generate is not None:
        return len(dataset.generate("test", 0).ids)
    folder = roots.data_dir(row)
    return len(list_split(dataset, folder, "test", True)[0]) if folder is not None and folder.is_dir() else None


def _dataset(row: Row, roots: Roots) -> sets.DataSet:
    folder = roots.data_dir(row)
    found = sets.get(row.dataset, folder if folder is not None and folder.is_dir() else None)
    if not found.classes:
        raise BadInput(
            f"--cost: the classes of {row.dataset} are not known, expected --data_root with its folder {folder.name}/"
        )
    return found


def costs_of(rows: Sequence[Row], roots: Roots = NOWHERE) -> Iterator[Cost]:
    """The cost of every data set, net and method of a table, and of all together.

    Rows that wait for something are left out; sets whose number of test clips is not known have no total, and rows with
    bad input, such as a set without its folder, have a `problem`.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if not row.waits_for:
            groups.setdefault((row.dataset, row.net, row.method), []).append(row)
    everything, number = 0.0, functools.cache(lambda dataset: clips_of(of_set[dataset], roots))
    of_set = {dataset: group[0] for (dataset, *_), group in groups.items()}
    counted_rows = 0
    for (dataset, net, method), group in groups.items():
        first, name = group[0], f"{dataset}/{net}/{method}"  # rates and the like change no count
        try:
            clips, classes = number(dataset), _dataset(first, roots).classes
            counted = _gflop(net, classes, method, first.options, first.profile, first.batch_size)
        except BadInput as error:
            yield Cost(name, len(group), None, 0.0, 0.0, None, str(error))
            continue
        each = [updates * counted[0] + forwards * counted[1] for updates, forwards in map(passes, group)]
        total = None if clips is None else clips * sum(each) / 1e6
        everything, counted_rows = everything + (total or 0.0), counted_rows + (0 if clips is None else len(group))
        yield Cost(name, len(group), clips, *counted, total)
    yield Cost("all", counted_rows, 0, 0.0, 0.0, everything)


def lines(rows: Sequence[Row], roots: Roots = NOWHERE) -> Iterator[str]:
    """The costs as a markdown table, and below it of which rows the total holds nothing."""
    yield "| rows of | rows | clips | GFLOP an update, a clip | GFLOP a forward pass, a clip | PFLOP in all |"
    yield "|---|---:|---:|---:|---:|---:|"
    unknown, problems = 0, {}
    for cost in costs_of(rows, roots):
        if cost.problem:
            problems[cost.problem] = problems.get(cost.problem, 0) + cost.rows
            yield f"| {cost.name} | {cost.rows} | ? | ? | ? | ? |"
            continue
        clips = "?" if cost.clips is None else cost.clips
        numbers = " | | " if cost.name == "all" else f"{clips} | {cost.update:.3g} | {cost.forward:.3g}"
        yield f"| {cost.name} | {cost.rows} | {numbers} | {'?' if cost.total is None else f'{cost.total:.3g}'} |"
        unknown += cost.rows if cost.total is None else 0
    if unknown:
        yield (
            f"not in the total: {counted(unknown, 'row')} of sets whose number of clips is not known; give --data_root "
            "with their folders, or counts in the set's record"
        )
    for problem, count in problems.items():
        yield f"not counted: {counted(count, 'row')}: {problem.removeprefix('--cost: ')}"
    if waiting := sum(bool(row.waits_for) for row in rows):
        yield f"not in the table: {counted(waiting, 'row')} that {plural(waiting, 'waits', 'wait')} for something"
