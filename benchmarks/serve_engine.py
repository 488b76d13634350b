#!/usr/bin/env python3
"""The service's engine alone: one batch of windows against the same windows one at a time.

Random weights; the programs are compiled before. A round times both, so that what else the machine does weighs on both
alike; the ratio is the median over rounds. Prints one JSON object: net, seconds of each (medians), ratio, quartiles,
and the ratio of the seconds of a core, which hardly changes with what else the machine does.

Example: python -m benchmarks.serve_engine --net=amaut_small --rows=32 --rounds=15
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.model import Model
from dhauds_jax.names import CONVOLUTIONS
from dhauds_jax.nets import zoo
from dhauds_jax.serve import compilations, engine


def models_of(
    net: str, members: int, head: Mapping[str, Any] | None = None, convolution: str = "direct"
) -> list[Model]:
    """Members of a net of fifteen classes with random weights; `head` are changes of its head's record."""
    config = zoo.preset(net, tuple(f"class{k}" for k in range(15)))
    config = config.replace(head={**config.head, **(head or {})})
    classifier = zoo.build(config, **({} if convolution == "direct" else {"convolution": convolution}))
    wave = jnp.zeros((1, config.length))
    return [Model(classifier, classifier.init(jax.random.key(k), wave), config) for k in range(members)]


def seconds_of(function: Callable[..., Any], *args: Any) -> tuple[float, float]:
    """Of one call, and the seconds of a core that the process took."""
    start, used = time.perf_counter(), time.process_time()
    function(*args)
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--net", default="amaut_small")
    ap.add_argument("--rows", type=int, default=32)
    ap.add_argument("--rounds", type=int, default=15)
    ap.add_argument("--members", type=int, default=1)
    ap.add_argument("--views", type=int, default=1)
    ap.add_argument("--convolution", default="direct", choices=CONVOLUTIONS)
    args = ap.parse_args()
    served = engine.serve_models(
        models_of(args.net, args.members, convolution=args.convolution), views=args.views, shapes=(1, args.rows)
    )
    compilations.count()
    warm = served.warm()
    before = compilations.count()
    rng = np.random.default_rng(0)
    waves = rng.normal(scale=0.1, size=(args.rows, served.length)).astype(np.float32)
    weights = np.ones(args.rows, np.float32)

    def singly() -> np.ndarray:
        return np.concatenate([served.predict(waves[i : i + 1], weights[:1]) for i in range(args.rows)])

    error = float(np.abs(singly() - served.predict(waves, weights)).max())
    found = [(*seconds_of(singly), *seconds_of(served.predict, waves, weights)) for _ in range(args.rounds)]
    alone, alone_core, batch, batch_core = np.array(found).T
    row = {"what": "serve_engine", "net": args.net, "device": jax.devices()[0].device_kind, "rows": args.rows}
    row |= {
        "convolution": args.convolution,
        "members": args.members,
        "views": args.views,
        "clip_seconds": served.length / served.sample_rate,
    }
    row |= {"one_s": float(np.median(alone)) / args.rows, "batch_s": float(np.median(batch))}
    row |= {"ratio": float(np.median(alone / batch)), "quartiles": np.quantile(alone / batch, [0.25, 0.75]).tolist()}
    row |= {"core_ratio": float(np.median(alone_core / batch_core)), "batch_core_s": float(np.median(batch_core))}
    row |= {"clips_per_s": args.rows / float(np.median(batch)), "largest_difference": error}
    row |= {"compiled_after_warm_up": compilations.count() - before, "warm_s": sum(warm.values())}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
