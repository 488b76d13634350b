"""The grid of the leaderboard, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.progress import progress_bar
from dhauds_jax.recipes import tuned as recipes_tuned
from dhauds_jax.recipes.rows import share
from dhauds_jax.report import floors
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.requests.leaderboard import LeaderboardRun
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.options import able, parse_options
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records


def phases(names: Sequence[str]) -> list[list[str]]:
    """Protocols in the order they are run: offline and online together, then one by one."""
    first = [name for name in ("offline", "online") if name in names]
    return [group for group in (first, *([name] for name in names if name not in first)) if group]


def _held_shard(shard: str) -> tuple[int, int] | None:
    """(place, count) of a shard that `share` took; None for all of the work."""
    place, count = map(int, shard.split("/"))
    return None if count == 1 else (place, count)


def fill(run: LeaderboardRun, command: str) -> str:
    """Runs what has no record yet; returns the sentence that says where the records are.

    A method and its floor share what is compiled, whose numbers are those of other programs up to rounding.

    Raises:
      BadInput: bad input.
    """
    tuned = recipes_tuned.read(run.tuned) if run.tuned else {}
    names = list(dict.fromkeys(m for name in run.method for m in (methods.METHODS if name == "all" else (name,))))
    for flag in ("seed", "method", "protocol", "corruption"):
        if not getattr(run, flag):
            raise BadInput(f"--{flag} is empty: expected at least one")
    for name in run.protocol:
        protocols.check_protocol(name)
    if not all(seed.isascii() and seed.isdigit() for seed in run.seed):
        raise BadInput(f"--seed={','.join(run.seed)}: expected whole numbers separated by commas")
    if bare := [text for text in run.options if not _whose(text)]:
        raise BadInput(f"--options={','.join(bare)}: expected METHOD.key=value on a board of several methods")
    folders = _sources(run)
    config = checkpoints.load_config(next(iter(folders.values())))
    options = [*run.options, *(f"{name}.{text}" for name in names for text in tuned.get(name, ()))]
    for name in names:
        parse_options(name, run.profile, options, names)
    names = share(able(names, zoo.build(config), run.profile), run.shard)
    groups = phases(list(dict.fromkeys(run.protocol)))
    parts = [part for group in groups for part in parts_of(run, names, group, options)]
    total = len(folders) * sum(cells_of(part, run.corruption) for part in parts)
    set_aside, programs = records.done(Path(run.workdir)).note, Programs(any_rate=run.floors)
    held = locks.held(Path(run.workdir), _held_shard(run.shard))  # shards share a folder
    shown = {"unit": "cell", "awaited": "the first cell also reads and compiles"}
    say(f"work: {counted(total, 'cell')} in all ({counted(len(names), 'method')}, {counted(len(folders), 'seed')})")
    estimate = Estimate(total, "cell", few=True)
    with held, within(), progress_bar(total=total, desc="leaderboard", **shown) as bar:

        def ended(ran: bool) -> None:
            bar.update()
            (estimate.part if ran else estimate.there)()

        for part in parts:
            for seed, folder in folders.items():
                adapt(_adaptation(run, part, seed, folder), command, ended, programs=programs)
    counts = f"{counted(len(names), 'method')}, {counted(len(folders), 'seed')}"
    return f"leaderboard: {counts}{set_aside}: {run.workdir}/results.jsonl"


def _sources(run: LeaderboardRun) -> dict[int, str]:
    """Seed -> checkpoint; raises `BadInput` unless one of the two flags says where they are."""
    if (run.checkpoint is None) == (run.checkpoint_root is None):
        given = "neither is" if run.checkpoint is None else "both are"
        raise BadInput(f"--checkpoint_root and --checkpoint: {given} given, expected one of the two")
    root = run.checkpoint_root
    return {int(seed): run.checkpoint or str(Path(root) / f"seed{seed}" / "checkpoint") for seed in run.seed}


class Part(NamedTuple):
    """Methods with their options under some protocols: one command of `experiments.adapt` a seed."""

    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    options: tuple[str, ...]


def parts_of(run: LeaderboardRun, names: Sequence[str], group: Sequence[str], options: Sequence[str]) -> list[Part]:
    """What is run under a group of protocols: the methods with their options, then (with `floors`) their floors.

    Methods that a board asks for under some of the protocols alone (`report.floors.ONLY`) are in parts of their own.
    The floor of a method with a rate is the same with `lr=0`; `norm` with running statistics is the floor of all.
    """
    by_protocols: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        wanted = tuple(protocol for protocol in group if floors.asked(name, protocol))
        if wanted:
            by_protocols.setdefault(wanted, []).append(name)
    parts = []
    for wanted, mine in by_protocols.items():
        parts.append(Part(tuple(mine), wanted, _for(mine, options)))
        rated = [name for name in mine if "lr" in methods.default_options(name, run.profile)]
        if run.floors and rated:
            parts.append(Part(tuple(rated), wanted, (*_for(rated, options), *(f"{name}.lr=0.0" for name in rated))))
        if run.floors and "norm" in mine and _for(["norm"], options) not in ((), ("norm.statistics=running",)):
            parts.append(Part(("norm",), wanted, ("norm.statistics=running",)))
    return parts


def _for(names: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """The options of some of the methods."""
    return tuple(text for text in options if _whose(text) in names)


def _whose(text: str) -> str:
    """The name before an option's; "" where it is for all."""
    return text.partition("=")[0].rpartition(".")[0]


def cells_of(part: Part, corruptions: Sequence[str]) -> int:
    """The cells of a part with one seed."""
    each = (len(corruptions) if protocols.PROTOCOLS[p].domains == "one" else 1 for p in part.protocols)
    return len(part.methods) * sum(each)


def _adaptation(run: LeaderboardRun, part: Part, seed: int, folder: str) -> AdaptRun:
    others = set(run.protocol) - set(part.protocols)
    protocol_options = [text for text in run.protocol_options if _whose(text) not in others]
    return AdaptRun(
        dataset=run.dataset,
        data_dir=run.data_dir,
        noise_dir=run.noise_dir,
        checkpoint=folder,
        method=part.methods,
        corruption=run.corruption,
        level=[run.level],
        profile=run.profile,
        protocol=part.protocols,
        protocol_options=protocol_options,
        seed=seed,
        epochs=run.epochs,
        batch_size=run.batch_size,
        options=part.options,
        workdir=run.workdir,
        save_every_s=60.0,
        draw="single",
        subset=run.subset,
    )
