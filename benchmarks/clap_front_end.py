"""CLAP's log-mel beside transformers' ClapFeatureExtractor: a clip of ten seconds, one after the other in turns.

python -m benchmarks.clap_front_end [--rounds=15]    one JSON object a line; needs transformers
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.nets import clap_mel

SAMPLES, RATE = 480_000, 48_000


def seconds(call: Callable[[], Any]) -> float:
    """What one call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def compare(fused: bool, rounds: int) -> dict[str, Any]:
    """Medians of both over so many rounds, and how far apart their decibels are (ours without the int16 step)."""
    from transformers import ClapFeatureExtractor

    theirs = ClapFeatureExtractor(frequency_min=50, truncation="fusion" if fused else "rand_trunc")
    wave = (0.1 * np.random.default_rng(0).standard_normal(SAMPLES)).astype(np.float32)
    extract = lambda: theirs(wave, sampling_rate=RATE)["input_features"][0][0]  # noqa: E731
    made = {}
    for step in (True, False):
        spec = clap_mel.spec_of(clap_mel.record(fused=fused, quantise=step))
        made[step] = jax.jit(lambda x, spec=spec: clap_mel.features(x, spec))
    compute = lambda: made[True](jnp.asarray(wave[None])).block_until_ready()  # noqa: E731
    apart = float(np.abs(extract() - np.asarray(made[False](jnp.asarray(wave)))).max())
    compute()
    pairs = [(seconds(extract), seconds(compute)) for _ in range(rounds)]
    other, ours = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "what": "clap_front_end",
        "mels": "htk" if fused else "slaney",
        "device": jax.devices()[0].device_kind,
        "dtype": "float32",
        "batch": 1,
        "clip_seconds": SAMPLES / RATE,
        "seconds": ours,
        "clips_per_s": 1 / ours,
        "transformers_seconds": other,
        "vs_transformers": other / ours,
        "largest_difference_db": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    for fused in (True, False):
        print(json.dumps(compare(fused, rounds)))


if __name__ == "__main__":
    main()
