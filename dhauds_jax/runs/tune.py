"""Equal tuning: the same rule and the same first trials for every method, on a corruption that no test uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dhauds_jax import digests
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.files import write_atomically
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.progress import progress_bar
from dhauds_jax.recipes import tuned, tuning
from dhauds_jax.recipes.tuning import Choice, Trial
from dhauds_jax.report import floors
from dhauds_jax.runs.adapt import results
from dhauds_jax.runs.requests.tune import SCORES, TuneRun
from dhauds_jax.tta import methods
from dhauds_jax.tta.options import able
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, provenance, records


class Trials:
    """Runs trials of one tuning, each once, and keeps the records they are made from."""

    def __init__(self, run: TuneRun, command: str, ended: Callable[[bool], None] = lambda ran: None):
        """`ended` is told of every run of a seed, and whether it was run now."""
        self._run, self._command, self._ended, self._subset = run, command, ended, _subset(run)
        self._programs, self._memory = Programs(any_rate=True), {seed: {} for seed in _seeds(run)}
        self.last: dict[str, Any] = {}

    def __call__(self, method: str, options: Mapping[str, Any]) -> Trial:
        """A method's trial with some options: the records of all seeds; without scores where one diverges."""
        found, texts = [], [f"{key}={value}" for key, value in options.items()]
        for seed, memory in self._memory.items():
            asked, shared = self._asked(method, texts, seed), {"programs": self._programs, "memory": memory}
            try:
                (record,) = results(asked, self._command, self._ended, **shared).found
            except FloatingPointError as error:
                self._ended(True)
                print(f"{method} [{', '.join(texts)}]: {error}")
                return Trial(options, ())
            found.append(record)
        self.last = found[-1]
        return _trial(options, found)

    def _asked(self, method: str, texts: Sequence[str], seed: int) -> AdaptRun:
        run = self._run
        return AdaptRun(
            dataset=run.dataset,
            data_dir=run.data_dir,
            noise_dir=run.noise_dir,
            checkpoint=run.checkpoint,
            method=[method],
            corruption=[run.corruption],
            level=[run.level],
            protocol=[run.score],
            profile=run.profile,
            seed=seed,
            epochs=run.epochs,
            batch_size=run.batch_size,
            options=texts,
            split=run.split,
            workdir=run.workdir,
            save_every_s=60.0,
            draw="single",
            subset=self._subset,
        )

    def floor(self, method: str, default: Mapping[str, Any]) -> Trial:
        """The method at rate 0; the unadapted network for methods without a rate."""
        return self(method, {"lr": 0.0}) if "lr" in default else self("source", {})


def _trial(options: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> Trial:
    """What the records of a value's seeds say."""
    columns = [tuple(record[key] for record in found) for key in ("adapted_last", "nll", "collapsed")]
    return Trial(options, *columns, sum(record["seconds"] for record in found), tuple(r["cell"] for r in found))


def _seeds(run: TuneRun) -> list[int]:
    if not run.seed or not all(seed.isascii() and seed.isdigit() for seed in run.seed):
        raise BadInput(f"--seed={','.join(run.seed)}: expected whole numbers separated by commas")
    return list(dict.fromkeys(map(int, run.seed)))


def _check(run: TuneRun) -> list[str]:
    """The methods that the network can run, when the flags make sense; "all" are those that a board asks for."""
    if run.split == "test":
        raise BadInput("--split=test: options must not be chosen on test labels, expected val or train")
    if run.clips < 0:
        raise BadInput(f"--clips={run.clips}: expected 0 (all) or more")
    if run.score not in SCORES:
        raise BadInput(f"--score={run.score}: expected {' or '.join(SCORES)}")
    _seeds(run)
    check_number("--epochs", run.epochs, 1)
    check_number("--batch_size", run.batch_size, 2, because="batch statistics need two clips")
    every = [name for name in methods.METHODS if floors.asked(name, run.score)]
    names = [m for name in run.method for m in (every if name == "all" else (name,)) if m != "source"]
    return able(names, zoo.build(checkpoints.load_config(run.checkpoint)), run.profile)


@locks.holding()
def tune(run: TuneRun, command: str) -> str:
    """Runs every trial that has no record yet, and writes the best options of each method.

    Raises:
      BadInput: bad input, the test split among it. FloatingPointError: all trials of a method diverged; what was chosen
        for others is written before.
    """
    names, seeds = _check(run), _seeds(run)
    spaces = {name: tuned.space(name, run.profile) for name in names}
    set_aside, rows, lost = records.done(Path(run.workdir)).note, [], []
    total = len(seeds) * sum(1 + len(list(tuned.trials_of(space))) for space in spaces.values())
    passes = counted(run.epochs, "epoch") if run.score == "offline" else "one pass"
    said = counted(total, "run"), counted(len(names), "method"), counted(len(seeds), "seed"), passes
    say("work: {} at least, of {} with {}, {} each".format(*said))
    estimate = Estimate(total, "run", few=True)
    shown = {"total": total, "unit": "run", "awaited": "the first one also reads and compiles"}
    with progress_bar(desc="trials", **shown) as bar, within():

        def ended(ran: bool) -> None:
            bar.update()
            (estimate.part if ran else estimate.there)()

        trials = Trials(run, command, ended)
        for name, space in spaces.items():
            choice = choose(trials, name, run.profile, space)
            if choice.diverged:
                lost.append(name)
                continue
            keep(run, name, choice, trials.last, command)
            rows.append(row_of(name, choice))
            print(said_of(rows[-1]))
    if rows or not lost:  # else what an earlier run chose stays
        tuned.write(Path(run.output), rows)
    if lost:
        rest = f"{counted(len(rows), 'other method')} tuned" if rows else "nothing was chosen or written"
        said = f"losses or predictions are not finite in any trial of {', '.join(lost)}; {rest}: {run.output}"
        raise FloatingPointError(said)
    return "\n".join([*map(said_of, rows), f"{counted(len(rows), 'method')} tuned{set_aside}: {run.output}"])


def choose(trials: Trials, method: str, profile: str, space: Sequence[tuned.Line]) -> Choice:
    """What the rule chooses for a method: its floor first, then the trials."""
    default = methods.default_options(method, profile)
    floor = trials.floor(method, default)
    return tuning.search(space, lambda options: trials(method, options), default, floor)


def row_of(method: str, choice: Choice) -> tuned.Tuned:
    """The row of the file of tuned options."""
    names, values = " ".join(choice.trial.options), " ".join(map(str, choice.trial.options.values()))
    score, floor = (float(np.mean(t.scores)) if t.scores else float("nan") for t in (choice.trial, choice.floor))
    nll = float(np.mean(choice.trial.nll)) if choice.trial.nll else float("nan")
    return tuned.Tuned(method, names, values, score, nll, floor, len(choice.trials), choice.why)


def said_of(row: tuned.Tuned) -> str:
    """One line about a chosen value."""
    name = f"{row.method:14s} {row.option or '-':20s} {row.value or '-':16s}"
    numbers = f"{100 * row.score:5.1f} %, at its floor {100 * row.floor:5.1f} %"
    return f"{name} {numbers}: {tuning.REASONS[row.why]} ({counted(row.trials, 'trial')})"


def keep(run: TuneRun, method: str, choice: Choice, last: Mapping[str, Any], command: str) -> None:
    """Adds the whole tuning of a method to `tuning.jsonl`, unless the same one is there.

    `last` is a record of one of its trials, for what all have in common.
    """
    same = ("dataset", "corruption", "level", "net", "protocol", "profile", "metric", "n", "source_checkpoint")
    record = {
        **{key: last[key] for key in same},
        "method": method,
        "seeds": _seeds(run),
        "epochs": last["options"]["epochs"],
        "batch_size": run.batch_size,
        "chosen": dict(choice.trial.options),
        "why": choice.why,
        "floor": _shown(choice.floor),
        "trials": [_shown(trial) for trial in choice.trials],
        "seconds": sum(trial.seconds for trial in (choice.floor, *choice.trials)),
    }
    # How long a trial took is not what it is: the same tuning has the same name wherever it runs.
    told = [{**trial, "seconds": 0} for trial in (record["floor"], *record["trials"])]
    cell = digests.of_texts(record["chosen"], *told)
    if cell not in records.done(Path(run.workdir), "tuning").cells:
        records.append(Path(run.workdir), {"cell": cell, **record, **provenance.block(command)}, "tuning")


def _shown(trial: Trial) -> dict[str, Any]:
    return {key: dict(value) if key == "options" else value for key, value in trial._asdict().items()}


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
