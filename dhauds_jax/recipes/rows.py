"""What the rows of a recipe run: which of them, the `experiments.adapt` command of each, where its files lie."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.data import sets
from dhauds_jax.data.corruptions import SHIFTS
from dhauds_jax.errors import BadInput
from dhauds_jax.names import CLEAN
from dhauds_jax.recipes.table import Row
from dhauds_jax.registry import is_foreign

Item = TypeVar("Item")


class Roots(NamedTuple):
    """Where data, noises and checkpoints lie: `--data_root`, `--noise_dir`, `--checkpoint_root`."""

    data: str | None
    noise: str | None
    checkpoint: str | None

    def data_dir(self, row: Row) -> Path | None:
        """The folder of a row's data set, shared by its variants; None for a set made in memory."""
        return self.data_dir_of(row.dataset)

    def data_dir_of(self, dataset: str) -> Path | None:
        """The folder of a data set or of a variant; None for a set made in memory."""
        name = dataset.partition("/")[0]
        made = name in sets.REGISTRY and sets.REGISTRY[name].generate is not None
        return None if made else Path(self.data or "DATA_ROOT") / name.replace(":", ".")

    def checkpoint_dir(self, row: Row) -> Path:
        """The folder of a row's checkpoint, or `checkpoint/` inside it, as `experiments.train` leaves it."""
        folder = Path(self.checkpoint or "CHECKPOINT_ROOT") / row.folder
        inside = folder / "checkpoint"
        return inside if not (folder / "config.json").is_file() and inside.is_dir() else folder


def selected(rows: Sequence[Row], only: Sequence[str], shard: str) -> list[Row]:
    """The rows that a pattern of `only` matches (all without one), and of these every n-th, from the i-th, for "i/n".

    Raises:
      BadInput: a shard that is no such fraction, patterns that match no row.
    """
    chosen = [row for row in rows if not only or any(_matches(row, pattern) for pattern in only)]
    if not chosen:
        raise BadInput(
            f"--only={','.join(only)}: matches none of the {len(rows)} rows, which are named like {rows[0].name}"
        )
    return share(chosen, shard)


def share(items: Sequence[Item], shard: str) -> list[Item]:
    """Every n-th of the items, from the i-th, for "i/n".

    Raises:
      BadInput: a shard that is no such fraction.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    if not found or int(found[1]) > int(found[2]):
        raise BadInput(f"--shard={shard}: expected I/N with I from 1 to N, such as 2/8")
    return list(items)[int(found[1]) - 1 :: int(found[2])]


def _matches(row: Row, pattern: str) -> bool:
    """Whether a pattern is a row's name, where the set may be its base and the net its first words (hubert_base)."""
    words = row.net.split("_")
    nets = ["_".join(words[: i + 1]) for i in range(len(words))]
    bare = _bare(pattern)
    tail = row.name.removeprefix(f"{row.dataset}/{row.net}/")
    for dataset in {row.dataset, row.dataset.partition("/")[0]}:
        for net in nets:
            name = _bare(f"{dataset}/{net}/{tail}")
            if any(fnmatch.fnmatchcase(name, p) for p in (bare, f"{bare.rstrip('/')}/*")):
                return True
    return False


def _bare(text: str) -> str:
    return text.casefold().replace("_", "")


def adapt_run(row: Row, roots: Roots, workdir: str, **flags: Any) -> AdaptRun:
    """The run of `experiments.adapt` that a row stands for; `flags` replace other fields."""
    data_dir = roots.data_dir(row)
    shift = row.corruption in SHIFTS or is_foreign(row.corruption)  # CODE:LEVEL in one word
    run = AdaptRun(
        dataset=row.dataset,
        data_dir=str(data_dir) if data_dir else None,
        noise_dir=roots.noise,
        net=row.net,
        checkpoint=str(roots.checkpoint_dir(row)),
        method=(row.method,),
        corruption=(f"{row.corruption}:{row.level}" if shift else row.corruption,),
        level=("L2",) if shift or row.corruption == CLEAN else (row.level,),
        protocol=(row.protocol,),
        profile=row.profile,
        seed=row.seed,
        epochs=row.epochs,
        batch_size=row.batch_size,
        options=tuple(f"{name}={value}" for name, value in row.options),
        workdir=workdir,
        protocol_options=tuple(f"{name}={value}" for name, value in row.protocol_options),
        draw=row.draw,
        evaluation_seed=row.evaluation_seed,
    )
    return run.replace(**flags)


_SAID = ("dataset", "net", "checkpoint", "method", "corruption", "level", "protocol", "profile", "draw", "epochs")
_SAID += ("batch_size", "seed", "evaluation_seed", "workdir")


def command(run: AdaptRun) -> str:
    """The command line of a run; flags that are empty or at their defaults are left out, but for those of a recipe."""
    words = ["python -m experiments.adapt"]
    defaults = AdaptRun.defaults()
    for name, value in run.as_dict().items():
        if value in (None, "", [], ()) or (name not in _SAID and value == defaults.get(name)):
            continue
        text = ",".join(value) if isinstance(value, list | tuple) else value
        words.append(f"--{name}={shlex.quote(str(text))}")
    return " ".join(words)
