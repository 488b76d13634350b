"""A set of tones in homes, made in memory, for tests of cross-validation: four classes, reported as three."""

from __future__ import annotations

import numpy as np

from dhauds_jax.data.sets import DataSet, Order
from dhauds_jax.data.sets.base import Generated

CLASSES = ("Barking", "Cat", "Dishes", "Other")
GROUPS = {"names": ["dog", "things", "rest"], "of": [0, 1, 1, 2]}
HOMES = {"train": range(6), "test": range(6, 8), "more": range(8, 10)}
RATE, LENGTH, TAKES = 16_000, 4_000, 2


def wave(home: int, label: int, take: int) -> np.ndarray:
    """A tone whose pitch is the class's, a little higher in each home, in noise of the clip's own."""
    rng = np.random.default_rng([home, label, take])
    pitch = 300.0 * 1.7**label * 1.02**home
    tone = np.sin(2 * np.pi * pitch * np.arange(LENGTH) / RATE + rng.uniform(0, 6))
    return (0.3 * tone + 0.05 * rng.normal(size=LENGTH)).astype(np.float32)


def generate(split: str, seed: int) -> Generated:
    """Makes a split."""
    asked = [(h, c, t) for h in HOMES[split] for c in range(len(CLASSES)) for t in range(TAKES)]
    ids = tuple(f"h{home}/{CLASSES[label]}_{take}" for home, label, take in asked)
    labels = np.array([label for _, label, _ in asked], np.int32)
    return Generated(ids, np.stack([wave(*one) for one in asked]), labels)


SET = DataSet(
    name="tones",
    classes=CLASSES,
    sample_rate=RATE,
    length=LENGTH,
    splits=("train", "test"),
    metric="accuracy",
    order=Order(),
    licence="this test's",
    citation="this test",
    generate=generate,
    group=lambda clip: clip.partition("/")[0],
    class_groups=GROUPS,
)
MORE = SET._replace(name="more_tones", splits=("more",))
"""Clips of two more homes."""
AGAIN = SET._replace(name="same_tones")
"""The same clips under another name."""


def _louder(split: str, seed: int) -> Generated:
    made = generate(split, seed)
    return made._replace(ids=tuple(f"{clip}_b" for clip in made.ids), waves=1.5 * made.waves)


SAME_HOMES = SET._replace(name="louder_tones", splits=("train",), generate=_louder)
"""Other clips of homes 0 to 5."""
