#!/usr/bin/env python3
"""Memory, open files, threads and the cache of compiled programs of commands that run for long.

  steps   10,000 steps of one adaptation (dhauds, a small AMAuT)
  cells   200 cells of one sweep over 5 networks
  serve   30 minutes of `experiments.serve`, asked as fast as it answers
  clips   100,000 files classified by one process (`Model.predict`, 100 files a call)
Each runs in a process of its own that is looked at from outside, about a hundred times. `--share=0.1` runs a tenth.
What lies in `--output` with this share is not run again. Prints what grew from a quarter of the way, where everything
is compiled, to the end. `--report` draws the curves and puts the table on docs/reliability.md.

Example: python -m benchmarks.lasting --case=steps --share=0.1
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import pages
from dhauds_jax import files

ROOT = Path(__file__).resolve().parents[1]
LOOKS = 100
NETS = ("amaut_tiny", "conmix_tiny", "hubert_tiny", "resnet_tiny", "cnn_small")
BATCH, CLIPS, EACH = 16, 512, 100
"""Clips a step, clips of the stream that is gone through again and again, and files that are classified in a call."""
MEASURED = {"memory": "MB", "files": "open files", "threads": "threads", "cache": "MB of compiled programs on disk"}


class Look(NamedTuple):
    """What a process holds when so much is done."""

    done: float
    seconds: float
    memory: float
    files: int
    threads: int
    cache: float


class Case(NamedTuple):
    """What runs for long: how much of what, and how to run it."""

    count: int
    unit: str
    run: Callable[[int, Path], Iterator[tuple[float, int]]]
    """(count, folder) -> how much is done and the process, whenever there is something to look at."""


def look(done: float, process: int, since: float, cache: Path) -> Look:
    """What the system says of a process.

    Raises:
      FileNotFoundError: it is gone.
    """
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    opened = len(list(Path(f"/proc/{process}/fd").iterdir()))
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    memory = int(status["VmRSS"].split()[0]) / 1024
    return Look(done, time.monotonic() - since, memory, opened, int(status["Threads"]), size / 2**20)


def settled(looks: list[Look], name: str) -> tuple[float, float]:
    """What a quantity is after a quarter of the way, and at the end: medians of a tenth of all looks each."""
    tenth, values = max(1, len(looks) // 10), [getattr(one, name) for one in looks]
    begin = len(looks) // 4
    return statistics.median(values[begin : begin + tenth]), statistics.median(values[-tenth:])


def _child(words: Iterable[object], said: Path | None = None) -> subprocess.Popen[str]:
    with contextlib.ExitStack() as stack:
        err = stack.enter_context(said.open("w")) if said else subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=err, text=True
        )


def _looked_at(case: str, count: int, folder: Path) -> Iterator[tuple[float, int]]:
    """Progress of a function of this module in a process of its own, which waits until it was looked at."""
    with _child(["benchmarks.lasting", f"--child={case}", f"--count={count}"], folder / "said") as process:
        for line in process.stdout:
            yield float(line), process.pid
    _check(process, folder)


def _check(process: subprocess.Popen[str], folder: Path) -> None:
    if process.returncode:
        raise RuntimeError(f"it ended with {process.returncode}: {(folder / 'said').read_text()[-2000:]}")


def steps(count: int) -> None:
    """One stream of clips, again and again, through one state."""
    import jax

    from dhauds_jax.nets import zoo
    from dhauds_jax.tta import methods, protocols
    from dhauds_jax.types import RunInfo

    config = zoo.preset("amaut_tiny", tuple("abcde"))
    classifier = zoo.build(config)
    waves = np.random.default_rng(0).normal(scale=0.1, size=(CLIPS, config.length)).astype(np.float32)
    method = methods.make("dhauds", classifier, methods.resolve_options("dhauds", "corrected", {"lr": "1e-5"}))
    state = method.init(classifier.init(jax.random.key(0), waves[:1]), RunInfo(1, CLIPS, 5, None, BATCH))
    run, done = protocols.compiled(method), 0
    for again in itertools.count():
        for step in protocols.online(run, state, waves, batch_size=BATCH, key=jax.random.key(again)):
            done, state = done + 1, step.state
            if done % max(1, count // LOOKS) == 0:
                print(done, flush=True)
            if done == count:
                return


def clips(count: int) -> None:
    """The same hundred files of a second, again and again."""
    import soundfile

    import dhauds_jax

    model = dhauds_jax.load("words15")
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        named = [Path(folder, f"{number}.wav") for number in range(EACH)]
        for file in named:
            soundfile.write(file, rng.normal(scale=0.1, size=16_000), 16_000)
        for done in range(EACH, count + 1, EACH):
            model.predict(named)
            if (done // EACH) % max(1, count // EACH // LOOKS) == 0:
                print(done, flush=True)


CHILDREN = {"steps": steps, "clips": clips}


def write_sweep(folder: Path, count: int) -> list[str]:
    """Networks with random weights and a table of `count` rows; the sweep's flags."""
    import jax

    from dhauds_jax.data import sets
    from dhauds_jax.nets import checkpoint, zoo

    for net in NETS:
        config = zoo.preset(net, sets.REGISTRY["synthetic"].classes)
        variables = zoo.build(config).init(jax.random.key(0), np.zeros((1, config.length), np.float32))
        checkpoint.save(folder / f"{net}_synthetic", variables, config)
    drawn = itertools.product(range(count), ("WHN", "PSH"), ("L1", "L2"), ("norm", "tent"), NETS)
    with (folder / "rows.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("dataset", "net", "corruption", "level", "method", "protocol", "epochs", "batch_size", "seed"))
        for seed, corruption, level, method, net in itertools.islice(drawn, count):
            out.writerow(("synthetic", net, corruption, level, method, "online", 1, 70, seed))
    return [f"--recipes={folder / 'rows.csv'}", f"--checkpoint_root={folder}", f"--workdir={folder / 'sweep'}"]


def cells(count: int, folder: Path) -> Iterator[tuple[float, int]]:
    """A sweep, looked at whenever it has written a record."""
    words, results, seen = write_sweep(folder, count), folder / "sweep" / "results.jsonl", 0
    with _child(["experiments.sweep", *words], folder / "said") as process:
        threading.Thread(target=process.stdout.read, daemon=True).start()
        while process.poll() is None:
            done = results.read_bytes().count(b"\n") if results.is_file() else 0
            if done > seen:
                seen = done
                yield done, process.pid
            time.sleep(0.1)
    _check(process, folder)
    if seen < count - 1:
        raise RuntimeError(f"{seen} of {count} cells: {(folder / 'said').read_text()[-2000:]}")


def serve(count: int, folder: Path) -> Iterator[tuple[float, int]]:
    """Eight clients that ask again as soon as they have their answer; `count` seconds."""
    from benchmarks.serve_rows import requests
    from dhauds_jax.serve import http_client, load
    from dhauds_jax.serve.started import started

    with started(["--checkpoint=words15"]) as service:
        sent, place = requests(service, 1.0), http_client.place_of(service.url, "/v1/classify")
        begun, each = time.monotonic(), count / LOOKS
        while (spent := time.monotonic() - begun) < count:
            outcome = asyncio.run(load.send(place, sent, load.Plan(1_000_000, 8, longest_s=each)))
            if not (outcome.status == 200).all():
                raise RuntimeError(f"an answer that is none: {sorted(set(outcome.status.tolist()))}")
            yield spent, service.process.pid


CASES: Mapping[str, Case] = {
    "steps": Case(10_000, "adaptation steps", lambda count, folder: _looked_at("steps", count, folder)),
    "cells": Case(200, f"cells over {len(NETS)} networks", cells),
    "serve": Case(1_800, "seconds of serving", serve),
    "clips": Case(100_000, "classified files", lambda count, folder: _looked_at("clips", count, folder)),
}


def run(name: str, share: float, revision: str) -> dict[str, Any]:
    """A case, with its own cache of compiled programs; its record."""
    case, looks = CASES[name], []
    count = max(1, round(case.count * share))
    with tempfile.TemporaryDirectory(prefix="lasting-") as place:
        cache = Path(place, "cache")
        cache.mkdir()
        os.environ["XDG_CACHE_HOME"] = os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
        since, every, nearest = time.monotonic(), count / LOOKS, 0.0
        for done, process in case.run(count, Path(place)):
            if done >= nearest:
                nearest = done + 0.9 * every
                with contextlib.suppress(FileNotFoundError, KeyError):  # it has just ended
                    looks.append(look(done, process, since, cache))
    return {"case": name, "share": share, "count": count, "git_revision": revision, "looks": looks}


def read(output: Path) -> dict[str, dict[str, Any]]:
    """Records by case; the last one of a case counts."""
    lines = output.read_text(encoding="utf-8").splitlines() if output.is_file() else []
    found = {record["case"]: record for record in map(json.loads, lines)}
    return {
        name: {**found[name], "looks": [Look(*one) for one in found[name]["looks"]]} for name in CASES if name in found
    }


def table(records: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a case: what each quantity was after a quarter of the way, and at the end."""
    lines = [
        "| what | minutes | memory, MB | open files | threads | compiled programs on disk, MB |",
        "|---|" + "---:|" * 5,
    ]
    for name, record in records.items():
        pairs = [settled(record["looks"], each) for each in MEASURED]
        said = [
            f"{a:,.0f} to {b:,.0f}" if each != "cache" else f"{a:.1f} to {b:.1f}"
            for each, (a, b) in zip(MEASURED, pairs)
        ]
        minutes = record["looks"][-1].seconds / 60
        lines.append(f"| {record['count']:,} {CASES[name].unit} | {minutes:.0f} | " + " | ".join(said) + " |")
    return "\n".join(lines)


def draw(records: Mapping[str, Mapping[str, Any]], place: Path) -> None:
    """A column a case, a row a quantity, each from 0."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        len(MEASURED), len(records), figsize=(3.2 * len(records), 7), squeeze=False, sharex="col", layout="constrained"
    )
    for column, (name, record) in enumerate(records.items()):
        for row, (each, unit) in enumerate(MEASURED.items()):
            shown = axes[row, column]
            shown.plot([one.done for one in record["looks"]], [getattr(one, each) for one in record["looks"]])
            shown.set_ylim(bottom=0)
            if column == 0:
                shown.set_ylabel(unit)
        axes[-1, column].set_xlabel(CASES[name].unit)
    place.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(place, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default=",".join(CASES), help="which, commas between")
    parser.add_argument("--share", type=float, default=1.0, help="of the whole count of each")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/records/faults/lasting.jsonl")
    parser.add_argument(
        "--report", nargs="?", const=ROOT / "docs/reliability.md", type=Path, help="page; nothing is run"
    )
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        CHILDREN[args.child](args.count)
        return
    if args.report:
        kept = read(args.output)
        draw(kept, args.report.parent / "images" / "lasting.png")
        pages.fill(args.report, "lasting", table(kept))
        return
    words = ["git", "rev-parse", "--short", "HEAD"]
    revision = subprocess.run(words, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    for name in args.case.split(","):
        kept = read(args.output)
        if name in kept and kept[name]["share"] == args.share:
            continue
        kept[name] = run(name, args.share, revision)
        args.output.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(args.output, "".join(json.dumps(record) + "\n" for record in kept.values()))
        grew = {each: " to ".join(f"{value:.1f}" for value in settled(kept[name]["looks"], each)) for each in MEASURED}
        print(json.dumps({"case": name, "count": kept[name]["count"], **grew}), flush=True)


if __name__ == "__main__":
    main()
