"""What the rows of a table cost in arithmetic: XLA's count of an update and of a forward pass, times the passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dhauds_jax.data import sets
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.recipes.table import Row
from dhauds_jax.tta import flops, methods, protocols
from dhauds_jax.types import RunInfo


class Cost(NamedTuple):
    """Floating-point operations of rows of one data set and net.

    Attributes:
      name: data set, net and method.
      rows: how many.
      clips: of the evaluated split.
      update: GFLOP of an update, a clip.
      forward: GFLOP of a forward pass, a clip.
      total: PFLOP of all rows.
    """

    name: str
    rows: int
    clips: int
    update: float
    forward: float
    total: float


def _gflop(
    net: str, method: str, options: tuple[tuple[str, str], ...], profile: str, batch: int
) -> tuple[float, float]:
    """GFLOP a clip of an update and of a forward pass, every block counted, nothing computed."""
    config = zoo.preset(net)
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


def costs_of(rows: Sequence[Row]) -> Iterator[Cost]:
    """The cost of every data set, net and method of a table, and of all together.

    Rows that wait for something and sets whose number of test clips is not known are left out.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if not row.waits_for and sets.REGISTRY[row.dataset].counts.get("test"):
            groups.setdefault((row.dataset, row.net, row.method), []).append(row)
    everything = 0.0
    for (dataset, net, method), group in groups.items():
        clips = sets.REGISTRY[dataset].counts["test"]
        first = group[0]  # rates and the like change no count
        counted = _gflop(net, method, first.options, first.profile, first.batch_size)
        each = [updates * counted[0] + forwards * counted[1] for updates, forwards in map(passes, group)]
        total = clips * sum(each) / 1e6
        everything += total
        yield Cost(f"{dataset}/{net}/{method}", len(group), clips, *counted, total)
    yield Cost("all", sum(map(len, groups.values())), 0, 0.0, 0.0, everything)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The costs as a markdown table."""
    yield "| rows of | rows | clips | GFLOP an update, a clip | GFLOP a forward pass, a clip | PFLOP in all |"
    yield "|---|---:|---:|---:|---:|---:|"
    for cost in costs_of(rows):
        numbers = f"{cost.clips} | {cost.update:.3g} | {cost.forward:.3g}" if cost.clips else " | | "
        yield f"| {cost.name} | {cost.rows} | {numbers} | {cost.total:.3g} |"
