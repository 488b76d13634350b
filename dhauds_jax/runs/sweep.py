"""The loop of `experiments.sweep`: which rows, what each needs, what became of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax import json_texts, parallel, schemas
from dhauds_jax.cells.programs import Programs
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.files import write_atomically
from dhauds_jax.progress import progress_bar
from dhauds_jax.recipes.rows import command as command_of
from dhauds_jax.recipes.rows import selected
from dhauds_jax.recipes.table import Recipe, Row, read
from dhauds_jax.runs import sweep_outcomes, sweep_ray
from dhauds_jax.runs.adapt import results
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep_finished import Finished, adapt_run_of, roots_of
from dhauds_jax.runs.sweep_outcomes import Outcome, lacking
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records

FORMAT = 1
"""Of the files that a sweep leaves in its work folder; a folder of another one is refused."""
ABOUT = "sweep.json"


def _about(recipe: Recipe, workdir: Path, write: bool) -> None:
    """Writes what a work folder is for, or checks it against what an earlier sweep wrote there."""
    schema = schemas.Schema(FORMAT)
    wanted = {**schemas.stamp(schema), "recipes": recipe.name, "digest": recipe.digest}
    path = workdir / ABOUT
    if not path.exists():
        if write:
            write_atomically(path, json.dumps(wanted) + "\n")
        return
    try:
        found = json_texts.read(path)
        schemas.refuse_newer(found, schema, str(path))
        if {**found, schemas.WRITTEN_BY: wanted[schemas.WRITTEN_BY]} == wanted:  # whichever version wrote it
            return
        kept, other = found["format"], found["recipes"]
    except (AttributeError, json_texts.NotJson, KeyError, TypeError):
        raise BadInput(f"{path}: cannot be read, expected what a sweep wrote; give another --workdir") from None
    what = (
        f"a sweep of format {kept}, and this version writes format {FORMAT}"
        if kept != FORMAT
        else f"a sweep of {other}, and this one is of {recipe.name}"
        if other != recipe.name
        else f"a sweep of another version of {recipe.path.name} ({found.get('digest')}, now {recipe.digest})"
    )
    raise BadInput(f"{workdir}: holds {what}; give another --workdir")


def sweep(run: SweepRun, command: str) -> tuple[str, int]:
    """Runs the rows; returns the summary and the exit code.

    Args:
      run: the flags.
      command: the command line, for the records.

    Raises:
      BadInput: a table, a pattern, a shard or a work folder that cannot be used, before anything runs; another sweep
        in the work folder.
    """
    sweep_ray.check(run)
    recipe = read(run.recipes)
    rows = selected(recipe.rows, run.only, run.shard)
    if run.list:
        for row in rows:
            print(_listed(row, run))
        return f"{len(rows)} of {len(recipe.rows)} rows: {recipe.path}", 0
    if run.cost:
        from dhauds_jax.recipes import cost

        for line in cost.lines(rows, roots_of(run)):
            print(line, flush=True)
        return f"counted by XLA for {len(rows)} of {len(recipe.rows)} rows: {recipe.path}", 0
    if not run.workdir:
        raise BadInput("--workdir is missing: expected the folder for records (or --list)")
    workdir = Path(run.workdir)
    if run.dry_run:
        _about(recipe, workdir, write=False)
        return sweep_outcomes.summary(recipe, rows, _foreseen(run, rows), workdir, "can run"), 0
    parallel.make(run.parallel)
    with locks.held(workdir):
        _about(recipe, workdir, write=parallel.writes())
        outcomes = _run_rows(run, recipe, rows, command)
    text = sweep_outcomes.summary(recipe, rows, outcomes, workdir, "run")
    return text, sweep_outcomes.exit_code(outcomes)


def _listed(row: Row, run: SweepRun) -> str:
    waits = f"  (waits for {', '.join(row.waits_for)})" if row.waits_for else ""
    before, after = (row.published[name] for name in ("non_adapted", "adapted"))
    numbers = "" if before is None and after is None else f"  published {_percent(before)} -> {_percent(after)}"
    return f"{row.number:4d} {row.name}{numbers}{waits}\n     {command_of(adapt_run_of(run, row))}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def _known(row: Row, finished: Finished, workdir: Path | None) -> Outcome | None:
    """What is known of a row before it runs: finished, what it lacks, an error; None where it can run."""
    try:
        return lacking(row, roots_of(finished.run)) or (Outcome("finished") if finished.has(row) else None)
    except Exception as error:
        return sweep_outcomes.of_error(error, row, workdir)


_NOT_SEEN = "has a record; its data are not those that were seen last, and will be read to tell whether they differ"


def _foreseen(run: SweepRun, rows: Sequence[Row]) -> dict[int, Outcome]:
    """What would become of each row; it is printed."""
    finished, outcomes = Finished(run), {}
    for row in rows:
        outcome = _known(row, finished, None) or Outcome("run", _NOT_SEEN if finished.recorded(row) else "")
        outcomes[row.number] = outcome
        print(f"{row.number:4d} {row.name}: {outcome.sentence or {'run': 'can run'}.get(outcome.kind, outcome.kind)}")
    return outcomes


def _run_rows(run: SweepRun, recipe: Recipe, rows: Sequence[Row], command: str) -> dict[int, Outcome]:
    finished, outcomes = Finished(run), {}
    note = functools.partial(
        sweep_outcomes.note, Path(run.workdir), recipe, command=lambda row: command_of(adapt_run_of(run, row))
    )
    for row in rows:
        if known := _known(row, finished, Path(run.workdir)):
            outcomes[row.number] = known
    note(outcomes)
    waiting = [row for row in rows if row.number not in outcomes]
    if run.engine == "ray":
        return {**outcomes, **(sweep_ray.run_rows(run, recipe, waiting, finished, command, note) if waiting else {})}
    memory: dict[str, Any] = {}
    programs = Programs()
    folder = None
    hours = sum(map(hours_of_sound, waiting))
    estimate = Estimate(len(waiting), "row", work=hours, few=True)
    if waiting:
        epochs = counted(sum(row.epochs for row in waiting), "epoch")
        say(f"work: {len(waiting):,} of {counted(len(rows), 'row')}, {epochs}, {hours:,.1f} hours of sound in all")
    shown = {"bar_format": _BAR, "awaited": "the first one also reads and compiles"}
    with progress_bar(total=hours, desc="all rows", **shown) as bar:
        for place, row in enumerate(waiting, 1):
            bar.set_postfix_str(f"row {place} of {len(waiting)}: {row.name}")
            if folder not in (None, row.folder):
                programs.forget()
            folder = row.folder
            with within(len(waiting) > 1):
                outcomes[row.number] = _run_row(run, recipe, row, finished, command, memory, programs)
            (estimate.part if outcomes[row.number].kind == "run" else estimate.there)(hours_of_sound(row))
            note(outcomes)
            if outcomes[row.number].kind != "run":  # what is kept for the next row may be broken, or fill the memory
                programs.forget()
                memory.clear()
            bar.update(hours_of_sound(row))
    return outcomes


_BAR = "{desc} {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left{postfix}"


def hours_of_sound(row: Row) -> float:
    """Hours of sound that a row runs through the network: roughly how long it takes beside others."""
    dataset = sets.REGISTRY[row.dataset]
    clips = dataset.counts.get("test", 1000)
    return (row.epochs + 1) * clips * dataset.length / dataset.sample_rate / 3600


def _run_row(
    run: SweepRun,
    recipe: Recipe,
    row: Row,
    finished: Finished,
    command: str,
    memory: dict[str, Any],
    programs: Programs,
) -> Outcome:
    adaptation = adapt_run_of(run, row)
    extra: Mapping[str, Any] = {
        "recipe": {
            "name": recipe.name,
            "row": row.number,
            "source": row.source,
            "key": finished.key(row),
            "command": command_of(adaptation),
        },
        "published": row.published,
    }
    ran: list[bool] = []
    try:
        copy = finished.copy(row)
        found = [
            {**record, **extra}
            for record in results(adaptation, command, ran.append, extra=extra, memory=memory, programs=programs).found
        ]
        if not any(ran):  # its cell was run for another row, or by experiments.adapt: this row has a record of its own
            there = finished.recorded(row)
            for record in found:
                if record["cell"] not in there:
                    records.append(Path(run.workdir), record)
        finished.note(row, copy, found)
    except Exception as error:
        return sweep_outcomes.of_error(error, row, Path(run.workdir))
    return Outcome("run" if any(ran) else "finished")
