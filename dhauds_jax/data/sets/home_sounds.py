"""Home sounds: 15 sub-classes in 20 synthetic homes, made in memory, nothing to download."""

from __future__ import annotations

from collections.abc import Mapping

from dhauds_jax.data import synthetic_home
from dhauds_jax.data.sets.base import DataSet, Generated, Order
from dhauds_jax.data.sets.tomofun import GROUPS

_VARIANTS = {
    "": synthetic_home.HOMES,
    "/val": {"train": range(13), "val": range(13, 16), "test": synthetic_home.HOMES["test"]},
}
"""Homes of the splits of each variant."""


def group_of(clip: str) -> str:
    """The home that a clip's id names, "h00" to "h19"."""
    return clip.partition("/")[0]


def _data_set(variant: str, homes: Mapping[str, range]) -> DataSet:
    def generate(split: str, seed: int) -> Generated:
        made = synthetic_home.make_homes(homes[split], seed=seed)
        return Generated(made.ids, made.waves, made.labels)

    clips = {split: synthetic_home.TAKES * len(numbers) for split, numbers in homes.items()}
    return DataSet(
        name=f"home_sounds{variant}",
        classes=synthetic_home.CLASSES,
        sample_rate=synthetic_home.SAMPLE_RATE,
        length=synthetic_home.LENGTH,
        splits=tuple(homes),
        metric="accuracy",
        order=Order(),
        licence="Apache-2.0 (made by this package)",
        citation="dhauds_jax, home sounds of synthetic homes",
        generate=generate,
        counts={split: len(synthetic_home.CLASSES) * count for split, count in clips.items()},
        class_counts={split: dict.fromkeys(synthetic_home.CLASSES, count) for split, count in clips.items()},
        group=group_of,
        class_groups=GROUPS,
    )


DATA_SETS = tuple(_data_set(variant, homes) for variant, homes in _VARIANTS.items())
