"""The cells of an `experiments.adapt` command by their names alone, before a file is read: how many, and how heavy."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dhauds_jax.cells import subsets
from dhauds_jax.cells.checking import Checked
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.cells.worklist import GRADES, epochs_of, set_name
from dhauds_jax.data.corruptions import joined, public
from dhauds_jax.estimates import Estimate, within
from dhauds_jax.names import CLEAN
from dhauds_jax.tta import methods, protocols
from dhauds_jax.types import Classifier
from dhauds_jax.wording import counted
from dhauds_jax.workdir.saver import Saver


class Name(NamedTuple):
    """What a cell is called within its command."""

    corruption: str
    level: str
    protocol: str
    method: str


class Plan:
    """The cells of a command: how many, which have a record, how long the others take."""

    def __init__(
        self,
        passes: Mapping[Name, int],
        there: Collection[Name],
        clock: Callable[[], float] = time.monotonic,
        begun: Mapping[Name, float] = MappingProxyType({}),
    ):
        """The plan.

        Args:
          passes: over the clips that every cell takes.
          there: the cells that have a record.
          clock: gives seconds.
          begun: the share that an earlier sitting did of others.
        """
        self._left, self._there = passes.keys() - there, len(passes.keys() & there)
        self._begun = len(self._left & begun.keys())
        self._passes = {name: max(1, round(count * (1 - begun.get(name, 0.0)))) for name, count in passes.items()}
        self.left, self._work = len(self._left), sum(self._passes[name] for name in self._left)
        self._to_compile = {(name.protocol, name.method) for name in self._left}
        self._share = len(self._left) > len(self._to_compile)
        self._estimate = Estimate(
            self.left, "cell", work=self._work, few=True, resumed=self._there + self._begun > 0, clock=clock
        )

    def says(self, clips: int) -> str:
        """How much is to be done on so many clips."""
        there = f"; {counted(self._there, 'other has', 'others have')} a record" if self._there else ""
        rest = "left" if self._begun else "in all"
        passes = f"{counted(self._work, 'pass', 'passes')} over them {rest} (a backward pass counts as two)"
        begun = f"; {counted(self._begun, 'of them goes', 'of them go')} on where it was" if self._begun else ""
        return f"work: {counted(self.left, 'cell')} of {counted(clips, 'clip')}, {passes}{begun}{there}"

    @contextlib.contextmanager
    def running(self, name: Name) -> Iterator[None]:
        """Runs a cell, which speaks for itself where it is the only one; then says the estimate if it is time."""
        with within(self.left > 1):
            yield
        if name not in self._left:
            return
        program = (name.protocol, name.method)
        if self._share and program in self._to_compile:
            self._estimate.compiled(self._passes[name])
        else:
            self._estimate.part(self._passes[name], compiling=len(self._to_compile - {program}))
        self._to_compile.discard(program)


def begun_in(workdir: Path) -> list[dict[str, Any]]:
    """What lies beside the states of the unfinished cells of a work folder (`running.saver_of`)."""
    folders = sorted(path for path in (workdir / "state").glob("*") if path.is_dir())
    found = [Saver(folder).info() for folder in folders]
    return [info for info in found if isinstance(info.get("identity"), dict) and "of" in info]


def plan_of(
    run: AdaptRun,
    checked: Checked,
    source: SourceModel,
    records: Iterable[Mapping[str, Any]],
    unfinished: Iterable[Mapping[str, Any]] = (),
) -> Plan:
    """The plan of a command; `records` are those of its work folder, and `unfinished` is `begun_in` it.

    A record of the same names, options, draws and weights is taken for the cell's own: whether its data are the same is
    seen when these are made.
    """
    same = {
        "dataset": set_name(run.dataset, run.split),
        "profile": run.profile,
        "seed": run.seed,
        "source_checkpoint": source.sha256,
    }

    def is_one(record: Mapping[str, Any]) -> bool:
        method, protocol = record.get("method"), record.get("protocol")
        if method not in run.method or protocol not in run.protocol:
            return False
        offline = protocols.PROTOCOLS[protocol].epochs
        options = {**checked.options[method], "batch_size": run.batch_size}
        options |= {"epochs": epochs_of(run, protocol, method)}
        options |= {"subset": None, **subsets.remark(run.subset)}
        if record["corruption"] != CLEAN and not (run.corrupted_dir or run.adaptation_dir):
            two = bool(offline) and run.draw == "two"
            options["draw"] = "two" if two else "single"
            options["evaluation_draw_seed"] = run.evaluation_seed if two else None
        if record["selection"]["criterion"] != run.criterion:
            return False
        if record["protocol_options"] != checked.protocol_options[protocol]:
            return False
        return all(record.get(key) == value for key, value in same.items()) and all(
            str(record["options"].get(key)) == str(value) for key, value in options.items()
        )

    there = {Name(*(record[key] for key in Name._fields)) for record in records if is_one(record)}
    begun = {}
    for info in unfinished:
        cell = dict(info["identity"])
        cell["options"] = {**cell.get("options", {}), **subsets.remark(run.subset)}
        if is_one(cell):
            begun[Name(*(cell[key] for key in Name._fields))] = info["position"] / max(1, info["of"])
    return Plan(_passes(run, checked, source.classifier), there, begun=begun)


def _passes(run: AdaptRun, checked: Checked, classifier: Classifier) -> dict[Name, int]:
    """Every cell with its passes over one corruption's clips; a backward pass counts as two."""
    found: dict[Name, int] = {}
    made = {name: methods.make(name, classifier, checked.options[name]).passes for name in dict.fromkeys(run.method)}
    for corruption, level, protocol, domains in _targets(run, checked.pairs):
        offline = protocols.PROTOCOLS[protocol].epochs
        for method, (forward, backward) in made.items():
            epochs = epochs_of(run, protocol, method)
            looked_at = (epochs + 2) * (2 if run.draw == "two" and corruption != CLEAN else 1) if offline else 1
            passes = epochs * (forward + 2 * backward) + looked_at
            found[Name(corruption, level, protocol, method)] = domains * passes
    return found


def _targets(run: AdaptRun, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, str, int]]:
    """Corruption, level, protocol and number of domains of what a run works on, as `worklist.works_of` has it."""
    shown = [(public(corruption), level) for corruption, level in pairs]
    broken = [pair for pair in shown if pair[0] != CLEAN]
    found, grades = [], "+".join(dict.fromkeys(GRADES))
    for protocol in dict.fromkeys(run.protocol):
        domains = protocols.PROTOCOLS[protocol].domains
        if domains == "one":
            found += [(*pair, protocol, 1) for pair in shown]
        elif domains == "several" and broken:
            names = [dict.fromkeys(part) for part in zip(*broken, strict=True)]
            found.append((joined(names[0]), "+".join(names[1]), protocol, len(broken)))
        elif domains == "levels":
            names = dict.fromkeys(name for name, _ in broken)
            found += [(corruption, grades, protocol, 1 + len(GRADES)) for corruption in names]
    return found
