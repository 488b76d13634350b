"""What is compiled once for many cells: classifiers, methods under their protocols, predictions of the source model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.cells.cell import Cell
from dhauds_jax.names import METHODS
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.parallel import ONE, Parallel
from dhauds_jax.tta import flops, methods, protocols, wrappers
from dhauds_jax.tta.evaluation import check_finite_logits
from dhauds_jax.tta.rates import OfRates
from dhauds_jax.types import AdaptState, Batch, Classifier, Method, Variables


def wrapped_method(cell: Cell, classifier: Classifier, axis_name: str | None = None) -> Method:
    """The cell's method under its protocol's rule of starting anew."""
    method = methods.make(cell.method, classifier, dict(cell.options), axis_name)
    options = dict(cell.protocol_options)
    if cell.protocol == "episodic":
        return wrappers.episodic(method, options["updates"])
    return wrappers.with_reset(method, options.get("reset", "none"), axis_name)


class Programs:
    """Jitted functions by what they were compiled for, never by where an object lies in memory.

    Whoever works on several cells makes one and hands it to each; `forget` drops all, whose programs would fill the
    memory of a long sweep over many networks.

    Args:
      compiler_options: of updates and predictions, for XLA; None is the best for all but the shortest runs.
      any_rate: cells that differ in the learning rate alone share what is compiled (`tta.rates`; methods of ours, on
        one device), whose numbers are those of other programs up to rounding.
    """

    def __init__(self, compiler_options: Mapping[str, Any] | None = None, any_rate: bool = False) -> None:
        self._options, self._any_rate = compiler_options, any_rate
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._unadapted: tuple[Variables, weakref.ref[np.ndarray], tuple[Any, ...], np.ndarray] | None = None

    def forget(self) -> None:
        """Drops every classifier and every program."""
        self._kept.clear()
        self._unadapted = None

    def _once(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def classifier(self, config: ClassifierConfig, precision_: str = "float32", remat: bool = False) -> Classifier:
        """One classifier a configuration: runs of several seeds then share what was compiled for it."""
        options = precision.compute_options(precision_, remat)
        return self._once(("classifier", config.to_json(), precision_, remat), lambda: zoo.build(config, **options))

    def compiled(
        self, cell: Cell, classifier: Classifier, method: Method, like: Any, where: Parallel = ONE
    ) -> protocols.Compiled:
        """The jitted method, shared by cells that differ in nothing that is compiled.

        `like` is a tree of arrays whose shapes enter the compiled functions: a state and some waves.
        """
        if self._shares(cell) and where.kind == "jit":

            def of(rate: Any) -> Method:
                return wrapped_method(_at_rate(cell, rate), classifier)

            key = ("rates", *_traced(_at_rate(cell, None), classifier, like), where)
            return self._once(key, lambda: OfRates(of, self._options)).at(dict(cell.options)["lr"])
        return self._once(
            ("method", *_traced(cell, classifier, like), where),
            lambda: protocols.compiled(
                method,
                self._options,
                parallel=where,
                spread=wrapped_method(cell, classifier, where.axis_name),
                classifier=classifier,
            ),
        )

    def _shares(self, cell: Cell) -> bool:
        """Whether the cell's programs serve all rates; plug-ins may not take a traced one."""
        window = dict(cell.protocol_options).get("window", 0)
        return self._any_rate and "lr" in dict(cell.options) and cell.method in METHODS and not window

    def flops(
        self, cell: Cell, classifier: Classifier, run: protocols.Compiled, state: AdaptState, samples: int
    ) -> float | None:
        """Operations of one update for each clip of `samples` samples, counted once for what is compiled once."""
        # On several devices a program holds the rows of one.
        step = run.step if run.parallel.kind == "jit" else run.method.step
        counted = _at_rate(cell, None) if self._shares(cell) else cell
        return self._once(
            ("flops", *_traced(counted, classifier, state), samples),
            lambda: flops.flops_per_clip(step, state, cell.batch_size, samples),
        )

    def source_logits(
        self, classifier: Classifier, variables: Variables, waves: np.ndarray, batch_size: int, where: Parallel = ONE
    ) -> np.ndarray:
        """Logits of an unadapted model over a set (clips, time); `FloatingPointError` where one is not finite.

        Methods that start from the same variables on the same set follow each other: the last logits are kept for them.
        """
        if self._unadapted is not None:
            model, of, facts, logits = self._unadapted
            if model is variables and of() is waves and facts == (classifier, batch_size, where):
                return logits

        def make() -> Callable[..., Any]:
            source = methods.make("source", classifier, {}, where.axis_name)
            return protocols.compiled(source, self._options, parallel=where).predict

        state = AdaptState(variables, (), (), np.int32(0))
        state = state if where.kind == "jit" else parallel.everywhere(where, state)
        predict = self._once(("source", classifier, batch_size, np.shape(waves)[1:], where), make)
        logits = protocols.evaluate(predict, state, waves, batch_size, parallel=where)
        check_finite_logits(logits, "before any update; expected a checkpoint of finite weights")
        # The set itself is let go before the next one is drawn: there may be room for one alone.
        self._unadapted = (variables, weakref.ref(waves), (classifier, batch_size, where), logits)
        return logits

    def embeddings(self, classifier: Classifier) -> Callable[[AdaptState, Batch], Any]:
        """A jitted `(state, batch) -> (embedding, flattened tokens)` in evaluation mode."""

        def observe(state: AdaptState, batch: Batch) -> Any:
            outputs = classifier.apply(state.variables, batch.wave, mode=EVAL)[0]
            return outputs.embedding, outputs.frames.reshape(len(outputs.frames), -1)

        return self._once(("embeddings", classifier), lambda: jax.jit(observe))


def _at_rate(cell: Cell, rate: Any) -> Cell:
    return cell._replace(options=tuple({**dict(cell.options), "lr": rate}.items()))


def _traced(cell: Cell, classifier: Classifier, like: Any) -> tuple[Any, ...]:
    """All of a cell that enters a compiled function, and the shapes it is compiled for."""
    options = ("reset", "updates", "window")
    rules = (cell.protocol == "episodic", *(dict(cell.protocol_options).get(name) for name in options))
    shapes = tuple(np.shape(leaf) for leaf in jax.tree.leaves(like))
    return (cell.method, cell.options, cell.batch_size, classifier, shapes, rules)
