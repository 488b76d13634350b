"""All cells of one `experiments.adapt` command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dhauds_jax import metrics, parallel
from dhauds_jax.cells import targets
from dhauds_jax.cells.cell import cell_id
from dhauds_jax.cells.request import DRAWS, AdaptRun, title
from dhauds_jax.cells.running import run_cell
from dhauds_jax.cells.source import load_source
from dhauds_jax.cells.targets import load_for
from dhauds_jax.cells.worklist import cell_of, works_of
from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import precision
from dhauds_jax.tta import protocols, selection, wrappers
from dhauds_jax.tta.options import parse_options, parse_protocol_options
from dhauds_jax.workdir import locks, records


def check(run: AdaptRun) -> list[tuple[str, str]]:
    """Everything that can be said before a file is read; returns the (corruption, level) cells."""
    sets.get(run.dataset)
    precision.check_precision(run.precision)
    for name in run.method:
        parse_options(name, run.profile, run.options, run.method)
    for name in run.protocol:
        protocols.check_protocol(name)
        reset = parse_protocol_options(name, run.protocol_options, run.protocol).get("reset", "none")
        if reset == "domain" and protocols.PROTOCOLS[name].domains == "one":
            raise BadInput(
                f"--protocol_options: reset=domain, but protocol {name} has one domain; expected another rule"
            )
        wrappers.check_rule(reset)
    if run.draw not in DRAWS:
        raise BadInput(f"--draw={run.draw}: expected {' or '.join(DRAWS)}")
    if run.criterion not in (*selection.CRITERIA, *selection.WITH_VIEWS):
        valid = ", ".join((*selection.CRITERIA, *selection.WITH_VIEWS))
        raise BadInput(f"--criterion={run.criterion}: expected one of {valid}")
    if run.criterion in selection.WITH_VIEWS and not run.agreement:
        raise BadInput(f"--criterion={run.criterion} is recorded with --agreement alone: give it too")
    if run.epochs < 1 or run.batch_size < 2:
        raise BadInput("--epochs must be at least 1 and --batch_size at least 2 (batch statistics need two clips)")
    if run.updates_per_dispatch < 1:
        raise BadInput(f"--updates_per_dispatch={run.updates_per_dispatch}: expected at least 1")
    return targets.expand(run.corruption, run.level)


def _kept(memory: dict[str, Any] | None, name: str, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gave for this key in the call before, else what it gives now; the older thing is dropped first."""
    if memory is None:
        return make()
    if memory.get(name, (None,))[0] != key:
        memory.pop(name, None)
        memory[name] = (key, make())
    return memory[name][1]


def _drawing(run: AdaptRun) -> AdaptRun:
    """A run without what does not touch its corrupted sets."""
    kept = AdaptRun(dataset=run.dataset, checkpoint=run.checkpoint, corruption=run.corruption, workdir="")
    other = ("method", "options", "criterion", "protocol_options", "workdir", "precision", "parallel", "remat")
    other += ("epochs", "batch_size", "save_every_s", "updates_per_dispatch")
    return run.replace(**{name: getattr(kept, name) for name in other})


@precision.exactly()
@locks.holding()
def adapt(
    run: AdaptRun,
    command: str,
    on_cell: Callable[[bool], None] = lambda ran: None,
    *,
    extra: Mapping[str, Any] = MappingProxyType({}),
    memory: dict[str, Any] | None = None,
) -> str:
    """Runs every cell of the flags' lists that has no record yet; returns the sentence that says where they are.

    `on_cell` is told of every cell, and whether it was run or was there already. `extra` goes into every record.
    `memory` hands the loaded split and the last drawn sets on to the next call that is given the same dict.

    Raises:
      BadInput: bad input, before anything is written. FloatingPointError: a loss is not finite.
    """
    pairs = check(run)
    where = parallel.make(run.parallel)
    source = load_source(run)
    config = source.classifier.config
    place = (run.dataset, run.data_dir, run.split, run.allow_partial, run.on_bad_file)
    place = (*place, config.sample_rate, config.length)
    loaded = _kept(memory, "split", place, lambda: load_for(run, run.split, config))
    if run.subset:
        loaded = targets.only(loaded, run.subset)
    left_out = len(loaded.clips.skipped)
    workdir = Path(run.workdir)
    parallel.wait("records")  # the first process may still be adding what a row before this one gave
    done = {record.get("cell") for record in records.read(workdir)}
    written = skipped = 0
    gather = iter if memory is None else list
    for work in _kept(memory, "works", (place, _drawing(run)), lambda: gather(works_of(run, loaded, pairs))):
        if left_out:  # other clips, another cell
            work = work._replace(draw=(*work.draw, ("skipped", left_out)))
        if run.subset:
            work = work._replace(draw=(*work.draw, ("subset", Path(run.subset).name)))
        if run.precision != "float32":
            work = work._replace(draw=(*work.draw, ("precision", run.precision)))
        if run.remat:
            work = work._replace(draw=(*work.draw, ("remat", True)))
        for protocol in work.protocols:
            for method in run.method:
                cell = cell_of(run, source, work, protocol, method)
                if cell_id(cell, source.sha256) in done:
                    skipped += 1
                    on_cell(False)
                    continue
                record = run_cell(
                    cell,
                    source,
                    work.target,
                    workdir,
                    command=command,
                    save_every_s=run.save_every_s,
                    with_embeddings=run.embeddings,
                    where=where,
                    together=run.updates_per_dispatch,
                )
                records.append(workdir, {**record, "notices": list(loaded.clips.notices), "skipped": left_out, **extra})
                written += 1
                print(summary(record))
                on_cell(True)
    there = f", {skipped} were there already" if skipped else ""
    return f"{written} records written{there}: {workdir / records.FILE}"


def summary(record: dict[str, Any]) -> str:
    """One line about a finished cell."""
    words = [f"{title(record['corruption'], record['level'])} {record['method']} {record['protocol']}:"]
    for name in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"):
        words.append(f"{name.removeprefix('adapted_')} {100 * record[name]:.1f}")
    words.append(f"({record['metric']} in %, {record['seconds']:.0f} s)")
    if record["collapsed"]:
        words.append(f"COLLAPSED: more than {100 * metrics.COLLAPSE_SHARE:.0f} % of the predictions are one class")
    return " ".join(words)
