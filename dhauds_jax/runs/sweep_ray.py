"""The rows of a sweep on the machines of a Ray cluster: a task a row, retried where its worker is lost, one result.

A row runs as a sweep of its own in WORKDIR/rows/row-NUMBER. Where the machines share that folder, a row whose worker
was lost goes on from its saved state; elsewhere it begins anew. This process brings what a row leaves to WORKDIR.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dhauds_jax.errors import BadInput, check_number
from dhauds_jax.estimates import say
from dhauds_jax.files import write_atomically
from dhauds_jax.recipes.table import Recipe, Row
from dhauds_jax.runs import sweep_outcomes
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep_finished import COPIES, Finished
from dhauds_jax.runs.sweep_outcomes import Outcome
from dhauds_jax.wording import counted
from dhauds_jax.workdir import records

ROWS = "rows"
"""Folder in the work folder with one of each row that is not finished, row-NUMBER."""

Left = dict[str, Any]
"""What a row left: `records`, `copies` (`sweep_finished.COPIES`), `outcome` (kind, sentence), `traceback`."""

FOLDERS = ("data_root", "noise_dir", "checkpoint_root", "workdir")


def check(run: SweepRun) -> None:
    """Raises `BadInput` for flags that do not fit, or where Ray is not installed."""
    if run.engine == "local":
        if (run.workers, run.retries, run.ray_address) != tuple(SweepRun.defaults()[name] for name in _OWN):
            raise BadInput("--workers, --retries and --ray_address: expected with --engine=ray")
        return
    check_number("--workers", run.workers, 0)
    check_number("--retries", run.retries, 0)
    if run.parallel != "jit":
        raise BadInput(f"--engine=ray: --parallel={run.parallel}, expected jit: a row runs on one device")
    try:
        from dhauds_jax.serve import ray_cluster
    except ImportError as error:  # of the service's packages, which come with the same extra
        raise BadInput(f"--engine=ray: {error}, expected: pip install 'dhauds_jax[serve-ray]'") from error
    ray_cluster.check_package()


_OWN = ("workers", "retries", "ray_address")


def placed(run: SweepRun) -> SweepRun:
    """The run with whole paths, which lead to the same on every machine."""
    found = {name: str(Path(getattr(run, name)).resolve()) for name in FOLDERS if getattr(run, name)}
    recipes = str(Path(run.recipes).resolve()) if Path(run.recipes).is_file() else run.recipes
    return run.replace(**found, recipes=recipes)


def run_row(run: SweepRun, number: int, shard: str, command: str) -> Left:
    """Runs one row, on whatever machine this is, and says what it left.

    Args:
      run: the sweep's flags, with whole paths.
      number: of the row.
      shard: that picks it, I/N.
      command: of the sweep, for the records.
    """
    from dhauds_jax.runs.sweep import sweep

    folder = Path(run.workdir or "") / ROWS / f"row-{number}"
    defaults = {name: SweepRun.defaults()[name] for name in ("engine", *_OWN)}
    sweep(run.replace(**defaults, shard=shard, workdir=str(folder)), command)
    listed = sweep_outcomes.listed(folder / sweep_outcomes.UNAVAILABLE).get(number)
    outcome = [listed["kind"], listed["reason"]] if listed else ["run", ""]
    path = folder / sweep_outcomes.BUGS / f"row-{number}.txt"
    copies = folder / COPIES
    return {
        "records": [dict(record) for record in records.read(folder)],
        "copies": json.loads(copies.read_text(encoding="utf-8")) if copies.is_file() else {},
        "outcome": outcome,
        "traceback": path.read_text(encoding="utf-8") if path.is_file() else "",
    }


def brought(run: SweepRun, row: Row, left: Left, finished: Finished) -> Outcome:
    """Brings what a row left to the work folder; records that are there already are not doubled."""
    workdir = Path(run.workdir or "")
    there = finished.recorded(row)
    for record in left["records"]:
        if record["cell"] not in there:
            records.append(workdir, record)
    finished.take(left["records"], left["copies"])
    if left["traceback"]:
        path = sweep_outcomes.traceback_file(workdir, row)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, left["traceback"])
    return Outcome(*left["outcome"])


def run_rows(
    run: SweepRun,
    recipe: Recipe,
    waiting: Sequence[Row],
    finished: Finished,
    command: str,
    note: Callable[[Mapping[int, Outcome]], None],
) -> dict[int, Outcome]:
    """What became of the rows that wait, each on a worker of the cluster; records are brought as they come.

    Raises:
      BadInput: there is no cluster at the address.
    """
    import ray

    from dhauds_jax.serve import ray_cluster

    outcomes: dict[int, Outcome] = {}
    whole, places = placed(run), {row.number: place for place, row in enumerate(recipe.rows, 1)}
    with ray_cluster.joined(run.ray_address):
        share, workers = _share(run.workers)
        task = ray.remote(max_retries=run.retries, **share)(run_row)
        say(f"work: {counted(len(waiting), 'row')} on {counted(workers, 'worker')}, {run.retries} retries each")

        def submit(row: Row) -> Any:
            alone = whole.replace(only=())
            return task.remote(alone, row.number, f"{places[row.number]}/{len(recipe.rows)}", command)

        for row, left in _as_they_come(waiting, submit, workers):
            try:
                if isinstance(left, Exception):
                    raise left
                outcomes[row.number] = brought(run, row, left, finished)
            except Exception as error:
                outcomes[row.number] = sweep_outcomes.of_error(error, row, Path(run.workdir or ""))
            note(outcomes)
            print(f"{row.name}: {outcomes[row.number].sentence or outcomes[row.number].kind}", flush=True)
    return outcomes


def _share(workers: int) -> tuple[dict[str, float], int]:
    """What a row gets of the cluster, and how many run at a time: as asked, or one a GPU, or one a core."""
    import ray

    found = ray.cluster_resources()
    gpus, cpus = int(found.get("GPU", 0)), max(1, int(found.get("CPU", 1)))
    if gpus:
        return {"num_gpus": 1, "num_cpus": 1}, workers or gpus  # those beyond the GPUs wait in Ray's queue
    workers = workers or cpus
    return {"num_cpus": cpus // workers if workers <= cpus else round(cpus / workers, 3)}, workers


def _as_they_come(rows: Iterable[Row], submit: Callable[[Row], Any], workers: int) -> Iterator[tuple[Row, Any]]:
    """Every row with what it left, or with the error that it ended with; `workers` rows are under way at a time."""
    import ray

    rows, under_way = iter(rows), {}
    while True:
        while len(under_way) < workers and (row := next(rows, None)) is not None:
            under_way[submit(row)] = row
        if not under_way:
            return
        (done, *_), _ = ray.wait(list(under_way), num_returns=1)
        row = under_way.pop(done)
        try:
            yield row, ray.get(done)
        except Exception as error:  # of the task, or of a worker that was lost once too often
            yield row, error
