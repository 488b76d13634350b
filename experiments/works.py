"""What one `experiments.adapt` command works on: its flags, and the corrupted sets of its cells, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.tta import protocols
from dhauds_jax.tta.parallel import writes
from experiments import cells, records, targets

DRAWS = ("two", "single")
"""Draws of a corruption: one to adapt to and another to report (offline), or one for both."""
GRADES = ("L1", "L2", "L1")
"""Levels of the gradual protocol, after the clean set."""
_DOMAINS = ("one", "several", "levels")


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
    protocol_options: Sequence[str] = ()
    draw: str = "two"
    evaluation_seed: int = 123456
    corrupted_dir: str | None = None
    adaptation_dir: str | None = None
    source_clips: int = 500
    agreement: bool = False
    subset: str | None = None
    on_bad_file: str = "stop"
    embeddings: bool = False
    parallel: str = "jit"
    updates_per_dispatch: int = 1
    precision: str = "float32"
    remat: bool = False


class Work(NamedTuple):
    """One target and what runs on it: the names of a cell's corruption and level, what the record says of the draw."""

    corruption: str
    level: str
    protocols: tuple[str, ...]
    draw: tuple[tuple[str, Any], ...]
    target: cells.Target


def works_of(run: AdaptRun, loaded: targets.Loaded, pairs: list[tuple[str, str]]) -> Iterator[Work]:
    """The targets of a run, one at a time: a corruption's, then those of protocols that take several together."""
    by_domains = {kind: tuple(p for p in run.protocol if protocols.PROTOCOLS[p].domains == kind) for kind in _DOMAINS}
    ordered = sorted(by_domains["one"], key=lambda name: not protocols.PROTOCOLS[name].epochs)
    for corruption, level in pairs if ordered else ():
        drawn = _corrupted(run, loaded, corruption, level)
        _save_example(
            Path(run.workdir) / "examples", title(corruption, level), drawn.waves[0], loaded.clips.sample_rate
        )
        target = cells.Target(drawn.waves, loaded.labels, loaded.dataset.metric, ((corruption, level),))
        if run.agreement:
            # The second view: rolled right by the share that the two-view losses roll at the most.
            target = target._replace(view=np.roll(drawn.waves, int(0.17 * drawn.waves.shape[1]), axis=1))
        two = run.draw == "two" and corruption != records.CLEAN
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
    together = [pair for pair in pairs if pair[0] != records.CLEAN]
    if by_domains["several"] and together:
        yield _stacked(run, loaded, by_domains["several"], together)
    for corruption in dict.fromkeys(name for name, _ in together) if by_domains["levels"] else ():
        yield _stacked(run, loaded, by_domains["levels"], [(records.CLEAN, "-"), *((corruption, l) for l in GRADES)])


def _stacked(run: AdaptRun, loaded: targets.Loaded, names: tuple[str, ...], domains: Sequence[tuple[str, str]]) -> Work:
    """Several corruptions (or levels of one) as one target, domain after domain."""
    parts = {domain: _corrupted(run, loaded, *domain) for domain in dict.fromkeys(domains)}
    clean = targets.laid_out(loaded)[0] if any(protocols.PROTOCOLS[name].clean for name in names) else None
    target = cells.Target(
        np.concatenate([parts[domain].waves for domain in domains]),
        np.concatenate([loaded.labels] * len(domains)),
        loaded.dataset.metric,
        tuple(domains),
        clean=clean,
    )
    sums = "+".join(dict(part.draw).get("draw_checksum", "-") for part in parts.values())
    draw = (("draw", "single"), ("draw_seed", run.seed), ("draw_checksum", sums))
    corruption = "+".join(dict.fromkeys(name for name, _ in domains if name != records.CLEAN))
    level = "+".join(dict.fromkeys(level for _, level in domains if level != "-"))
    return Work(corruption, level, names, draw, target)


def _corrupted(run: AdaptRun, loaded: targets.Loaded, corruption: str, level: str) -> targets.Corrupted:
    """The draw that is adapted to: made from `--seed`, or read from a -C set."""
    folder = run.adaptation_dir or (run.corrupted_dir if run.draw == "single" else None)
    if folder and corruption != records.CLEAN:
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
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", log_mel=np.asarray(log_mel(jnp.asarray(wave), spec)), seconds=len(wave) / rate)


def title(corruption: str, level: str) -> str:
    """A cell's corruption and level in one word."""
    return corruption if corruption == records.CLEAN else f"{corruption}-{level}"
