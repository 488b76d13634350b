"""Published few-shot class-incremental protocols by name, as the flags of `experiments.incremental` they stand for.

YongjieSi/EDE 6eda92d and YongjieSi/MAR 02c8258: sessions of five classes with five clips each, classes in their order,
seeds 0 to 5, one clip of each class kept. Neither has a table of numbers that could stand beside ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from dhauds_jax import registry
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint as checkpoints
from dhauds_jax.runs.requests.incremental import IncrementalRun

_SETS = {"ls100": "librispeech_100/published", "nsynth100": "nsynth_100", "fsc89": "fsc_89"}
_NETS = {"ede": "ast_base_{}", "mar": "ast_base_{}_patches"}
_CLASSES = (25, 50)


def _row(learner: str, name: str, classes: int) -> Mapping[str, Any]:
    return MappingProxyType(
        {
            "dataset": _SETS[name],
            "learner": (learner,),
            "net": _NETS[learner].format(name),
            "way": 5,
            "shot": 5,
            "sessions": classes // 5,
            "seeds": (0, 1, 2, 3, 4, 5),
            "memory": 1,
            "profile": "reference",
            "order": "identity",
        }
    )


RECIPES: Mapping[str, Mapping[str, Any]] = {
    f"ffcac:{learner}_{name}{'' if classes == _CLASSES[0] else f'_{classes}'}": _row(learner, name, classes)
    for learner in _NETS
    for name in _SETS
    for classes in _CLASSES
}
"""Name -> flags: `ffcac:ede_ls100` has 25 classes in five sessions, `ffcac:ede_ls100_50` 50 in ten."""


def expanded(run: IncrementalRun, given: Collection[str] = ()) -> IncrementalRun:
    """The run that a recipe stands for; what was given stays, and what has another value than its default.

    Args:
      run: the flags.
      given: names of those that were given, perhaps with their default's value.

    A checkpoint of another family or size than the recipe's AST is taken as it is: its own network is read.

    Raises:
      BadInput: an unknown recipe, or one that names its own set beside `--dataset` or `--embeddings`.
    """
    registry.check("recipe", run.recipe, RECIPES)
    for flag in ("dataset", "embeddings"):
        if getattr(run, flag):
            raise BadInput(f"--recipe={run.recipe}: names its own set, expected it without --{flag}")
    wanted, defaults = dict(RECIPES[run.recipe]), IncrementalRun.defaults()
    if run.checkpoint is not None:
        config = checkpoints.load_config(run.checkpoint)
        size = config.geometry.get("width"), config.geometry.get("depth")
        if config.family != "spectrogram_transformer" or size != (768, 12):
            print(f"note: --checkpoint={run.checkpoint} holds {config.net}, no AST base: its own front end is used")
            wanted.pop("net")
    free = [name for name in wanted if name not in given and getattr(run, name) == defaults[name]]
    changes = {name: wanted[name] for name in free}
    return run.replace(**changes)
