"""All cells of one `experiments.adapt` command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dhauds_jax import metrics, parallel
from dhauds_jax.cells import subsets
from dhauds_jax.cells.cell import cell_id
from dhauds_jax.cells.checking import check
from dhauds_jax.cells.planned import Name, begun_in, plan_of
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun, title
from dhauds_jax.cells.running import run_cell, saver_of
from dhauds_jax.cells.source import load_source
from dhauds_jax.cells.targets import Loaded, load_for
from dhauds_jax.cells.worklist import cell_of, works_of
from dhauds_jax.data import content
from dhauds_jax.estimates import say
from dhauds_jax.files import check_no_links
from dhauds_jax.nets import precision
from dhauds_jax.nets.config import reading
from dhauds_jax.tta import batchwise
from dhauds_jax.tta.options import given_for
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records


def _kept(memory: dict[str, Any] | None, name: str, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gave for this key in the call before, else what it gives now; the older thing is dropped first."""
    if memory is None:
        return make()
    if memory.get(name, (None,))[0] != key:
        memory.pop(name, None)
        memory[name] = (key, make())
    return memory[name][1]


def drawing_of(run: AdaptRun) -> AdaptRun:
    """A run without what does not touch its corrupted sets."""
    kept = AdaptRun(dataset=run.dataset, checkpoint=run.checkpoint, corruption=run.corruption, workdir="")
    other = ("method", "options", "criterion", "protocol_options", "workdir", "precision", "parallel", "remat")
    other += ("epochs", "batch_size", "save_every_s", "updates_per_dispatch")
    return run.replace(**{name: getattr(kept, name) for name in other})


class Results(NamedTuple):
    """The records of a run's cells, in their order.

    Attributes:
      found: each cell's record, run now or finished before.
      written: how many were run now.
      set_aside: a clause about records of another format in the work folder; "" without such.
    """

    found: list[dict[str, Any]]
    written: int
    set_aside: str

    def sentence(self, workdir: str) -> str:
        """How many there are, and where they lie."""
        skipped = len(self.found) - self.written
        there = f", {counted(skipped, 'was', 'were')} there already" if skipped else ""
        return f"{counted(self.written, 'record')} written{there}{self.set_aside}: {Path(workdir) / records.FILE}"


@precision.exactly()
@locks.holding()
def results(
    run: AdaptRun,
    command: str,
    on_cell: Callable[[bool], None] = lambda ran: None,
    *,
    extra: Mapping[str, Any] = MappingProxyType({}),
    memory: dict[str, Any] | None = None,
    programs: Programs | None = None,
) -> Results:
    """Runs every cell of the flags' lists that has no record yet, and gives the records of all.

    Nothing is corrupted for a cell that has its record.

    Args:
      run: the flags.
      command: the command line, for the records.
      on_cell: is told of every cell, and whether it was run or was there already.
      extra: goes into every record.
      memory: hands the loaded split and the last drawn sets on to the next call that is given the same dict.
      programs: hands on what was compiled.

    Raises:
      BadInput: bad input, before anything is written. FloatingPointError: a loss is not finite.
    """
    checked = check(run)
    check_no_links(run.workdir, "embeddings", "examples")
    programs = Programs() if programs is None else programs
    where = parallel.make(run.parallel)
    source = load_source(run, checked, programs)
    config = source.classifier.config
    place = (run.dataset, run.data_dir, run.split, run.allow_partial, run.on_bad_file)
    place = (*place, config.sample_rate, config.length, *reading(config.front_end).values())
    loaded = _kept(memory, "split", place, lambda: load_for(run, run.split, config))
    if run.subset:
        whole = loaded
        loaded = _kept(memory, "subset", (place, run.subset), lambda: subsets.only(whole, run.subset))
    clips = _kept(memory, "clips", (place, loaded.clips.ids), lambda: content.of_split(loaded.clips))
    workdir = Path(run.workdir)
    parallel.wait("records")  # the first process may still be adding what a row before this one gave
    done = records.done(workdir)
    plan = plan_of(run, checked, source, done.cells.values(), begun_in(workdir))
    if plan.left:
        say(plan.says(len(loaded.clips.ids)))
    found: list[dict[str, Any]] = []
    written = 0
    gather = iter if memory is None else list
    for work in _kept(memory, "works", (place, drawing_of(run)), lambda: gather(works_of(run, loaded, checked.pairs))):
        work = work._replace(draw=(*work.draw, *_conditions(run, loaded)))
        for protocol in work.protocols:
            for method in dict.fromkeys(run.method):
                cell = cell_of(run, checked, source, work, protocol, method, clips)
                record = done.cells.get(cell_id(cell, source.sha256))
                ran = record is None or (run.embeddings and "silhouette" not in record)
                if ran:
                    with plan.running(Name(work.corruption, work.level, protocol, method)):
                        record = run_cell(
                            cell,
                            source,
                            work.target(),
                            workdir,
                            command=command,
                            programs=programs,
                            save_every_s=run.save_every_s,
                            with_embeddings=run.embeddings,
                            where=where,
                            together=run.updates_per_dispatch,
                        )
                    record |= remarks(run, loaded, record) | dict(extra)
                    records.append(workdir, record)
                    written += 1
                    print(summary(record, given_for(method, run.options, run.method)))
                saver_of(cell, source, workdir).clear()  # its record is there; also of a run killed in between
                found.append(record)
                on_cell(ran)
    return Results(found, written, done.note)


@locks.holding()
def adapt(
    run: AdaptRun,
    command: str,
    on_cell: Callable[[bool], None] = lambda ran: None,
    *,
    extra: Mapping[str, Any] = MappingProxyType({}),
    memory: dict[str, Any] | None = None,
    programs: Programs | None = None,
) -> str:
    """Runs what `results` runs; returns the sentence that says where the records are."""
    return results(run, command, on_cell, extra=extra, memory=memory, programs=programs).sentence(run.workdir)


def _conditions(run: AdaptRun, loaded: Loaded) -> list[tuple[str, Any]]:
    """What a record says beside the draw and what names another cell, where it is not as usual."""
    left_out = len(loaded.clips.skipped)
    found = [("skipped", left_out), ("precision", run.precision), ("remat", run.remat)]
    return [(name, value) for name, value in found if value not in (0, "float32", False)]


def remarks(run: AdaptRun, loaded: Loaded, record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says that names no cell: notices about files, and the name of the list of clips."""
    options = {**record["options"], **subsets.remark(run.subset)}
    return {"notices": list(loaded.clips.notices), "skipped": len(loaded.clips.skipped), "options": options}


def summary(record: dict[str, Any], given: Mapping[str, str] = MappingProxyType({})) -> str:
    """One line about a finished cell; `given` are the options that its method was given, and stand behind its name."""
    listed = ", ".join(f"{key}={value}" for key, value in given.items())
    method = f"{record['method']} [{listed}]" if listed else record["method"]
    cell = f"{title(record['corruption'], record['level'])} {method} {record['protocol']}"
    words = [f"{cell} seed {record['seed']}:"]
    for name in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"):
        words.append(f"{name.removeprefix('adapted_')} {100 * record[name]:.1f}")
    words.append(f"({record['metric']} in %, {record['seconds']:.0f} s)")
    if record["collapsed"]:
        words.append(f"COLLAPSED: more than {100 * metrics.COLLAPSE_SHARE:.0f} % of the predictions are one class")
    if idle := batchwise.idle_said(record["curve"][-1]["losses"]):
        words.append(f"IDLE: {idle}")
    if chose := batchwise.chose_said(record["curve"][-1]["losses"]):
        words.append(f"chose {chose} of the updates")
    return " ".join(words)
