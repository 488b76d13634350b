"""The data sets by name. A new one is its file and one line here; variants are called "set/variant"."""

from dhauds_jax.data.sets import arabic_speech_commands, synthetic
from dhauds_jax.data.sets.base import ClipRef, DataSet, Generated, Order

__all__ = ["REGISTRY", "ClipRef", "DataSet", "Generated", "Order", "get"]

_MODULES = (
    arabic_speech_commands,
    synthetic,
)
REGISTRY = {data_set.name: data_set for module in _MODULES for data_set in module.DATA_SETS}
"""Every module has `DATA_SETS`: its set, then its variants."""


def get(name: str) -> DataSet:
    """The data set of that name; raises `ValueError` listing the names there are."""
    if name not in REGISTRY:
        raise ValueError(f"unknown data set {name!r}, expected one of {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]
