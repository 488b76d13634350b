"""Equal tuning: the same number of trials for every method, on a corruption that no test uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.progress import progress_bar
from dhauds_jax.recipes import tuned
from dhauds_jax.runs.adapt import results
from dhauds_jax.runs.requests.tune import TuneRun
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import able
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records

DIVERGED = -1.0
"""The score of a trial that diverges: it cannot win."""


@locks.holding()
def tune(run: TuneRun, command: str) -> str:
    """Runs every trial that has no record yet, and writes the best options of each method.

    Raises:
      BadInput: bad input, the test split among it. FloatingPointError: all trials of a method diverged; what was chosen
        for others is written before.
    """
    if run.split == "test":
        raise BadInput("--split=test: options must not be chosen on test labels, expected val or train")
    if run.clips < 0:
        raise BadInput(f"--clips={run.clips}: expected 0 (all) or more")
    check_number("--epochs", run.epochs, 1)
    check_number("--batch_size", run.batch_size, 2, because="batch statistics need two clips")
    names = [m for name in run.method for m in (methods.METHODS if name == "all" else (name,)) if m != "source"]
    names = able(names, zoo.build(checkpoints.load_config(run.checkpoint)), run.profile)
    trials = {name: tuned.space(name, run.profile) for name in names}
    subset = _subset(run)
    set_aside, chosen, lost = records.done(Path(run.workdir)).note, [], []
    programs, memory = Programs(), {}
    counts = {"total": sum(map(len, trials.values())), "unit": "trial"}
    said = counted(counts["total"], "trial"), counted(len(trials), "method"), counted(run.epochs, "epoch")
    say("work: {} of {}, {} each".format(*said))
    estimate = Estimate(counts["total"], "trial", few=True)
    ended = lambda ran: (estimate.part if ran else estimate.there)()  # noqa: E731
    with progress_bar(desc="trials", awaited="the first one also reads and compiles", **counts) as bar, within():
        for name, space in trials.items():
            scores = []
            for options in space:
                scores.append(score_of(run, name, options, subset, command, programs, memory, ended))
                bar.update()
            if max(scores) == DIVERGED:
                lost.append(name)
                continue
            chosen.append(best_of(name, run.profile, space, scores))
    if chosen or not lost:  # else what an earlier run chose stays
        tuned.write(Path(run.output), chosen)
    if lost:
        rest = f"{counted(len(chosen), 'other method')} tuned" if chosen else "nothing was chosen or written"
        said = f"losses or predictions are not finite in any trial of {', '.join(lost)}; {rest}: {run.output}"
        raise FloatingPointError(said)
    lines = [
        f"{row.method:14s} {row.option or '-':18s} {row.value or '-':12s} {100 * row.score:5.1f} %" for row in chosen
    ]
    return "\n".join([*lines, f"{counted(len(chosen), 'method')} tuned{set_aside}: {run.output}"])


def _subset(run: TuneRun) -> str | None:
    """Writes the list of the clips that trials run on."""
    if not run.clips:
        return None
    dataset = sets.get(run.dataset, run.data_dir)
    if dataset.generate is not None:
        ids = dataset.generate(run.split, 0).ids
    else:
        ids = tuple(ref.id for ref in dataset.listing(run.data_dir, run.split, False)[0])
    rows = np.unique(np.linspace(0, len(ids) - 1, min(run.clips, len(ids))).astype(int))
    path = Path(run.workdir) / f"{run.split}_{len(rows)}.txt"
    write_atomically(path, "".join(f"{ids[row]}\n" for row in rows))
    return str(path)


def score_of(
    run: TuneRun,
    method: str,
    options: dict[str, Any],
    subset: str | None,
    command: str,
    programs: Programs,
    memory: dict[str, Any],
    ended: Callable[[bool], None] = lambda ran: None,
) -> float:
    """The metric of one trial after its last epoch: of the record of its very cell."""
    texts = [f"{key}={value}" for key, value in options.items()]
    trial = AdaptRun(
        dataset=run.dataset,
        data_dir=run.data_dir,
        noise_dir=run.noise_dir,
        checkpoint=run.checkpoint,
        method=[method],
        corruption=[run.corruption],
        level=[run.level],
        profile=run.profile,
        seed=run.seed,
        epochs=run.epochs,
        batch_size=run.batch_size,
        options=texts,
        split=run.split,
        workdir=run.workdir,
        save_every_s=60.0,
        draw="single",
        subset=subset,
    )
    try:
        (record,) = results(trial, command, ended, programs=programs, memory=memory).found
    except FloatingPointError as error:
        ended(True)
        print(f"{method} [{', '.join(texts)}]: {error}")
        return DIVERGED
    return record["adapted_last"]


def best_of(method: str, profile: str, space: Sequence[dict[str, Any]], scores: Sequence[float]) -> tuned.Tuned:
    """The trial with the best score; the default wins ties, then the first."""
    defaults = methods.default_options(method, profile)

    def rank(index: int) -> tuple[float, bool, int]:
        return scores[index], all(defaults[k] == v for k, v in space[index].items()), -index

    best = max(range(len(space)), key=rank)
    return tuned.Tuned(method, " ".join(space[best]), " ".join(map(str, space[best].values())), scores[best])
