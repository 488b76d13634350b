"""Published zero-shot grids by name, as the flags of `experiments.zeroshot` that they stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.runs.requests.zeroshot import ZeroshotRun
from dhauds_jax.zeroshot import grid

CHECKPOINT = "clap"
"""Folder of the audio-text model below `--data_root`, where no `--checkpoint` is given."""


class Recipe(NamedTuple):
    """A grid.

    Attributes:
      sets: folders (or `.npz`) of embeddings below `--data_root`, the clean set first.
      places: those of background recordings.
    """

    sets: tuple[str, ...]
    places: str


_SCENES = ("airport", "metro_station", "park", "public_square", "shopping_mall", "street_traffic")
RECIPES = {"audiotext:us8k": Recipe(("us8k", *(f"us8k_{scene}" for scene in _SCENES)), "tau_urban_2019")}
"""`audiotext:us8k`: UrbanSound8K, clean and over six scenes of TAU 2019, in the run grid of arXiv 2506.04376."""


def expanded(run: ZeroshotRun) -> tuple[ZeroshotRun, tuple[str, ...]]:
    """The run that a recipe stands for with what is there, and a sentence about each part that waits.

    Raises:
      BadInput: an unknown recipe, flags that it sets itself, no `--data_root`, or nothing of it there.
    """
    registry.check("recipe", run.recipe, RECIPES)
    recipe, own = RECIPES[run.recipe], ("embeddings", "background_embeddings", "dataset")
    given = [name for name in own if getattr(run, name)]
    if given:
        raise BadInput(f"--recipe={run.recipe}: names its own sets, expected it without --{given[0]}")
    if run.data_root is None:
        raise BadInput(f"--recipe={run.recipe}: expected --data_root=FOLDER, with {', '.join(recipe.sets[:2])}, ...")
    root, waits = Path(run.data_root), []
    found = {name: place for name in (*recipe.sets, recipe.places) if (place := _place(root, name)) is not None}
    sets = [name for name in recipe.sets if name in found]
    waits += [f"set {name}: {root / name} is not there" for name in recipe.sets if name not in found]
    if not sets:
        raise BadInput(
            f"--data_root={root}: holds none of {', '.join(recipe.sets)}, expected folders of experiments.embed"
        )
    checkpoint = run.checkpoint or (str(root / CHECKPOINT) if (root / CHECKPOINT).is_dir() else None)
    kinds, origins = list(grid.KINDS), ["none", "text", "audio"]
    if checkpoint is None:
        kinds, origins = ["supervised"], ["none", "audio"]
        waits.append(f"prototypes text and tgap, background text: {root / CHECKPOINT} is not there, nor --checkpoint")
    if recipe.places not in found:
        origins.remove("audio")
        waits.append(f"background audio: {root / recipe.places} is not there")
    scorers = ("plain", "subtract") if len(origins) > 1 and sets != [recipe.sets[0]] else ("plain",)
    changes = {
        "embeddings": tuple(found[name] for name in sets),
        "background_embeddings": (found[recipe.places],) if "audio" in origins else (),
        "background_text": _words(sets) if "text" in origins else (),
        "prototypes": tuple(kinds),
        "background": tuple(origins),
        "scorer": scorers,
        "weight": tuple(f"{weight:g}" for weight in grid.WEIGHTS),
        "train": ("same",),
        "profile": "reference",
        "checkpoint": checkpoint,
    }
    return run.replace(**changes), tuple(waits)


def _place(root: Path, name: str) -> str | None:
    for place in (root / name, root / f"{name}.npz"):
        if place.exists():
            return str(place)
    return None


def _words(sets: Sequence[str]) -> tuple[str, ...]:
    """The scene of each set, "-" of the clean one."""
    return tuple(name.partition("_")[2].replace("_", " ") or "-" for name in sets)
