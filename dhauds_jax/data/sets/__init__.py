"""The data sets by name. A new one is its file and one line here."""

from dhauds_jax.data.sets import arabic_speech_commands, synthetic
from dhauds_jax.data.sets.base import ClipRef, DataSet, Generated, Order

__all__ = ["REGISTRY", "ClipRef", "DataSet", "Generated", "Order", "get"]

REGISTRY = {
    module.DATA_SET.name: module.DATA_SET
    for module in (
        arabic_speech_commands,
        synthetic,
    )
}


def get(name: str) -> DataSet:
    """The data set of that name; raises `ValueError` listing the names there are."""
    if name not in REGISTRY:
        raise ValueError(f"unknown data set {name!r}, expected one of {', '.join(sorted(REGISTRY))}")
    return REGISTRY[name]
