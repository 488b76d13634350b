"""The data sets by name. A new one is its file and one line here; variants are called "set/variant"."""

from pathlib import Path

from dhauds_jax.data.sets import (
    arabic_speech_commands,
    audio_mnist,
    cochl_scene,
    demand,
    esc50,
    folder_per_class,
    free_spoken_digit,
    qut_noise,
    reef_set,
    speech_commands,
    speech_commands_noise,
    synthetic,
    urban_sound_8k,
    vocal_sound,
)
from dhauds_jax.data.sets.base import ClipRef, DataSet, Generated, Order

__all__ = ["REGISTRY", "ClipRef", "DataSet", "Generated", "Order", "get"]

_MODULES = (
    arabic_speech_commands,
    synthetic,
    vocal_sound,
    cochl_scene,
    urban_sound_8k,
    reef_set,
    audio_mnist,
    speech_commands,
    free_spoken_digit,
    folder_per_class,
    qut_noise,
    demand,
    speech_commands_noise,
    esc50,
)
REGISTRY = {data_set.name: data_set for module in _MODULES for data_set in module.DATA_SETS}
"""Every module has `DATA_SETS`: its set, then its variants."""


def get(name: str, data_dir: Path | str | None = None) -> DataSet:
    """The data set of that name, as it lies in `data_dir` if its classes are found on disk.

    Raises:
      ValueError: unknown name (the names there are are listed), or a folder in which such a set is not found.
    """
    if name not in REGISTRY:
        raise ValueError(f"unknown data set {name!r}, expected one of {', '.join(sorted(REGISTRY))}")
    found = REGISTRY[name]
    return found.at(data_dir) if found.at and data_dir else found
