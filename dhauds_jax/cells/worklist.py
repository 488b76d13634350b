"""What one `experiments.adapt` command works on: its flags, and the corrupted sets of its cells, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from dhauds_jax.cells import targets
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.request import AdaptRun, title
from dhauds_jax.cells.running import Target
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.files import write_atomically
from dhauds_jax.names import CLEAN
from dhauds_jax.parallel import writes
from dhauds_jax.tta import protocols
from dhauds_jax.tta.options import parse_options, parse_protocol_options

GRADES = ("L1", "L2", "L1")
"""Levels of the gradual protocol, after the clean set."""
_DOMAINS = ("one", "several", "levels")


class Work(NamedTuple):
    """One target and what runs on it: the names of a cell's corruption and level, what the record says of the draw."""

    corruption: str
    level: str
    protocols: tuple[str, ...]
    draw: tuple[tuple[str, Any], ...]
    target: Target


def works_of(run: AdaptRun, loaded: targets.Loaded, pairs: list[tuple[str, str]]) -> Iterator[Work]:
    """The targets of a run, one at a time: a corruption's, then those of protocols that take several together."""
    by_domains = {kind: tuple(p for p in run.protocol if protocols.PROTOCOLS[p].domains == kind) for kind in _DOMAINS}
    ordered = sorted(by_domains["one"], key=lambda name: not protocols.PROTOCOLS[name].epochs)
    for corruption, level in pairs if ordered else ():
        drawn = _corrupted(run, loaded, corruption, level)
        _save_example(
            Path(run.workdir) / "examples", title(corruption, level), drawn.waves[0], loaded.clips.sample_rate
        )
        target = Target(drawn.waves, loaded.labels, loaded.dataset.metric, ((corruption, level),))
        if run.agreement:
            # The second view: rolled right by the share that the two-view losses roll at the most.
            target = target._replace(view=np.roll(drawn.waves, int(0.17 * drawn.waves.shape[1]), axis=1))
        two = run.draw == "two" and corruption != CLEAN
        if two and any(protocols.PROTOCOLS[name].epochs for name in ordered):
            other = _evaluation(run, loaded, corruption, level)
            both = (("draw", "two"), *drawn.draw[1:], *((f"evaluation_{k}", v) for k, v in other.draw[1:]))
            epochs = tuple(name for name in ordered if protocols.PROTOCOLS[name].epochs)
            yield Work(corruption, level, epochs, both, target._replace(evaluation=other.waves))
            ordered_here = tuple(name for name in ordered if name not in epochs)
        else:
            ordered_here = tuple(ordered)
        if ordered_here:
            yield Work(corruption, level, ordered_here, drawn.draw, target)
    together = [pair for pair in pairs if pair[0] != CLEAN]
    if by_domains["several"] and together:
        yield _stacked(run, loaded, by_domains["several"], together)
    for corruption in dict.fromkeys(name for name, _ in together) if by_domains["levels"] else ():
        yield _stacked(run, loaded, by_domains["levels"], [(CLEAN, "-"), *((corruption, l) for l in GRADES)])


def _stacked(run: AdaptRun, loaded: targets.Loaded, names: tuple[str, ...], domains: Sequence[tuple[str, str]]) -> Work:
    """Several corruptions (or levels of one) as one target, domain after domain."""
    parts = {domain: _corrupted(run, loaded, *domain) for domain in dict.fromkeys(domains)}
    clean = targets.laid_out(loaded)[0] if any(protocols.PROTOCOLS[name].clean for name in names) else None
    target = Target(
        np.concatenate([parts[domain].waves for domain in domains]),
        np.concatenate([loaded.labels] * len(domains)),
        loaded.dataset.metric,
        tuple(domains),
        clean=clean,
    )
    sums = "+".join(dict(part.draw).get("draw_checksum", "-") for part in parts.values())
    draw = (("draw", "single"), ("draw_seed", run.seed), ("draw_checksum", sums))
    corruption = "+".join(dict.fromkeys(name for name, _ in domains if name != CLEAN))
    level = "+".join(dict.fromkeys(level for _, level in domains if level != "-"))
    return Work(corruption, level, names, draw, target)


def _corrupted(run: AdaptRun, loaded: targets.Loaded, corruption: str, level: str) -> targets.Corrupted:
    """The draw that is adapted to: made from `--seed`, or read from a -C set."""
    folder = run.adaptation_dir or (run.corrupted_dir if run.draw == "single" else None)
    if folder and corruption != CLEAN:
        return targets.read_corrupted(loaded, folder, corruption, level)
    return targets.corrupted(loaded, corruption, level, seed=run.seed, profile=run.profile, noise_dir=run.noise_dir)


def _evaluation(run: AdaptRun, loaded: targets.Loaded, corruption: str, level: str) -> targets.Corrupted:
    """The draw that is reported: of `--evaluation_seed`, or read from a -C set."""
    if run.corrupted_dir:
        return targets.read_corrupted(loaded, run.corrupted_dir, corruption, level)
    return targets.corrupted(
        loaded, corruption, level, seed=run.evaluation_seed, profile=run.profile, noise_dir=run.noise_dir
    )


def _save_example(folder: Path, name: str, wave: np.ndarray, rate: int) -> None:
    """Keeps the log-mel spectrogram (dB) of a cell's first clip, for the report's page of spectrograms."""
    if not writes():
        return
    spec = MelSpec(
        sample_rate=rate, n_fft=512, win_length=400, hop=160, n_mels=64, f_min=0.0, f_max=rate / 2, scale="slaney"
    )
    arrays = {"log_mel": np.asarray(log_mel(jnp.asarray(wave), spec)), "seconds": len(wave) / rate}
    write_atomically(folder / f"{name}.npz", lambda file: np.savez(file, **arrays))


def cell_of(run: AdaptRun, source: SourceModel, work: Work, protocol: str, method: str) -> Cell:
    """The cell of a method under a protocol."""
    options = parse_options(method, run.profile, run.options, run.method)
    return Cell(
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
