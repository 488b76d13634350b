"""What is compiled once for many cells: classifiers, methods under their protocols, predictions of the source model."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.tta import flops, methods, protocols, wrappers
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.types import AdaptState, Classifier, Method

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


def source_logits(source: SourceModel, waves: np.ndarray, batch_size: int, where: Parallel = ONE) -> np.ndarray:
    """Logits of the unadapted model over a set; raises `FloatingPointError` where one is not finite."""
    state = AdaptState(source.variables, (), (), np.int32(0))
    state = state if where.kind == "jit" else parallel.everywhere(where, state)
    logits = protocols.evaluate(_source_predict(source.classifier, where), state, waves, batch_size, parallel=where)
    return check_finite_logits(logits, "before any update; expected a checkpoint of finite weights")


def counted_flops(run: protocols.Compiled, state: AdaptState, cell: Cell, samples: int) -> float | None:
    """Operations of one update a clip, counted once for what was compiled once."""
    if id(run) not in _FLOPS:
        _FLOPS[id(run)] = flops.flops_per_clip(run.method, state, cell.batch_size, samples)
    return _FLOPS[id(run)]
