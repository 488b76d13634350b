"""A grid of learning rates x seeds of one cell, many runs at once (`dhauds_jax.tta.vectorised`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dhauds_jax.cells import input_statistics, subsets, targets, worklist
from dhauds_jax.cells.cell import Cell, cell_id
from dhauds_jax.cells.checking import Checked, check
from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun, title
from dhauds_jax.cells.running import plan_of, record_of, statistics_of
from dhauds_jax.cells.source import SourceModel, load_source
from dhauds_jax.cells.vectorised_loops import Lost, Replicas, through_epochs, through_streams
from dhauds_jax.cells.worklist import Work, works_of
from dhauds_jax.data import content
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.nets import masks, precision
from dhauds_jax.runs.adapt import remarks, summary
from dhauds_jax.runs.requests.study import StudyRun
from dhauds_jax.tta import flops as tta_flops
from dhauds_jax.tta import methods, protocols, vectorised
from dhauds_jax.tta.options import given_for
from dhauds_jax.types import RunInfo, Variables
from dhauds_jax.wording import counted, plural
from dhauds_jax.workdir import locks, records

PROTOCOLS = ("offline", "online")


class Group(NamedTuple):
    """Runs that go at once: every seed of `works` with every rate of `rates` (None: the method's own)."""

    works: list[tuple[int, Work]]
    rates: tuple[float | None, ...]


def _size(group: Group) -> int:
    return len(group.works) * len(group.rates)


def _numbers(flag: str, texts: Sequence[str], kind: type) -> list[Any]:
    """The distinct numbers of a list flag."""
    try:
        return list(dict.fromkeys(kind(text) for text in texts))
    except ValueError:
        word = "whole numbers" if kind is int else "numbers"
        raise BadInput(f"{flag}={','.join(texts)}: expected {word} separated by commas") from None


def adapt_run_of(run: StudyRun, seed: int, rate: float | None = None) -> AdaptRun:
    """The run of `experiments.adapt` that a copy stands for."""
    same = {name: value for name, value in run.as_dict().items() if name in AdaptRun.names()}
    lists = {name: [same[name]] for name in ("method", "corruption", "level", "protocol")}
    options = [*run.options, *([] if rate is None else [f"lr={rate}"])]
    return AdaptRun(**{**same, **lists, "seed": seed, "options": options, "save_every_s": 0.0})


def _check(run: StudyRun) -> tuple[list[int], dict[float | None, Checked]]:
    """The seeds, and of each rate what its flags mean, when all make sense."""
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
    checked = {rate: check(adapt_run_of(run, seeds[0], rate)) for rate in ((None,) if rates is None else rates)}
    pairs = next(iter(checked.values())).pairs
    if len(pairs) != 1:
        raise BadInput(f"--corruption={run.corruption}: a study is of one corruption at one level, got {len(pairs)}")
    return seeds, checked


def _reported(run: AdaptRun, loaded: targets.Loaded, pair: tuple[str, str]) -> targets.Corrupted | None:
    """The draw that is reported, one for all seeds; None where each reports what it adapts to."""
    if not worklist.reports_another(run, pair[0]):
        return None
    return worklist.evaluation(run, loaded, *pair, lambda: targets.noise_for(loaded, run.noise_dir, *pair))


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
@precision.exactly()
def run_study(run: StudyRun, command: str) -> str:
    """Runs every (rate, seed) that has no record yet; returns the sentence that says where they are.

    Raises:
      BadInput: bad input, before anything is written. FloatingPointError: all runs diverged.
    """
    seeds, checked = _check(run)
    rates, programs = tuple(checked), Programs()
    first, as_first = adapt_run_of(run, seeds[0], rates[0]), checked[rates[0]]
    source = load_source(first, as_first, programs)
    options = as_first.options[run.method]
    given = None if rates == (None,) else rates
    study = vectorised.study(run.method, source.classifier, options, rates=given)
    _note_copies(run, study, source, min(run.copies, len(seeds) * len(rates)))
    loaded = targets.load_for(first, run.split, source.classifier.config)
    loaded = subsets.only(loaded, run.subset) if run.subset else loaded
    workdir, clips = Path(run.workdir), content.of_split(loaded.clips)
    done = records.done(workdir)

    def cell_of(seed: int, work: Work, rate: float | None) -> Cell:
        mine = adapt_run_of(run, seed, rate)
        return worklist.cell_of(mine, checked[rate], source, work, run.protocol, run.method, clips)

    def finished(seed: int, work: Work, rate: float | None) -> bool:
        return cell_id(cell_of(seed, work, rate), source.sha256) in done.cells

    written, lost, reported = 0, [], _reported(first, loaded, as_first.pairs[0])
    at_once = max(1, run.copies // len(rates))
    total = len(seeds) * len(rates)
    grid = f"{counted(len(seeds), 'seed')} x {counted(len(rates), 'rate')}"
    say(f"work: {counted(total, 'run')} ({grid}) on {counted(len(loaded.clips.ids), 'clip')}")
    estimate = Estimate(total, "run", few=True)
    for k in range(0, len(seeds), at_once):
        works = [
            (seed, work)
            for seed in seeds[k : k + at_once]
            for work in works_of(adapt_run_of(run, seed), loaded, as_first.pairs, reported)
        ]
        groups = list(_groups(run, works, rates, finished))
        found_there = len(works) * len(rates) - sum(map(_size, groups))
        estimate.there(found_there, found_there)
        for group in groups:
            named = [[cell_of(seed, work, rate) for rate in group.rates] for seed, work in group.works]
            with within(total > run.copies):
                for cell, record in _run_group(study, group, named, source, programs, command):
                    if isinstance(record, Lost):
                        lost.append(f"seed {cell.seed}, lr {dict(cell.options).get('lr')}: {record.where}")
                        continue
                    records.append(workdir, record | remarks(first, loaded, record))
                    written += 1
                    print(summary(record, _given(run, cell)))
            estimate.part(_size(group), _size(group))
    there = len(seeds) * len(rates) - written - len(lost)
    if lost and not written and not there:
        raise FloatingPointError(f"none of {counted(len(lost), 'run')} has a record: {'; '.join(lost)}")
    said = [f"{counted(written, 'record')} written"]
    if there:
        said.append(f"{counted(there, 'was', 'were')} there already")
    if lost:
        said.append(f"{len(lost)} diverged and {plural(len(lost), 'has', 'have')} none ({'; '.join(lost)})")
    return f"{', '.join(said)}{done.note}: {workdir / records.FILE}"


def _given(run: StudyRun, cell: Cell) -> dict[str, str]:
    """The options that a run's line names: those of `--options`, and its rate where rates vary."""
    rate = {} if run.lr is None else {"lr": str(dict(cell.options)["lr"])}
    return given_for(run.method, run.options, [run.method]) | rate


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
    study: vectorised.Study,
    group: Group,
    named: list[list[Cell]],
    source: SourceModel,
    programs: Programs,
    command: str,
) -> Iterator[tuple[Cell, dict[str, Any] | Lost]]:
    """Runs a group and gives each cell's record (not yet written), or says where it diverged."""
    study = study._replace(seeds=len(named), rates=None if group.rates == (None,) else group.rates)
    sets, first, classifier = [work.target() for _, work in group.works], named[0][0], source.classifier
    # All seeds report one draw, which is measured once.
    shared_statistics = statistics_of(first, source, sets[0])
    statistics = [shared_statistics, *_others(shared_statistics, source, sets[1:])]
    plans = [plan_of(row[0], study.method.passes) for row in named]
    starts = [one.of("waves", source.variables) for one in statistics]
    clips, samples = sets[0].waves.shape
    steps = protocols.steps_per_epoch(clips, first.batch_size)
    info = RunInfo(steps, clips, len(classifier.config.classes), source.data_of(first.method), first.batch_size)
    methods.check_needs(first.method, study.method, source.variables, info)
    trees = source.variables if shared_statistics.rule is None else starts
    copies, shared = vectorised.start(study, trees, info)
    one = vectorised.state_of(copies, shared, (0, 0))
    flops = tta_flops.flops_per_clip(study.method.step, one, first.batch_size, samples)

    def logits_of(variables: Variables, waves: np.ndarray) -> np.ndarray:
        return programs.source_logits(classifier, variables, waves, first.batch_size)

    unadapted = [logits_of(v, t.waves) for v, t in zip(starts, sets, strict=True)]
    before = unadapted
    if first.protocol == "offline" and sets[0].evaluation is not None:
        before = [logits_of(shared_statistics.of("evaluation", source.variables), sets[0].evaluation)] * len(sets)
    through = through_epochs if first.protocol == "offline" else through_streams
    text = _text(study, first)
    found = through(Replicas(study, plans, sets, shared_statistics, copies, shared, unadapted, text))
    for k, r in np.ndindex(study.shape):
        trajectory, cell = found[k, r], named[k][r]
        if isinstance(trajectory, Lost):
            yield cell, trajectory
            continue
        mine = source._replace(variables=starts[k])
        record = record_of(cell, mine, sets[k], plans[k], before[k], trajectory, study.method, statistics[k], command)
        record["options"]["vectorised"] = int(np.prod(study.shape))
        yield cell, {**record, "flops_per_clip": flops}


def _others(
    first: input_statistics.InputStatistics, source: SourceModel, sets: Sequence[targets.Target]
) -> list[input_statistics.InputStatistics]:
    """The statistics of further seeds, whose sets that are adapted to are their own."""
    config = source.classifier.config
    return [first._replace(waves=input_statistics.measured(config, first.rule, one.waves)) for one in sets]


def _text(study: vectorised.Study, cell: Cell) -> str:
    seeds, rates = study.shape
    grid = f"{counted(seeds, 'seed')} x {counted(rates, 'rate')}"
    return f"{title(cell.corruption, cell.level)} {cell.method} {cell.protocol} {grid}"
