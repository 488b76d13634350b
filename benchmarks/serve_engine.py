#!/usr/bin/env python3
"""The service's engine alone: one batch of windows against the same windows one at a time.

Random weights; the programs are compiled before. A round times both, so that what else the machine does weighs on both
alike; the ratio is the median over rounds. Prints one JSON object: net, seconds of each (medians), ratio, quartiles.

Example: python -m benchmarks.serve_engine --net=amaut_small --rows=32 --rounds=15
"""

from __future__ import annotations

import argparse
import json
import time

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.model import Model
from dhauds_jax.nets import zoo
from dhauds_jax.serve import compilations, engine


def models_of(net: str, members: int) -> list[Model]:
    """Members with random weights of a net that has as many classes as its preset, or ten."""
    config = zoo.preset(net, tuple(f"class{k}" for k in range(10)))
    classifier = zoo.build(config)
    wave = jnp.zeros((1, config.length))
    return [Model(classifier, classifier.init(jax.random.key(k), wave), config) for k in range(members)]


def seconds_of(function, *args) -> float:
    """Of one call."""
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--net", default="amaut_small")
    ap.add_argument("--rows", type=int, default=32)
    ap.add_argument("--rounds", type=int, default=15)
    ap.add_argument("--members", type=int, default=1)
    ap.add_argument("--views", type=int, default=1)
    args = ap.parse_args()
    served = engine.serve_models(models_of(args.net, args.members), views=args.views, shapes=(1, args.rows))
    compilations.count()
    warm = served.warm()
    before = compilations.count()
    rng = np.random.default_rng(0)
    waves = rng.normal(scale=0.1, size=(args.rows, served.length)).astype(np.float32)
    weights = np.ones(args.rows, np.float32)

    def singly() -> np.ndarray:
        return np.concatenate([served.predict(waves[i : i + 1], weights[:1]) for i in range(args.rows)])

    error = float(np.abs(singly() - served.predict(waves, weights)).max())
    found = [(seconds_of(singly), seconds_of(served.predict, waves, weights)) for _ in range(args.rounds)]
    alone, batch = np.array(found).T
    row = {"what": "serve_engine", "net": args.net, "device": jax.devices()[0].device_kind, "rows": args.rows}
    row |= {"members": args.members, "views": args.views, "clip_seconds": served.length / served.sample_rate}
    row |= {"one_s": float(np.median(alone)) / args.rows, "batch_s": float(np.median(batch))}
    row |= {"ratio": float(np.median(alone / batch)), "quartiles": np.quantile(alone / batch, [0.25, 0.75]).tolist()}
    row |= {"clips_per_s": args.rows / float(np.median(batch)), "largest_difference": error}
    row |= {"compiled_after_warm_up": compilations.count() - before, "warm_s": sum(warm.values())}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
