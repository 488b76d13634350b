"""All cells of one `experiments.adapt` command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from dhauds_jax.data import sets
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import precision, zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.tta import methods, metrics, parallel, protocols, selection, wrappers
from dhauds_jax.types import Classifier, SourceData
from experiments import cells, records, targets
from experiments.works import DRAWS, AdaptRun, Work, title, works_of


def parse_options(method: str, profile: str, given: Sequence[str], all_methods: Sequence[str]) -> dict[str, Any]:
    """A method's options from `key=value` and `method.key=value` texts.

    Raises:
      ValueError: a text without "=", a key that the method does not have, a prefix that is no method of this run.
    """
    return methods.resolve_options(method, profile, _mine("--options", method, given, all_methods))


def parse_protocol_options(protocol: str, given: Sequence[str], all_protocols: Sequence[str]) -> dict[str, Any]:
    """A protocol's options, as `parse_options` for methods."""
    return protocols.resolve_options(protocol, _mine("--protocol_options", protocol, given, all_protocols))


def _mine(flag: str, name: str, given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The `key=value` texts that are for everyone or, with a prefix, for `name`."""
    mine = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{flag}: {text!r} has no value, expected key=value or NAME.key=value")
        prefix, dot, rest = key.partition(".")
        if dot and prefix not in names:
            raise ValueError(f"{flag}: {prefix!r} in {text!r} is not of this run ({', '.join(names)})")
        if not dot or prefix == name:
            mine[rest if dot else key] = value
    return mine


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
            raise ValueError(
                f"--protocol_options: reset=domain, but protocol {name} has one domain; expected another rule"
            )
        wrappers.check_rule(reset)
    if run.draw not in DRAWS:
        raise ValueError(f"--draw={run.draw}: expected {' or '.join(DRAWS)}")
    if run.criterion not in (*selection.CRITERIA, *selection.WITH_VIEWS):
        valid = ", ".join((*selection.CRITERIA, *selection.WITH_VIEWS))
        raise ValueError(f"--criterion={run.criterion}: expected one of {valid}")
    if run.criterion in selection.WITH_VIEWS and not run.agreement:
        raise ValueError(f"--criterion={run.criterion} is recorded with --agreement alone: give it too")
    if run.epochs < 1 or run.batch_size < 2:
        raise ValueError("--epochs must be at least 1 and --batch_size at least 2 (batch statistics need two clips)")
    if run.updates_per_dispatch < 1:
        raise ValueError(f"--updates_per_dispatch={run.updates_per_dispatch}: expected at least 1")
    return targets.expand(run.corruption, run.level)


_CLASSIFIERS: dict[tuple[str, str, bool], Classifier] = {}


def load_source(run: AdaptRun) -> cells.Source:
    """The source model of a run, checked against its data set and `--net`, with source clips if a method needs them."""
    variables, config, _ = checkpoints.load(run.checkpoint)
    dataset = sets.get(run.dataset, run.data_dir)
    targets.check_fits(config, dataset, run.checkpoint)
    if run.net and run.net != config.net:
        raise ValueError(f"--net={run.net}: the checkpoint {run.checkpoint} is of net {config.net}")
    # One object a configuration: runs of several seeds then share what was compiled.
    built = zoo.build(config, **precision.compute_options(run.precision, run.remat))
    classifier = _CLASSIFIERS.setdefault((config.to_json(), run.precision, run.remat), built)
    made = (
        methods.make(name, classifier, parse_options(name, run.profile, run.options, run.method)) for name in run.method
    )
    data = _source_data(run, config) if any("source_data" in method.needs for method in made) else None
    return cells.source(classifier, jax.tree.map(jnp.asarray, variables), data)


def _source_data(run: AdaptRun, config: ClassifierConfig) -> SourceData:
    """The first `--source_clips` clips of the training split in an order that depends on their number alone."""
    loaded = load(run, "train", config)
    waves, _ = targets.laid_out(loaded)
    rows = protocols.stream_order(jax.random.key(0), len(waves))[: run.source_clips]
    return SourceData(jnp.asarray(waves[rows]), jnp.asarray(loaded.clips.labels[rows]))


def load(run: AdaptRun, split: str, config: ClassifierConfig) -> targets.Loaded:
    """A split as the run wants it."""
    return targets.load(
        run.dataset,
        run.data_dir,
        split,
        config,
        allow_partial=run.allow_partial,
        on_bad_file=run.on_bad_file,
        workdir=run.workdir,
    )


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
    names = ("method", "options", "criterion", "protocol_options", "workdir", "precision", "parallel", "remat")
    return run._replace(epochs=0, batch_size=0, save_every_s=0.0, updates_per_dispatch=0, **dict.fromkeys(names, ()))


@precision.exactly()
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
      ValueError: bad input, before anything is written. FloatingPointError: a loss is not finite.
    """
    pairs = check(run)
    where = parallel.make(run.parallel)
    source = load_source(run)
    config = source.classifier.config
    place = (run.dataset, run.data_dir, run.split, run.allow_partial, run.on_bad_file)
    place = (*place, config.sample_rate, config.length)
    loaded = _kept(memory, "split", place, lambda: load(run, run.split, config))
    if run.subset:
        loaded = targets.only(loaded, run.subset)
    left_out = len(loaded.clips.skipped)
    workdir = Path(run.workdir)
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
                if cells.cell_id(cell, source.sha256) in done:
                    skipped += 1
                    on_cell(False)
                    continue
                record = cells.run_cell(
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


def cell_of(run: AdaptRun, source: cells.Source, work: Work, protocol: str, method: str) -> cells.Cell:
    """The cell of a method under a protocol."""
    options = parse_options(method, run.profile, run.options, run.method)
    return cells.Cell(
        dataset=run.dataset if run.split == "test" else f"{run.dataset}/{run.split}",
        corruption=work.corruption,
        level=work.level,
        net=source.classifier.config.net,
        method=method,
        protocol=protocol,
        profile=run.profile,
        seed=run.seed,
        options=tuple(sorted(options.items())),
        epochs=run.epochs if protocols.PROTOCOLS[protocol].epochs and method != "source" else 1,
        batch_size=run.batch_size,
        criterion=run.criterion,
        draw=work.draw,
        protocol_options=tuple(sorted(parse_protocol_options(protocol, run.protocol_options, run.protocol).items())),
    )


def summary(record: dict[str, Any]) -> str:
    """One line about a finished cell."""
    words = [f"{title(record['corruption'], record['level'])} {record['method']} {record['protocol']}:"]
    for name in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"):
        words.append(f"{name.removeprefix('adapted_')} {100 * record[name]:.1f}")
    words.append(f"({record['metric']} in %, {record['seconds']:.0f} s)")
    if record["collapsed"]:
        words.append(f"COLLAPSED: more than {100 * metrics.COLLAPSE_SHARE:.0f} % of the predictions are one class")
    return " ".join(words)
