"""All cells of one `experiments.adapt` command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dhauds_jax.data import sets
from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.tta import methods, metrics, protocols, selection
from experiments import cells, records, targets


class AdaptRun(NamedTuple):
    """The flags of `experiments.adapt` (see its `--help`)."""

    dataset: str
    data_dir: str | None
    noise_dir: str | None
    net: str | None
    checkpoint: str
    method: Sequence[str]
    corruption: Sequence[str]
    level: Sequence[str]
    protocol: Sequence[str]
    profile: str
    seed: int
    epochs: int
    batch_size: int
    options: Sequence[str]
    criterion: str
    split: str
    workdir: str
    save_every_s: float
    allow_partial: bool


def parse_options(method: str, profile: str, given: Sequence[str], all_methods: Sequence[str]) -> dict[str, Any]:
    """A method's options from `key=value` and `method.key=value` texts.

    Raises:
      ValueError: a text without "=", a key that the method does not have, a prefix that is no method of this run.
    """
    mine = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--options: {text!r} has no value, expected key=value or method.key=value")
        prefix, dot, name = key.partition(".")
        if dot and prefix not in all_methods:
            raise ValueError(f"--options: {prefix!r} in {text!r} is no method of this run ({', '.join(all_methods)})")
        if not dot or prefix == method:
            mine[name if dot else key] = value
    return methods.resolve_options(method, profile, mine)


def _check(run: AdaptRun) -> list[tuple[str, str]]:
    """Everything that can be said before a file is read; returns the (corruption, level) cells."""
    sets.get(run.dataset)
    for name in run.method:
        parse_options(name, run.profile, run.options, run.method)
    for name in run.protocol:
        protocols.check_protocol(name)
    if run.criterion not in selection.CRITERIA:
        raise ValueError(f"--criterion={run.criterion}: expected one of {', '.join(selection.CRITERIA)}")
    if run.epochs < 1 or run.batch_size < 2:
        raise ValueError("--epochs must be at least 1 and --batch_size at least 2 (batch statistics need two clips)")
    return targets.expand(run.corruption, run.level)


def load_source(run: AdaptRun) -> cells.Source:
    """The source model of a run, checked against its data set and `--net`."""
    variables, config, _ = checkpoints.load(run.checkpoint)
    targets.check_fits(config, sets.get(run.dataset), run.checkpoint)
    if run.net and run.net != config.net:
        raise ValueError(f"--net={run.net}: the checkpoint {run.checkpoint} is of net {config.net}")
    return cells.source(zoo.build(config), jax.tree.map(jnp.asarray, variables))


def _save_example(folder: Path, name: str, wave: np.ndarray, rate: int) -> None:
    """Keeps the log-mel spectrogram (dB) of a cell's first clip, for the report's page of spectrograms."""
    spec = MelSpec(
        sample_rate=rate, n_fft=512, win_length=400, hop=160, n_mels=64, f_min=0.0, f_max=rate / 2, scale="slaney"
    )
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", log_mel=np.asarray(log_mel(jnp.asarray(wave), spec)), seconds=len(wave) / rate)


def adapt(run: AdaptRun, command: str) -> str:
    """Runs every cell of the flags' lists that has no record yet; returns the sentence that says where they are.

    Raises:
      ValueError: bad input, before anything is written. FloatingPointError: a loss is not finite.
    """
    pairs = _check(run)
    source = load_source(run)
    loaded = targets.load(
        run.dataset, run.data_dir, run.split, source.classifier.config, allow_partial=run.allow_partial
    )
    workdir = Path(run.workdir)
    done = {record.get("cell") for record in records.read(workdir)}
    written = skipped = 0
    for corruption, level in pairs:
        corrupted = targets.corrupted(
            loaded, corruption, level, seed=run.seed, profile=run.profile, noise_dir=run.noise_dir
        )
        target = cells.Target(corrupted.waves, loaded.clips.labels, loaded.dataset.metric)
        _save_example(workdir / "examples", _title(corruption, level), corrupted.waves[0], loaded.clips.sample_rate)
        for protocol in run.protocol:
            for method in run.method:
                cell = _cell(run, source, corruption, level, protocol, method, corrupted)
                if cells.cell_id(cell, source.sha256) in done:
                    skipped += 1
                    continue
                record = cells.run_cell(cell, source, target, workdir, command=command, save_every_s=run.save_every_s)
                records.append(workdir, {**record, "notices": list(loaded.clips.notices)})
                written += 1
                print(_summary(record))
    there = f", {skipped} were there already" if skipped else ""
    return f"{written} records written{there}: {workdir / records.FILE}"


def _cell(
    run: AdaptRun,
    source: cells.Source,
    corruption: str,
    level: str,
    protocol: str,
    method: str,
    corrupted: targets.Corrupted,
) -> cells.Cell:
    options = parse_options(method, run.profile, run.options, run.method)
    return cells.Cell(
        dataset=run.dataset if run.split == "test" else f"{run.dataset}/{run.split}",
        corruption=corruption,
        level=level,
        net=source.classifier.config.net,
        method=method,
        protocol=protocol,
        profile=run.profile,
        seed=run.seed,
        options=tuple(sorted(options.items())),
        epochs=run.epochs if protocol == "offline" and method != "source" else 1,
        batch_size=run.batch_size,
        criterion=run.criterion,
        draw=corrupted.draw,
    )


def _title(corruption: str, level: str) -> str:
    return corruption if corruption == records.CLEAN else f"{corruption}-{level}"


def _summary(record: dict[str, Any]) -> str:
    words = [f"{_title(record['corruption'], record['level'])} {record['method']} {record['protocol']}:"]
    for name in ("non_adapted", "adapted_last", "adapted_selected", "adapted_oracle"):
        words.append(f"{name.removeprefix('adapted_')} {100 * record[name]:.1f}")
    words.append(f"({record['metric']} in %, {record['seconds']:.0f} s)")
    if record["collapsed"]:
        words.append(f"COLLAPSED: more than {100 * metrics.COLLAPSE_SHARE:.0f} % of the predictions are one class")
    return " ".join(words)
