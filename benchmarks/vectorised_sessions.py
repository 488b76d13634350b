"""Would rows of several sessions be cheaper in one dispatch? One program over stacked states against one a session.

    python -m benchmarks.vectorised_sessions --checkpoint=words15 --method=tent --sessions=8

Each session has its own state (the leaves that the method moves) and one row. Apart: one call of the service's own
program a session. Together: `vmap` over the moving leaves, the frozen ones shared; the states are stacked before each
call, since each changes by itself. Prints one JSON object of processor and wall time, least of some rounds in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.model import load
from dhauds_jax.nets.precision import exactly
from dhauds_jax.serve import adaptation
from dhauds_jax.serve.adaptation import Adaptation
from dhauds_jax.tta.options import parse_options
from dhauds_jax.tta.vectorised import joined
from dhauds_jax.types import Batch


@exactly()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="words15")
    parser.add_argument("--method", default="tent")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    model = load(given.checkpoint)
    how = Adaptation(given.method, parse_options(given.method, "corrected", (), [given.method]), adapt_batch=16)
    made = adaptation.programs(model, how, (1,))
    method, _ = adaptation.method_of(how, model)
    rng, length = np.random.default_rng(0), model.config.length
    states = []
    for _ in range(given.sessions):
        clips = 0.1 * rng.standard_normal((how.adapt_batch, length), np.float32)
        states.append(made.step(made.first, clips, np.arange(how.adapt_batch, dtype=np.int32), 0)[0])
    waves = 0.1 * rng.standard_normal((given.sessions, length), np.float32)

    @jax.jit
    def many(stacked: Any, frozen: Any, waves: Any) -> Any:
        def one(state: Any, wave: Any) -> Any:
            batch = Batch(wave[None], jnp.ones(1), jnp.zeros(1, jnp.int32))
            return method.predict(joined(state, frozen), batch)[0]

        return jax.vmap(one)(stacked, waves)

    def together() -> np.ndarray:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        return np.asarray(many(stacked, made.frozen, waves))

    def apart() -> np.ndarray:
        return np.concatenate([made.logits(state, wave[None]) for state, wave in zip(states, waves, strict=True)])

    worst = float(np.abs(together() - apart()).max())
    took: dict[str, list[tuple[float, float]]] = {"apart": [], "together": []}
    ways: dict[str, Callable[[], np.ndarray]] = {"apart": apart, "together": together}
    for _ in range(given.rounds):
        for name, way in ways.items():
            began = time.process_time(), time.perf_counter()
            way()
            took[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    cpu, wall = ({name: 1e3 * min(row[k] for row in rows) for name, rows in took.items()} for k in (0, 1))
    found = {"checkpoint": given.checkpoint, "method": given.method, "sessions": given.sessions, "logits_apart": worst}
    ratios = {"ratio_cpu": cpu["apart"] / cpu["together"], "ratio_wall": wall["apart"] / wall["together"]}
    print(json.dumps({**found, "cpu_ms": cpu, "wall_ms": wall, **ratios}))


if __name__ == "__main__":
    main()
