#!/usr/bin/env python3
"""`experiments.embed` beside PyTorch, from wav files to vectors: random weights of one size, a process each.

    python benchmarks/torch_embed.py --clips=200 --output=work/torch_embed

PyTorch's side is the plain loop: librosa.load at 48 kHz (its default soxr_hq), transformers' ClapFeatureExtractor and
ClapModel.get_audio_features, `--batch` clips at a time. Ours is the command, which also names, checks and writes. Both
are run over all clips and a quarter of them, in turns; the slope is the time of a clip, the rest is what starting and
compiling cost. Seconds are the wall's and the processors' (of all threads), which other jobs disturb less. Prints one
JSON object a run, and at the end the ratios of the medians.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch_clap import SIZES, model_of

RATE, SECONDS = 44_100, 4


def make_clips(folder: Path, count: int) -> None:
    """Writes wav files of 4 s at 44.1 kHz: a tone and noise each, 16 bits."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    times = np.arange(RATE * SECONDS) / RATE
    for i in range(count):
        draw = np.random.default_rng(i)
        wave = 0.3 * np.sin(2 * np.pi * draw.uniform(100, 4000) * times) + 0.05 * draw.standard_normal(len(times))
        soundfile.write(folder / f"{i:04d}.wav", wave, RATE, subtype="PCM_16")


def make_checkpoint(folder: Path, net: str) -> None:
    """Writes our model of that size with random weights."""
    import jax

    from dhauds_jax.nets import checkpoint
    from dhauds_jax.nets.clap_zoo import PRESETS, build_audio_text

    config = PRESETS[net]
    checkpoint.save(folder, build_audio_text(config).init(jax.random.key(0)), config)


def by_torch(folder: Path, net: str, batch: int) -> None:
    """The plain loop in PyTorch over a folder; the vectors are kept in memory."""
    import librosa
    import torch
    from transformers import ClapFeatureExtractor

    model = model_of(net)
    extract = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50, top_db=None)
    files, found = sorted(folder.glob("*.wav")), []
    with torch.inference_mode():
        for begin in range(0, len(files), batch):
            waves = [librosa.load(path, sr=48_000)[0] for path in files[begin : begin + batch]]
            inputs = extract(waves, sampling_rate=48_000, return_tensors="pt")
            out = model.get_audio_features(input_features=inputs["input_features"], is_longer=inputs["is_longer"])
            found.append(np.asarray(getattr(out, "pooler_output", out)))
    print(json.dumps({"vectors": np.concatenate(found).shape}))


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of a process from its start to its end: of the wall, and of the processors."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(output: Path, clips: int, net: str, batch: int, rounds: int) -> None:
    """Runs both sides in turns over both counts, and prints what they took."""
    few = max(1, clips // 4)
    for count in (few, clips):
        make_clips(output / f"clips{count}", count)
    make_checkpoint(output / "checkpoint", net)
    took: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for number in range(rounds):
        for count in (few, clips):
            place, to = output / f"clips{count}", output / f"vectors{count}-{number}"
            ours = ["-m", "experiments.embed", f"--checkpoint={output / 'checkpoint'}", f"--audio_dir={place}"]
            ours += [f"--output={to}", f"--batch_size={batch}"]
            theirs = [__file__, f"--torch={place}", f"--net={net}", f"--batch={batch}"]
            for side, words in (("ours", ours), ("torch", theirs)):
                both = timed([sys.executable, *words])
                took.setdefault((side, count), []).append(both)
                row = {"side": side, "clips": count, "wall_s": round(both[0], 2), "processor_s": round(both[1], 2)}
                print(json.dumps(row), flush=True)
    for place, clock in enumerate(("wall", "processor")):
        whole, part = (
            {side: statistics.median(both[place] for both in took[side, count]) for side in ("ours", "torch")}
            for count in (clips, few)
        )
        each = {side: (whole[side] - part[side]) / (clips - few) for side in whole}
        print(json.dumps({
            "clock": clock, "net": net, "clips": clips, "seconds": {k: round(v, 2) for k, v in whole.items()},
            "ratio": round(whole["torch"] / whole["ours"], 2),
            "ms_a_clip": {side: round(1000 * value, 1) for side, value in each.items()},
            "ratio_a_clip": round(each["torch"] / each["ours"], 2),
            "start_s": {side: round(whole[side] - clips * each[side], 1) for side in each},
        }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--net", default="clap_htsat_tiny", choices=list(SIZES))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--torch", type=Path, help="run PyTorch's loop over this folder, and nothing else")
    given = parser.parse_args()
    if given.torch:
        by_torch(given.torch, given.net, given.batch)
        return
    measure(given.output, given.clips, given.net, given.batch, given.rounds)


if __name__ == "__main__":
    main()
