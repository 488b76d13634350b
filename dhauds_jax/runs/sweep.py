"""The loop of `experiments.sweep`: which rows, what each needs, what became of it."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from dhauds_jax import parallel
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.command import app
from dhauds_jax.data import sets
from dhauds_jax.data.noise import find_recordings
from dhauds_jax.data.shifts import needs_noise
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.recipes.rows import Roots, adapt_run, command, selected
from dhauds_jax.recipes.table import Recipe, Row, read
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.workdir import locks, records

FORMAT = 1
"""Of the files that a sweep leaves in its work folder; a folder of another one is refused."""
ABOUT = "sweep.json"
UNAVAILABLE = "unavailable.jsonl"


_FLAGS = ("save_every_s", "allow_partial", "on_bad_file", "parallel", "updates_per_dispatch", "precision", "remat")
"""Those that go to every row."""


class SweepRun(NamedTuple):
    """The flags of `experiments.sweep` (see its `--help`)."""

    recipes: str
    only: Sequence[str]
    shard: str
    data_root: str | None
    noise_dir: str | None
    checkpoint_root: str | None
    workdir: str | None
    list: bool = False
    cost: bool = False
    dry_run: bool = False
    save_every_s: float = 20.0
    allow_partial: bool = False
    on_bad_file: str = "stop"
    parallel: str = "jit"
    updates_per_dispatch: int = 1
    precision: str = "float32"
    remat: bool = False

    @property
    def roots(self) -> Roots:
        """Where data, noises and checkpoints lie."""
        return Roots(self.data_root, self.noise_dir, self.checkpoint_root)

    def adapt_run(self, row: Row) -> AdaptRun:
        """The run that a row stands for under these flags."""
        flags = {name: getattr(self, name) for name in _FLAGS}
        return adapt_run(row, self.roots, self.workdir or "WORKDIR", **flags)


class Outcome(NamedTuple):
    """What became of a row: `kind` is "run", "finished", or a key of `REASONS`; `sentence` says why it did not run."""

    kind: str
    sentence: str = ""


REASONS = {
    "waits": "wait for what the package does not have yet",
    "missing": "lack data or a checkpoint",
    "bad_input": "stopped on bad input",
    "diverged": "stopped at a loss that was not finite",
}
_CODES = {"bad_input": app.BAD_INPUT, "diverged": app.DIVERGED}


def lacking(row: Row, roots: Roots) -> Outcome | None:
    """Why a row cannot run, as far as folders tell; None when nothing is missing."""
    if row.waits_for:
        return Outcome("waits", f"waits for {', '.join(row.waits_for)}")
    checkpoint, data_dir = roots.checkpoint_dir(row), roots.data_dir(row)
    if data_dir is not None and not data_dir.is_dir():
        return Outcome("missing", f"no data: {data_dir} is no folder, expected the data set {row.dataset}")
    if not (checkpoint / checkpoints.CONFIG).is_file():
        return Outcome("missing", f"no checkpoint: {checkpoint} has no {checkpoints.CONFIG}, expected one of {row.net}")
    if needs_noise(row.corruption) and (roots.noise or data_dir is not None):
        try:
            if not roots.noise:
                raise BadInput(f"{row.corruption} needs --noise_dir")
            rate = checkpoints.load_config(checkpoint).sample_rate
            find_recordings(Path(roots.noise), row.corruption, row.level, rate)
        except ValueError as error:
            return Outcome("missing", f"no noise: {error}")
    return None


def _about(recipe: Recipe, workdir: Path, write: bool) -> None:
    """Writes what a work folder is for, or checks it against what an earlier sweep wrote there."""
    mine = {"format": FORMAT, "recipes": recipe.name, "digest": recipe.digest}
    path = workdir / ABOUT
    if not path.exists():
        if write:
            _write(path, json.dumps(mine) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found == mine:
            return
        kept, other = found["format"], found["recipes"]
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{path}: cannot be read, expected what a sweep wrote; give another --workdir") from None
    what = (
        f"a sweep of format {kept}, and this version writes format {FORMAT}"
        if kept != FORMAT
        else f"a sweep of {other}, and this one is of {recipe.name}"
        if other != recipe.name
        else f"a sweep of another version of {recipe.path.name} ({found.get('digest')}, now {recipe.digest})"
    )
    raise BadInput(f"{workdir}: holds {what}; give another --workdir")


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


class _Finished:
    """Which rows have a record: of the row as it is now, made with the weights and the flags of now."""

    def __init__(self, run: SweepRun):
        self.run = run
        self.hashes: dict[Path, str] = {}
        done = records.done(Path(run.workdir)) if run.workdir else records.Done({}, 0)
        if done.note:
            print(f"note: records in {run.workdir}{done.note}")
        found = done.cells.values()
        self.keys = {(r["recipe"]["key"], r["source_checkpoint"]) for r in found if "recipe" in r}

    def key(self, row: Row) -> str:
        """Names a row's numbers, the weights apart."""
        kept = ("allow_partial", "on_bad_file")
        changed = [name for name in kept if getattr(self.run, name) != SweepRun._field_defaults[name]]
        if self.run.precision != "float32":
            changed.append(self.run.precision)
        if self.run.remat:
            changed.append("remat")
        return "-".join([str(row.number), row.digest, *changed])

    def has(self, row: Row) -> bool:
        if not any(key == self.key(row) for key, _ in self.keys):
            return False
        folder = self.run.roots.checkpoint_dir(row)
        if folder not in self.hashes:
            self.hashes[folder] = checkpoints.variables_hash(checkpoints.load(folder)[0])
        return (self.key(row), self.hashes[folder]) in self.keys


def sweep(run: SweepRun, said: str) -> tuple[str, int]:
    """Runs the rows; returns the summary and the exit code.

    Args:
      run: the flags.
      said: the command line, for the records.

    Raises:
      BadInput: a table, a pattern, a shard or a work folder that cannot be used, before anything runs; another sweep
        in the work folder.
    """
    recipe = read(run.recipes)
    rows = selected(recipe.rows, run.only, run.shard)
    if run.list:
        for row in rows:
            print(_listed(row, run))
        return f"{len(rows)} of {len(recipe.rows)} rows: {recipe.path}", 0
    if run.cost:
        from dhauds_jax.recipes import cost

        for line in cost.lines(rows):
            print(line, flush=True)
        return f"counted by XLA for {len(rows)} of {len(recipe.rows)} rows: {recipe.path}", 0
    if not run.workdir:
        raise BadInput("--workdir is missing: expected the folder for records (or --list)")
    workdir = Path(run.workdir)
    if run.dry_run:
        _about(recipe, workdir, write=False)
        return _summary(recipe, rows, _foreseen(run, rows), workdir, "can run"), 0
    parallel.make(run.parallel)
    with locks.held(workdir) if parallel.writes() else contextlib.nullcontext():
        _about(recipe, workdir, write=parallel.writes())
        outcomes = _run_rows(run, recipe, rows, said)
    codes = [_CODES[o.kind] for o in outcomes.values() if o.kind in _CODES]
    return _summary(recipe, rows, outcomes, workdir, "run"), min(codes, default=0)


def _listed(row: Row, run: SweepRun) -> str:
    waits = f"  (waits for {', '.join(row.waits_for)})" if row.waits_for else ""
    before, after = (row.published[name] for name in ("non_adapted", "adapted"))
    numbers = "" if before is None and after is None else f"  published {_percent(before)} -> {_percent(after)}"
    return f"{row.number:4d} {row.name}{numbers}{waits}\n     {command(run.adapt_run(row))}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _foreseen(run: SweepRun, rows: Sequence[Row]) -> dict[int, Outcome]:
    """What would become of each row; it is printed."""
    finished, outcomes = _Finished(run), {}
    for row in rows:
        outcome = lacking(row, run.roots) or Outcome("finished" if finished.has(row) else "run")
        outcomes[row.number] = outcome
        print(f"{row.number:4d} {row.name}: {outcome.sentence or {'run': 'can run'}.get(outcome.kind, outcome.kind)}")
    return outcomes


def _run_rows(run: SweepRun, recipe: Recipe, rows: Sequence[Row], said: str) -> dict[int, Outcome]:
    finished, outcomes = _Finished(run), {}
    for row in rows:
        known = lacking(row, run.roots) or (Outcome("finished") if finished.has(row) else None)
        if known:
            outcomes[row.number] = known
    _note(run, recipe, outcomes)
    waiting = [row for row in rows if row.number not in outcomes]
    memory: dict[str, Any] = {}
    programs = Programs()
    folder = None
    with tqdm(total=sum(map(work, waiting)), desc="all rows", bar_format=_BAR) as bar:
        for place, row in enumerate(waiting, 1):
            bar.set_postfix_str(f"row {place} of {len(waiting)}: {row.name}")
            if folder not in (None, row.folder):
                programs.forget()
            folder = row.folder
            outcomes[row.number] = _run_row(run, recipe, row, finished.key(row), said, memory, programs)
            _note(run, recipe, outcomes)
            bar.update(work(row))
    return outcomes


_BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"


def work(row: Row) -> float:
    """Roughly how long a row takes beside others: hours of sound that go through the network."""
    dataset = sets.REGISTRY[row.dataset]
    clips = dataset.counts.get("test", 1000)
    return (row.epochs + 1) * clips * dataset.length / dataset.sample_rate / 3600


def _run_row(
    run: SweepRun, recipe: Recipe, row: Row, key: str, said: str, memory: dict[str, Any], programs: Programs
) -> Outcome:
    mine = run.adapt_run(row)
    extra: Mapping[str, Any] = {
        "recipe": {"name": recipe.name, "row": row.number, "source": row.source, "key": key, "command": command(mine)},
        "published": row.published,
    }
    ran: list[bool] = []
    try:
        adapt(mine, said, ran.append, extra=extra, memory=memory, programs=programs)
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        return Outcome("bad_input", str(error))
    except FloatingPointError as error:
        return Outcome("diverged", str(error))
    return Outcome("run" if any(ran) else "finished")


def _note(run: SweepRun, recipe: Recipe, outcomes: Mapping[int, Outcome]) -> None:
    """Rewrites the list of rows that did not run: those of these outcomes are new, those of other rows stay."""
    if not parallel.writes():
        return
    path = Path(run.workdir) / UNAVAILABLE
    listed: dict[int, dict[str, Any]] = {}
    if path.exists():
        listed = {entry["row"]: entry for entry in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    for row in recipe.rows:
        if row.number in outcomes:
            listed.pop(row.number, None)
            outcome = outcomes[row.number]
            if outcome.kind in REASONS:
                about = {name: getattr(row, name) for name in ("dataset", "net", "corruption", "level", "method")}
                reason = {"kind": outcome.kind, "reason": outcome.sentence, "command": command(run.adapt_run(row))}
                listed[row.number] = {"recipes": recipe.name, "row": row.number, **about, **reason}
    if listed or path.exists():
        _write(path, "".join(json.dumps(listed[number]) + "\n" for number in sorted(listed)))


def _summary(recipe: Recipe, rows: Sequence[Row], outcomes: Mapping[int, Outcome], workdir: Path, ran: str) -> str:
    """What became of the rows, and the sentences of those that stopped."""
    counts = Counter(outcome.kind for outcome in outcomes.values())
    words = {"run": ran, "finished": "finished before", **REASONS}
    parts = [f"{counts[kind]} {text}" for kind, text in words.items() if counts[kind]]
    stopped = [f"row {n}: {o.sentence}" for n, o in sorted(outcomes.items()) if o.kind in _CODES]
    listed = f" (reasons: {workdir / UNAVAILABLE})" if any(counts[kind] for kind in REASONS) else ""
    lines = [*stopped, f"{len(rows)} rows of {recipe.name}: {', '.join(parts)}{listed}: {workdir / records.FILE}"]
    return "\n".join(lines)
