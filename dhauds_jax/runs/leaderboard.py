"""The grid of the leaderboard, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dhauds_jax.cells.programs import Programs
from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.errors import BadInput
from dhauds_jax.estimates import Estimate, say, within
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.nets import zoo
from dhauds_jax.progress import progress_bar
from dhauds_jax.recipes import tuned as recipes_tuned
from dhauds_jax.recipes.rows import share
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.requests.leaderboard import LeaderboardRun
from dhauds_jax.tta import methods, protocols
from dhauds_jax.tta.options import able, parse_options
from dhauds_jax.wording import counted
from dhauds_jax.workdir import locks, records

DATASET = "arabic_speech_commands"
CORRUPTIONS = ("WHN", "ENSC", "PSH", "TST")
LEVEL = "L2"


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

    Raises:
      BadInput: bad input.
    """
    tuned = recipes_tuned.read(run.tuned) if run.tuned else {}
    names = list(dict.fromkeys(m for name in run.method for m in (methods.METHODS if name == "all" else (name,))))
    for flag in ("seed", "method", "protocol"):
        if not getattr(run, flag):
            raise BadInput(f"--{flag} is empty: expected at least one")
    for name in run.protocol:
        protocols.check_protocol(name)
    if not all(seed.isascii() and seed.isdigit() for seed in run.seed):
        raise BadInput(f"--seed={','.join(run.seed)}: expected whole numbers separated by commas")
    folders = {int(seed): Path(run.checkpoint_root) / f"seed{seed}" / "checkpoint" for seed in run.seed}
    config = checkpoints.load_config(next(iter(folders.values())))
    names = share(able(names, zoo.build(config)), run.shard)
    options = [f"{name}.{text}" for name in names for text in tuned.get(name, ())]
    for name in names:
        parse_options(name, "reference", options, names)
    streams = dict.fromkeys(run.protocol)
    cells = sum(len(CORRUPTIONS) if protocols.PROTOCOLS[p].domains == "one" else 1 for p in streams)
    total = cells * len(names) * len(folders)
    set_aside, programs = records.done(Path(run.workdir)).note, Programs()
    held = locks.held(Path(run.workdir), _held_shard(run.shard))  # shards share a folder
    shown = {"unit": "cell", "awaited": "the first cell also reads and compiles"}
    say(f"work: {counted(total, 'cell')} in all ({counted(len(names), 'method')}, {counted(len(folders), 'seed')})")
    estimate = Estimate(total, "cell", few=True)
    with held, within(), progress_bar(total=total, desc="leaderboard", **shown) as bar:

        def ended(ran: bool) -> None:
            bar.update()
            (estimate.part if ran else estimate.there)()

        for group in phases(list(streams)) if names else ():  # more shards than methods
            for seed, folder in folders.items():
                mine = _adaptation(run, names, group, options, seed, folder)
                adapt(mine, command, ended, programs=programs)
    counts = f"{counted(len(names), 'method')}, {counted(len(folders), 'seed')}"
    return f"leaderboard: {counts}{set_aside}: {run.workdir}/results.jsonl"


def _adaptation(
    run: LeaderboardRun, names: Sequence[str], group: Sequence[str], options: Sequence[str], seed: int, folder: Path
) -> AdaptRun:
    return AdaptRun(
        dataset=DATASET,
        data_dir=run.data_dir,
        noise_dir=run.noise_dir,
        checkpoint=str(folder),
        method=names,
        corruption=CORRUPTIONS,
        level=[LEVEL],
        protocol=group,
        seed=seed,
        epochs=run.epochs,
        batch_size=run.batch_size,
        options=options,
        workdir=run.workdir,
        save_every_s=60.0,
        draw="single",
        subset=run.subset,
    )
