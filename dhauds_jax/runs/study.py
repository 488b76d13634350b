"""A grid of learning rates x seeds of one cell, many runs at once (`dhauds_jax.tta.vectorised`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.cells import input_statistics, programs, targets, worklist
from dhauds_jax.cells.cell import Cell, cell_id
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.running import input_rule, measured_statistics, plan_of, record_of
from dhauds_jax.cells.source import SourceModel, load_source
from dhauds_jax.cells.vectorised_loops import Lost, through_epochs, through_streams
from dhauds_jax.cells.worklist import Work, works_of
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import masks
from dhauds_jax.runs import adapt
from dhauds_jax.runs.requests.study import StudyRun
from dhauds_jax.tta import flops as tta_flops
from dhauds_jax.tta import methods, protocols, vectorised
from dhauds_jax.tta.options import parse_options
from dhauds_jax.types import RunInfo
from dhauds_jax.workdir import locks, records

PROTOCOLS = ("offline", "online")


class Group(NamedTuple):
    """Runs that go at once: every seed of `works` with every rate of `rates` (None: the method's own)."""

    works: list[tuple[int, Work]]
    rates: tuple[float | None, ...]


def _numbers(flag: str, texts: Sequence[str], kind: type) -> list[Any]:
    """The distinct numbers of a list flag."""
    try:
        return list(dict.fromkeys(kind(text) for text in texts))
    except ValueError:
        word = "whole numbers" if kind is int else "numbers"
        raise BadInput(f"{flag}={','.join(texts)}: expected {word} separated by commas") from None


def _adapt_run(run: StudyRun, seed: int, rate: float | None = None) -> AdaptRun:
    """The run of `experiments.adapt` that a copy stands for."""
    same = {name: value for name, value in run.as_dict().items() if name in AdaptRun.names()}
    lists = {name: [same[name]] for name in ("method", "corruption", "level", "protocol")}
    options = [*run.options, *([] if rate is None else [f"lr={rate}"])]
    return AdaptRun(**{**same, **lists, "seed": seed, "options": options, "save_every_s": 0.0})


def _check(run: StudyRun) -> tuple[list[int], tuple[float | None, ...], tuple[str, str]]:
    """(seeds, rates, (corruption, level)), when all flags make sense."""
    if run.protocol not in PROTOCOLS:
        raise BadInput(f"--protocol={run.protocol}: a study takes {' or '.join(PROTOCOLS)}; use experiments.adapt")
    if run.copies < 1:
        raise BadInput(f"--copies={run.copies}: expected at least 1 run at once")
    seeds = _numbers("--seeds", run.seeds, int)
    if not seeds:
        raise BadInput("--seeds is empty: expected at least one whole number")
    if run.lr is not None and any(text.partition("=")[0] in ("lr", f"{run.method}.lr") for text in run.options):
        raise BadInput("--options sets lr, and --lr does too: expected one of the two")
    rates = None if run.lr is None else _numbers("--lr", run.lr, float)
    vectorised.check_rates(run.method, methods.default_options(run.method, run.profile), rates)
    pairs = adapt.check(_adapt_run(run, seeds[0]))
    if len(pairs) != 1:
        raise BadInput(f"--corruption={run.corruption}: a study is of one corruption at one level, got {len(pairs)}")
    return seeds, (None,) if rates is None else tuple(rates), pairs[0]


def _works(
    run: StudyRun, loaded: targets.Loaded, seeds: Sequence[int], pair: tuple[str, str], drawn: dict[str, Any]
) -> Iterator[tuple[int, Work]]:
    """What each seed adapts to; the draw that is reported is one for all and is kept in `drawn`."""
    for seed in seeds:
        mine = _adapt_run(run, seed)
        if "evaluation" in drawn:
            mine = mine.replace(draw="single")
        (work,) = works_of(mine, loaded, [pair])
        reported = tuple(item for item in work.draw if item[0].startswith("evaluation_"))
        if "evaluation" in drawn:
            both = (("draw", "two"), *work.draw[1:], *drawn["draw"])
            work = work._replace(draw=both, target=work.target._replace(evaluation=drawn["evaluation"]))
        elif work.target.evaluation is not None:
            drawn |= {"evaluation": work.target.evaluation, "draw": reported}
        yield seed, work


def _groups(
    run: StudyRun, works: Sequence[tuple[int, Work]], rates: Sequence[float | None], finished: Any
) -> Iterator[Group]:
    """The runs that are not `finished(seed, work, rate)`, as full grids of at most `--copies` runs."""
    by_rates: dict[tuple[float | None, ...], list[tuple[int, Work]]] = {}
    for seed, work in works:
        left = tuple(rate for rate in rates if not finished(seed, work, rate))
        if left:
            by_rates.setdefault(left, []).append((seed, work))
    for left, mine in by_rates.items():
        for i in range(0, len(left), run.copies):
            some = left[i : i + run.copies]
            each = max(1, run.copies // len(some))
            for k in range(0, len(mine), each):
                yield Group(mine[k : k + each], some)


@locks.holding()
def run_study(run: StudyRun, command: str) -> str:
    """Runs every (rate, seed) that has no record yet; returns the sentence that says where they are.

    Raises:
      BadInput: bad input, before anything is written.
    """
    seeds, rates, pair = _check(run)
    first = _adapt_run(run, seeds[0], rates[0])
    source = load_source(first)
    options = parse_options(run.method, run.profile, first.options, [run.method])
    given = None if rates == (None,) else rates
    study = vectorised.study(run.method, source.classifier, options, rates=given)
    _note_copies(run, study, source, min(run.copies, len(seeds) * len(rates)))
    loaded = targets.load_for(first, run.split, source.classifier.config)
    workdir = Path(run.workdir)
    done = {record.get("cell") for record in records.read(workdir)}

    def cell_of(seed: int, work: Work, rate: float | None) -> Cell:
        return worklist.cell_of(_adapt_run(run, seed, rate), source, work, run.protocol, run.method)

    def finished(seed: int, work: Work, rate: float | None) -> bool:
        return cell_id(cell_of(seed, work, rate), source.sha256) in done

    written, lost, drawn = 0, [], {}
    at_once = max(1, run.copies // len(rates))
    for k in range(0, len(seeds), at_once):
        works = list(_works(run, loaded, seeds[k : k + at_once], pair, drawn))
        for group in _groups(run, works, rates, finished):
            named = [[cell_of(seed, work, rate) for rate in group.rates] for seed, work in group.works]
            for cell, record in _run_group(study, group, named, source, command):
                if isinstance(record, Lost):
                    lost.append(f"seed {cell.seed}, lr {dict(cell.options).get('lr')}: {record.where}")
                    continue
                records.append(workdir, {**record, "notices": list(loaded.clips.notices), "skipped": 0})
                written += 1
                print(f"lr {dict(cell.options).get('lr', '-')} seed {cell.seed}: {adapt.summary(record)}")
    there = len(seeds) * len(rates) - written - len(lost)
    said = [f"{written} records written", *([f"{there} were there already"] if there else [])]
    if lost:
        said.append(f"{len(lost)} diverged and have none ({'; '.join(lost)})")
    return f"{', '.join(said)}: {workdir / records.FILE}"


def _note_copies(run: StudyRun, study: vectorised.Study, source: SourceModel, copies: int) -> None:
    """Says so when a method moves so much of the network that copies cost as much as networks."""
    params = source.variables["params"]
    moved, whole = masks.count(params, study.method.adapts), masks.count(params, "all")
    if moved > whole // 2:
        print(
            f"note: {run.method} moves {moved:,} of {whole:,} parameters, so they and the optimiser's state are copied "
            f"{copies} times ({copies * moved * 4 / 2**20:.0f} MiB for the parameters alone); --copies bounds it"
        )


def _run_group(
    study: vectorised.Study, group: Group, named: list[list[Cell]], source: SourceModel, command: str
) -> Iterator[tuple[Cell, dict[str, Any] | Lost]]:
    """Runs a group and gives each cell's record (not yet written), or says where it diverged."""
    study = study._replace(seeds=len(named), rates=None if group.rates == (None,) else group.rates)
    works, first = [work for _, work in group.works], named[0][0]
    rule, measured = input_rule(first, source), lambda waves: measured_statistics(first, source, waves)
    statistics = (measured(works[0].target.evaluation), None)
    plans = [plan_of(row[0], study.method.passes)._replace(statistics=statistics) for row in named]
    sources = [
        source._replace(variables=input_statistics.normalising(source.variables, measured(work.target.waves)))
        for work in works
    ]
    clips = len(works[0].target.waves)
    info = RunInfo(
        protocols.steps_per_epoch(clips, first.batch_size),
        clips,
        len(source.classifier.config.classes),
        source.data,
        first.batch_size,
    )
    methods.check_needs(first.method, study.method, source.variables, info)
    trees = source.variables if rule is None else [one.variables for one in sources]
    copies, shared = vectorised.start(study, trees, info)
    one = vectorised.state_of(copies, shared, (0, 0))
    flops = tta_flops.flops_per_clip(study.method, one, first.batch_size, works[0].target.waves.shape[1])
    unadapted = [
        programs.source_logits(s, w.target.waves, first.batch_size) for s, w in zip(sources, works, strict=True)
    ]
    through = through_epochs if first.protocol == "offline" else through_streams
    found = through(study, plans, [work.target for work in works], copies, shared, unadapted, _text(study, first))
    for k, r in np.ndindex(study.shape):
        passage, cell = found[k, r], named[k][r]
        if isinstance(passage, Lost):
            yield cell, passage
            continue
        record = record_of(cell, sources[k], works[k].target, plans[k], unadapted[k], passage, study.method, command)
        record["options"]["vectorised"] = int(np.prod(study.shape))
        if rule is not None:
            record["options"]["input_statistics"] = rule
        yield cell, {**record, "flops_per_clip": flops}


def _text(study: vectorised.Study, cell: Cell) -> str:
    shift = cell.corruption if cell.level == "-" else f"{cell.corruption}-{cell.level}"
    seeds, rates = study.shape
    return f"{shift} {cell.method} {cell.protocol} {seeds} seeds x {rates} rates"
