"""The steps of the quickstart."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dhauds_jax.cells import checking
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import within
from dhauds_jax.runs.adapt import results
from dhauds_jax.runs.report import write_report
from dhauds_jax.runs.requests.quickstart import Quickstart
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train.request import TrainOptions, TrainRun
from dhauds_jax.workdir import provenance

NET = "amaut_mini"
COMPILER_OPTIONS = {"xla_backend_optimization_level": 1}
"""Of updates and predictions on CPUs: a third less to compile, and as fast at this size (docs/performance.md). Data are
compiled as ever, so that their bits are those of every other command."""


def quickstart(run: Quickstart, command: str) -> str:
    """Trains, corrupts, adapts and reports; returns the sentence that says where the report is.

    Raises:
      BadInput: unknown names and impossible numbers, before anything is done.
    """
    workdir, begun = Path(run.workdir), time.perf_counter()

    def step(text: str) -> None:
        print(f"[{time.perf_counter() - begun:3.0f} s] {text}", flush=True)

    adaptation = _adaptation(run, workdir)
    checking.check(adaptation)  # now, not after the training
    if run.train_epochs < 1:
        raise BadInput(f"--train_epochs={run.train_epochs}: expected at least 1")
    options = COMPILER_OPTIONS if jax.default_backend() == "cpu" else None
    step(f"on {provenance.device()}")
    step(f"1/3 training {NET} on clean synthetic words")
    with within():
        print(train_and_save(_training(run), command, options))
    step("2/3 corrupting the words of unseen speakers, and adapting to each corruption without labels")
    with within():  # the greeting has said how long all of it takes
        done = results(adaptation, command, programs=Programs(options))
    print(done.sentence(run.workdir))
    step("3/3 report")
    text = write_report([run.workdir])
    print("\n" + outcome(done.found))  # of this run alone, whatever an earlier one left there
    return text


def _training(run: Quickstart) -> TrainRun:
    """The source model is trained with the reference's recipe in both profiles: what differs is what comes after it."""
    return TrainRun(
        dataset="synthetic", net=NET, workdir=run.workdir, seed=run.seed, options=TrainOptions(epochs=run.train_epochs)
    )


def _adaptation(run: Quickstart, workdir: Path) -> AdaptRun:
    return AdaptRun(
        dataset="synthetic",
        checkpoint=str(workdir / "checkpoint"),
        method=run.method,
        corruption=run.corruption,
        level=run.level,
        profile=run.profile,
        seed=run.seed,
        epochs=run.epochs,
        workdir=run.workdir,
        draw="single",
    )


def outcome(found: Sequence[dict[str, Any]]) -> str:
    """The result in a few lines: clean accuracy, what corruption costs, what each method gives back (in points)."""
    clean = [r["non_adapted"] for r in found if r["corruption"] == "clean"]
    broken = [r for r in found if r["corruption"] != "clean"]
    lines = []
    if clean:
        lines.append(f"clean accuracy {100 * clean[0]:.1f} %")
    if broken:
        before = np.mean([r["non_adapted"] for r in {(r["corruption"], r["level"]): r for r in broken}.values()])
        lines.append(f"corrupted, mean over cells {100 * before:.1f} %")
        for method in dict.fromkeys(r["method"] for r in broken):
            after = np.mean([r["adapted_last"] for r in broken if r["method"] == method])
            lines.append(f"  {method:8s} {100 * after:5.1f} %  ({100 * (after - before):+.1f} points)")
    return "\n".join(lines)
