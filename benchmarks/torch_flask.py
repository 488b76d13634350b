#!/usr/bin/env python3
"""The published service's loop in PyTorch beside ours: 5 folds x 5 shifted copies of VGGish with attention pooling.

Random weights, a 5 s clip at 16 kHz, no HTTP: only what a request computes. Three ways, in turn, round by round:
  published   a pass a fold and copy, gradients recorded, as the challenge's Flask service does it
  batched     no gradients, the copies of a fold in one pass
  ours        `serve.engine`: folds take turns in one program, copies in a batch; `--convolution` is that of `serve`
The log-mel examples of PyTorch's ways are NumPy's, made once a copy. Prints one JSON object: seconds of each (median),
seconds of a core of each, and the ratios of the others to ours, medians over rounds.

Example: python -m benchmarks.torch_flask --rounds=5
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
import torch

from benchmarks import torch_vggish
from benchmarks.serve_engine import models_of
from dhauds_jax.dsp import vggish
from dhauds_jax.names import CONVOLUTIONS
from dhauds_jax.serve import engine

RATE, SECONDS, STEP_S = 16_000, 5, 0.2
FRAME, HOP, SPECTRUM = 400, 160, 512


def examples(wave: np.ndarray) -> torch.Tensor:
    """Log-mel examples (1, examples, 96, 64) of a clip, in NumPy."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, FRAME)[::HOP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    log_mel = np.log(np.abs(np.fft.rfft(frames * window, SPECTRUM)) @ vggish.filters() + 0.01)
    count = torch_vggish.examples_of(len(wave))
    return torch.from_numpy(log_mel[: count * 96].reshape(1, count, 96, -1).astype(np.float32))


def shifted(wave: np.ndarray, copies: int) -> list[np.ndarray]:
    """Copies that begin later, and end in as much silence."""
    starts = [round(i * STEP_S * RATE) for i in range(copies)]
    return [np.concatenate([wave[start:], np.zeros(start, wave.dtype)]) for start in starts]


def published(nets: Sequence[torch.nn.Module], wave: np.ndarray, copies: int, temperature: float) -> np.ndarray:
    """A pass a fold and copy, with the graph of each."""
    given, total = [examples(copy) for copy in shifted(wave, copies)], 0.0
    for net in nets:
        for one in given:
            total = total + torch.softmax(net(one) / temperature, -1)
    return (total / (len(nets) * copies)).detach().numpy()


def batched(nets: Sequence[torch.nn.Module], wave: np.ndarray, copies: int, temperature: float) -> np.ndarray:
    """A pass a fold."""
    with torch.no_grad():
        given = torch.cat([examples(copy) for copy in shifted(wave, copies)])
        means = [torch.softmax(net(given) / temperature, -1).mean(0, keepdim=True) for net in nets]
        return (sum(means) / len(nets)).numpy()


def timed(function: Callable[[], np.ndarray]) -> tuple[float, float]:
    """Seconds, and seconds of a core, of a call."""
    start, used = time.perf_counter(), time.process_time()
    assert np.isfinite(function()).all()
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--net", default="vggish", choices=list(torch_vggish.SIZES))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--folds", type=int, default=5)
    ap.add_argument("--copies", type=int, default=5)
    ap.add_argument("--convolution", default="direct", choices=CONVOLUTIONS)
    args = ap.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    made = [torch.nn.Sequential(torch_vggish.VGGish(args.net), torch_vggish.Head(15)).eval() for _ in range(args.folds)]
    models = models_of(args.net, args.folds, head={"mask": "none"}, convolution=args.convolution)
    served = engine.serve_models(models, views=args.copies, view_step_s=STEP_S, shapes=(1,))
    del models
    wave = np.random.default_rng(0).normal(scale=0.1, size=SECONDS * RATE).astype(np.float32)
    ways = {
        "published": lambda: published(made, wave, args.copies, 5.0),
        "batched": lambda: batched(made, wave, args.copies, 5.0),
        "ours": lambda: served.predict(wave[None], np.ones(1, np.float32)),
    }
    for way in ways.values():
        way()
    found = {name: [] for name in ways}
    for _ in range(args.rounds):
        for name, way in ways.items():
            found[name].append(timed(way))
    seconds, cores = ({name: np.array(rows)[:, k] for name, rows in found.items()} for k in (0, 1))
    row = {
        "what": "torch_flask",
        "net": args.net,
        "folds": args.folds,
        "copies": args.copies,
        "convolution": args.convolution,
        "torch": torch.__version__,
    }
    row |= {"device": jax.devices()[0].device_kind, "threads": torch.get_num_threads()}
    row |= {"seconds": {name: float(np.median(each)) for name, each in seconds.items()}}
    row |= {"core_seconds": {name: float(np.median(each)) for name, each in cores.items()}}
    row |= {"to_ours": {name: float(np.median(seconds[name] / seconds["ours"])) for name in ("published", "batched")}}
    row |= {"to_ours_core": {name: float(np.median(cores[name] / cores["ours"])) for name in ("published", "batched")}}
    print(json.dumps(row))


if __name__ == "__main__":
    main()
