#!/usr/bin/env python3
"""Kills a sweep with SIGKILL at random moments and compares its records with those of a sweep left in peace.

Example: python benchmarks/kill_sweep.py --kills=10 --workdir=out/kill
Runs the sweep once as a whole, then again in another folder where it is killed and started anew until it has died
`--kills` times and is let run to its end. A sweep that ends before its kill is begun again in a fresh folder. Prints a
JSON object a kill (seconds lived, records written so far, saved states) and one at the end; exit code 1 when a record
differs in anything but cost, paths and revision. The synthetic recipes need nothing: a small AMAuT is trained for them
unless --checkpoint_root holds one.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FREE = ("seconds", "peak_memory_mb", "command", "git_revision")
"""What may differ between two runs of one row."""


def comparable(workdir: Path) -> list[dict[str, Any]]:
    """The records of a sweep by row, without what may differ."""
    lines = (workdir / "results.jsonl").read_text().splitlines()
    found = [{k: v for k, v in json.loads(line).items() if k not in FREE} for line in lines]
    for record in found:
        record["recipe"].pop("command")
    return sorted(found, key=lambda record: record["recipe"]["row"])


def run_whole(command: Sequence[str]) -> float:
    """Runs a command to its end; seconds.

    Raises:
      RuntimeError: it failed (with what it wrote to stderr).
    """
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return time.perf_counter() - begun


def run_killed(command: Sequence[str], after_s: float) -> bool:
    """Runs a command and kills it after a while; False if it ended before."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        child.wait(after_s)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.wait()
        return True
    return False


def kill_and_compare(
    command_in: Callable[[Path], Sequence[str]],
    workdir: Path,
    kills: int,
    seed: int,
    tell: Callable[[dict], None],
    longest_s: float = 0.0,
    keep_whole: bool = False,
) -> dict[str, Any]:
    """The whole sweep, the killed one, and what differs.

    Args:
      command_in: folder -> the sweep's command line for that work folder.
      workdir: where both go; emptied first (but for the whole sweep, with `keep_whole`).
      kills: how often to kill.
      seed: of the moments.
      longest_s: seconds that an attempt may live at the most, 0 for a little less on average than gets it to the end.
      keep_whole: take the finished whole sweep that is in `workdir` already.
      tell: is called with what was found after every kill.
    """
    whole = workdir / "whole"
    for place in list(workdir.glob("*")) if keep_whole else [workdir]:
        if place != whole:
            shutil.rmtree(place, ignore_errors=True)
    workdir.mkdir(parents=True, exist_ok=True)
    seconds = run_whole(command_in(whole))
    start = run_whole(command_in(whole))  # all rows are finished: what it takes to find that out
    expected = comparable(whole)
    moments, died, rounds, differing = random.Random(seed), 0, 0, 0
    while died < kills:
        rounds += 1
        place = workdir / f"killed{rounds}"
        while died < kills:
            # On average the attempts together get a little less far than the whole sweep.
            most = longest_s or start + 2 * max(seconds - start, 0) / (kills + 2)
            after = moments.uniform(0.3 * start, most)
            if not run_killed(command_in(place), after):
                break
            died += 1
            tell({"kill": died, "after_s": round(after, 2), **_state(place)})
        run_whole(command_in(place))
        found = comparable(place)
        differing += sum(a != b for a, b in zip(expected, found)) + abs(len(expected) - len(found))
        differing += _state(place)["states"]
    return {
        "rows": len(expected),
        "kills": died,
        "rounds": rounds,
        "differing": differing,
        "whole_s": round(seconds, 1),
        "start_s": round(start, 1),
    }


def _state(workdir: Path) -> dict[str, Any]:
    results = workdir / "results.jsonl"
    written = len(results.read_text().splitlines()) if results.exists() else 0
    states = workdir / "state"
    return {"records": written, "states": len(list(states.iterdir())) if states.exists() else 0}


def sweep_command(args: argparse.Namespace, checkpoint_root: Path) -> Callable[[Path], list[str]]:
    """The sweep's command line for a work folder."""
    words = [
        sys.executable,
        "-m",
        "experiments.sweep",
        f"--recipes={args.recipes}",
        f"--save_every_s={args.save_every_s}",
    ]
    words.append(f"--checkpoint_root={checkpoint_root}")
    for name in ("only", "data_root", "noise_dir"):
        if getattr(args, name):
            words.append(f"--{name}={getattr(args, name)}")
    return lambda folder: [*words, f"--workdir={folder}"]


def train(folder: Path, epochs: int) -> None:
    """Trains the small AMAuT of the synthetic recipes, unless it is there."""
    if not (folder / "checkpoint" / "config.json").is_file():
        words = ["--dataset=synthetic", "--net=amaut_small", f"--epochs={epochs}", f"--workdir={folder}"]
        run_whole([sys.executable, "-m", "experiments.train", *words])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--recipes", default="synthetic")
    parser.add_argument("--only", help="patterns of experiments.sweep")
    parser.add_argument("--data_root")
    parser.add_argument("--noise_dir")
    parser.add_argument("--checkpoint_root", type=Path, help="default: WORKDIR-checkpoints, trained for the purpose")
    parser.add_argument("--longest_s", type=float, default=0.0, help="an attempt lives (0: by what the whole took)")
    parser.add_argument("--keep_whole", action="store_true", help="take the whole sweep of an earlier call")
    parser.add_argument("--train_epochs", type=int, default=4)
    parser.add_argument("--save_every_s", type=float, default=0.0, help="least seconds between saved states")
    parser.add_argument("--workdir", type=Path, required=True, help="emptied first")
    args = parser.parse_args()
    root = args.checkpoint_root or args.workdir.with_name(args.workdir.name + "-checkpoints")
    root, workdir = root.absolute(), args.workdir.absolute()
    if not args.checkpoint_root:
        train(root / "amaut_small_synthetic", args.train_epochs)
    found = kill_and_compare(
        sweep_command(args, root),
        workdir,
        args.kills,
        args.seed,
        lambda said: print(json.dumps(said), flush=True),
        args.longest_s,
        args.keep_whole,
    )
    print(json.dumps({"what": "kill_sweep", "recipes": args.recipes, **found}))
    sys.exit(found["differing"] > 0)


if __name__ == "__main__":
    main()
