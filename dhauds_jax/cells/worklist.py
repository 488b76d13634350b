"""What one `experiments.adapt` command works on: the corrupted sets of its cells, named at once, made when needed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dhauds_jax import digests, registry
from dhauds_jax.cells import read_sets, targets
from dhauds_jax.cells.cell import Cell
from dhauds_jax.cells.checking import Checked
from dhauds_jax.cells.request import AdaptRun, title
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.cells.targets import Corrupted, Loaded, Noise, Target, once
from dhauds_jax.data.corruptions import joined, public
from dhauds_jax.dsp.mel import MelSpec, log_mel
from dhauds_jax.files import write_atomically
from dhauds_jax.names import CLEAN
from dhauds_jax.nets import zoo
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.parallel import writes
from dhauds_jax.requests import set_names
from dhauds_jax.tta import protocols

GRADES = ("L1", "L2", "L1")
"""Levels of the gradual protocol, after the clean set."""
_DOMAINS = ("one", "several", "levels")


class Work(NamedTuple):
    """One target and what runs on it.

    Attributes:
      corruption, level: names, as the cells have them.
      protocols: that run on it.
      draw: what the record says of the draw.
      target: makes the corrupted set, once; nothing is corrupted before.
      noise: digest of the recordings that are mixed in, where there are some.
    """

    corruption: str
    level: str
    protocols: tuple[str, ...]
    draw: tuple[tuple[str, Any], ...]
    target: Callable[[], Target]
    noise: str | None = None


def works_of(
    run: AdaptRun, loaded: Loaded, pairs: Sequence[tuple[str, str]], reported: Corrupted | None = None
) -> Iterator[Work]:
    """The targets of a run, one at a time: a corruption's, then those of protocols that take several together.

    `reported` is the evaluation draw of the run's one pair, where whoever asks has it already.
    """
    names = tuple(dict.fromkeys(run.protocol))
    by_domains = {kind: tuple(p for p in names if protocols.PROTOCOLS[p].domains == kind) for kind in _DOMAINS}
    ordered = sorted(by_domains["one"], key=lambda name: not protocols.PROTOCOLS[name].epochs)
    for pair in pairs if ordered else ():
        yield from _of_one(run, loaded, pair, ordered, reported)
    together = [pair for pair in pairs if pair[0] != CLEAN]
    if by_domains["several"] and together:
        yield _stacked(run, loaded, by_domains["several"], together)
    for corruption in dict.fromkeys(name for name, _ in together) if by_domains["levels"] else ():
        yield _stacked(run, loaded, by_domains["levels"], [(CLEAN, "-"), *((corruption, l) for l in GRADES)])


def _of_one(
    run: AdaptRun, loaded: Loaded, pair: tuple[str, str], names: Sequence[str], reported: Corrupted | None
) -> list[Work]:
    """The targets of one corruption: with an evaluation draw for protocols of epochs, without one for the others.

    A list, since a generator would hold on to the recordings while its works run.
    """
    noise = once(functools.partial(targets.noise_for, loaded, run.noise_dir, *pair))
    drawn, found, left = _adaptation(run, loaded, *pair, noise), [], tuple(names)
    if reports_another(run, pair[0]):
        epochs = tuple(name for name in names if protocols.PROTOCOLS[name].epochs)
        other = reported or evaluation(run, loaded, *pair, noise)
        both = (("draw", "two"), *drawn.draw[1:], *((f"evaluation_{k}", v) for k, v in other.draw[1:]))
        make = once(functools.partial(_target, run, loaded, drawn, pair, other))
        found.append(Work(*_public(pair), epochs, both, make, drawn.noise or other.noise))
        left = tuple(name for name in names if name not in epochs)
    if left:
        make = once(functools.partial(_target, run, loaded, drawn, pair))
        found.append(Work(*_public(pair), left, drawn.draw, make, drawn.noise))
    return found


def _public(pair: tuple[str, str]) -> tuple[str, str]:
    return public(pair[0]), pair[1]


def _target(
    run: AdaptRun, loaded: Loaded, drawn: Corrupted, pair: tuple[str, str], other: Corrupted | None = None
) -> Target:
    """One corruption's target; `other` is the draw that is reported, where it is another one."""
    waves = drawn.waves()
    _save_example(
        Path(run.workdir) / "examples", title(*_public(pair)).replace(":", "."), waves[0], loaded.clips.sample_rate
    )
    # The second view: rolled right by the share that the two-view losses roll at the most.
    view = np.roll(waves, int(0.17 * waves.shape[1]), axis=1) if run.agreement else None
    evaluation_ = None if other is None else other.waves()
    return Target(waves, loaded.labels, loaded.dataset.metric, (_public(pair),), evaluation=evaluation_, view=view)


_OF_A_DRAW = ("draw", "draw_seed", "draw_checksum")


def _stacked(run: AdaptRun, loaded: Loaded, names: tuple[str, ...], domains: Sequence[tuple[str, str]]) -> Work:
    """Several corruptions (or levels of one) as one target, domain after domain.

    The recordings of each are read for its draw and again for its samples, so that only one bank is in memory.
    """
    parts = {
        domain: _adaptation(run, loaded, *domain, functools.partial(targets.noise_for, loaded, run.noise_dir, *domain))
        for domain in dict.fromkeys(domains)
    }

    def make() -> Target:
        waves = np.concatenate([parts[domain].waves() for domain in domains])
        clean = targets.laid_out(loaded)[0] if any(protocols.PROTOCOLS[name].clean for name in names) else None
        labels = np.concatenate([loaded.labels] * len(domains))
        parts.clear()
        return Target(waves, labels, loaded.dataset.metric, tuple(map(_public, domains)), clean=clean)

    said = [dict(part.draw) for part in parts.values()]
    seed = next((one["draw_seed"] for one in said if "draw_seed" in one), run.seed)
    sums = "+".join(one.get("draw_checksum", "-") for one in said)
    others = dict(item for part in parts.values() for item in part.draw if item[0] not in _OF_A_DRAW)
    draw = (("draw", "single"), ("draw_seed", seed), ("draw_checksum", sums), *others.items())
    corruption = joined(public(name) for name, _ in domains if name != CLEAN)
    level = "+".join(dict.fromkeys(level for _, level in domains if level != "-"))
    noise = digests.together([part.noise for part in parts.values()])
    return Work(corruption, level, names, draw, once(make), noise)


def _adaptation(run: AdaptRun, loaded: Loaded, corruption: str, level: str, noise: Callable[[], Noise]) -> Corrupted:
    """The draw that is adapted to: made from `--seed`, or read from a -C set."""
    folder = run.adaptation_dir or (run.corrupted_dir if run.draw == "single" else None)
    if folder and corruption != CLEAN:
        return _read(run, loaded, folder, corruption, level)
    return targets.corrupted(loaded, corruption, level, seed=run.seed, profile=run.profile, noise=noise)


def reports_another(run: AdaptRun, corruption: str) -> bool:
    """Whether a run adapts to one draw of a corruption and reports another."""
    return run.draw == "two" and corruption != CLEAN and any(protocols.PROTOCOLS[name].epochs for name in run.protocol)


def evaluation(run: AdaptRun, loaded: Loaded, corruption: str, level: str, noise: Callable[[], Noise]) -> Corrupted:
    """The draw that is reported: of `--evaluation_seed`, or read from a -C set."""
    if run.corrupted_dir:
        return _read(run, loaded, run.corrupted_dir, corruption, level)
    return targets.corrupted(loaded, corruption, level, seed=run.evaluation_seed, profile=run.profile, noise=noise)


def _read(run: AdaptRun, loaded: Loaded, folder: str, corruption: str, level: str) -> Corrupted:
    """A cell of a -C set, which lacks the files that were left out when it was made."""
    partial = run.allow_partial or run.on_bad_file == "skip"
    return read_sets.read_corrupted(loaded, folder, corruption, level, split=run.split, allow_partial=partial)


_log_mel = jax.jit(log_mel, static_argnums=1)


def _save_example(folder: Path, name: str, wave: np.ndarray, rate: int) -> None:
    """Keeps the log-mel spectrogram (dB) of a cell's first clip, for the report's page of spectrograms."""
    if not writes():
        return
    spec = MelSpec(
        sample_rate=rate, n_fft=512, win_length=400, hop=160, n_mels=64, f_min=0.0, f_max=rate / 2, scale="slaney"
    )
    arrays = {"log_mel": np.asarray(_log_mel(wave, spec)), "seconds": len(wave) / rate}
    write_atomically(folder / f"{name}.npz", lambda file: np.savez(file, **arrays))


def set_name(dataset: str, split: str) -> str:
    """What records call a split of a data set: the set alone is its test split."""
    return dataset if split == "test" else f"{dataset}/{split}"


def epochs_of(run: AdaptRun, protocol: str, method: str) -> int:
    """Epochs of a cell: one where the protocol passes once, or the method does not adapt."""
    return run.epochs if protocols.PROTOCOLS[protocol].epochs and method != "source" else 1


def cell_of(
    run: AdaptRun, checked: Checked, source: SourceModel, work: Work, protocol: str, method: str, clips: str
) -> Cell:
    """The cell of a method under a protocol; `clips` is the digest of the split (`content.of_split`)."""
    needs_source = method in source.data_for
    return Cell(
        dataset=set_name(run.dataset, run.split),
        corruption=work.corruption,
        level=work.level,
        net=source.classifier.config.net,
        method=method,
        protocol=protocol,
        profile=run.profile,
        seed=run.seed,
        options=tuple(sorted(checked.options[method].items())),
        epochs=epochs_of(run, protocol, method),
        batch_size=run.batch_size,
        criterion=run.criterion,
        draw=work.draw,
        protocol_options=tuple(sorted(checked.protocol_options[protocol].items())),
        content=cell_content(run, source, work, protocol, method, clips),
        source_clips=len(source.data.labels) if needs_source else None,
        agreement=run.agreement and protocols.PROTOCOLS[protocol].epochs,
    )


def cell_content(
    run: AdaptRun, source: SourceModel, work: Work, protocol: str, method: str, clips: str
) -> tuple[tuple[str, str], ...]:
    """The digests of what a cell is made of; what it does not need has none."""
    found = {
        "clips": clips,
        "noise": work.noise,
        "source_data": source.data_digest if method in source.data_for else None,
        **own_content(run, work.corruption.split("+"), protocol, method, source.classifier.config),
    }
    return tuple((name, digest) for name, digest in found.items() if digest is not None)


def own_content(
    run: AdaptRun, corruptions: Sequence[str], protocol: str, method: str, config: ClassifierConfig
) -> dict[str, str]:
    """The part of a cell's content that is known without data: files of plug-ins, and `zoo.own_settings`."""
    foreign = {
        "dataset": set_names(run.dataset),
        "corruption": corruptions,
        "method": [method],
        "protocol": [protocol],
        "criterion": [run.criterion],
        "net": config.places(),
    }
    found = {f"{kind}_source": digests.together(map(registry.source_digest, names)) for kind, names in foreign.items()}
    found["config"] = zoo.own_settings(config)
    return {name: digest for name, digest in found.items() if digest is not None}
