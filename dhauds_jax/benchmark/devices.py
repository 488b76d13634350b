"""Updates on all devices, with `--parallel=pmap` or `mesh`: how time falls with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax import parallel
from dhauds_jax.benchmark.device import timed
from dhauds_jax.benchmark.programs import Sizes, build
from dhauds_jax.tta import evaluation, feeding, methods
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import RunInfo, SourceData


def rows(
    nets: Sequence[str], names: Sequence[str], texts: Sequence[str], sizes: Sizes, kind: str, rounds: int
) -> Iterator[dict[str, Any]]:
    """A row of each net and method: one update of a batch that is shared out over all devices of all processes.

    The clips lie on the devices already; uploading their numbers is timed, as in an adaptation.

    Raises:
      BadInput: an unknown kind, a net that lacks what a method needs.
    """
    where = parallel.make(kind)
    for net in nets:
        classifier = build(net, sizes)
        config = classifier.config
        waves = (0.1 * np.random.default_rng(0).normal(size=(sizes.batch, config.length))).astype(np.float32)
        variables = classifier.init(jax.random.key(0), jnp.asarray(waves))
        held = feeding.Held(waves, where)
        labels = np.arange(sizes.batch, dtype=np.int32) % sizes.classes
        info = RunInfo(1, sizes.batch, sizes.classes, SourceData(jnp.asarray(waves), jnp.asarray(labels)), sizes.batch)
        for name in names:
            options = parse_options(name, "reference", texts, names)
            alone, spread = (methods.make(name, classifier, options, axis) for axis in (None, where.axis_name))
            methods.check_needs(name, alone, variables, info)
            run = evaluation.compiled(alone, parallel=where, spread=spread)
            update = _update(run, evaluation.own(alone.init(variables, info), where), held, sizes.batch)
            row = {"what": "adapt", "method": name, "net": net, "batch": sizes.batch, "input": "wave"}
            row["clip_seconds"] = config.length / config.sample_rate
            yield {**row, **where.describe(), **timed(update, rounds)}


def _update(run: evaluation.Compiled, state: Any, held: feeding.Held, size: int) -> Callable[[], Any]:
    """One update of the whole held batch, which goes on where the last one ended."""
    kept = [state]

    def update() -> Any:
        batch = feeding.batch_of(held, np.arange(size), np.ones(size, np.float32), run.parallel)
        kept[0], prediction = run.step(kept[0], batch, jax.random.key(1))
        return kept[0], prediction

    return update
