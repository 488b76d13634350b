"""Heads whose embedding is how something varies over time: means and deviations, of each frequency by itself.

A mean over all tokens forgets at which frequency a token lay, and a network that was trained by little has not written
it into the tokens. These embeddings keep it, and cost no training: classifiers of few clips are better on them than on
the mean (docs/incremental.md has figures).
"""

from __future__ import annotations

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from dhauds_jax.errors import BadInput
from dhauds_jax.nets.config import ClassifierConfig
from dhauds_jax.nets.heads import FCEClassifier, last_layer
from dhauds_jax.nets.layers import Dense, deviation
from dhauds_jax.types import Mode, Variables

SEGMENTS = 4
"""Equal parts of a clip whose means `bands` has beside those of the whole."""


class BandStatistics(nn.Module):
    """Of each band of the spectrogram the mean and the deviation over time, and its mean in each of `segments` parts.

    The embedding is (batch, (2 + segments) bands); the network's tokens are not used. A linear layer follows.
    """

    classes: int
    segments: int

    @property
    def needs_features(self) -> bool:
        """Whether it has to be given the front end's output."""
        return True

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        features: Array,
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch statistics"]]:
        if features.ndim != 3:
            raise BadInput(
                f"band statistics: the front end gives arrays of shape {features.shape[1:]}, expected (frames, bands) "
                "such as a log-mel's: read the network instead"
            )
        frames = features.shape[1]
        if self.segments > frames:
            raise BadInput(f"band statistics: {self.segments} segments of {frames} frames, expected at most as many")
        ends = np.linspace(0, frames, self.segments + 1).round().astype(int)
        parts = [features[:, a:b].mean(1) for a, b in itertools.pairwise(ends)]
        x = jnp.concatenate([features.mean(1), deviation(features, 1), *parts], -1)
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)

    @staticmethod
    def check(segments: int) -> None:
        """Raises `BadInput` for options that the head does not take."""
        if isinstance(segments, bool) or not isinstance(segments, int) or segments < 0:
            raise BadInput(f"config head: segments is {segments!r}, expected a whole number of at least 0")


class RowStatistics(nn.Module):
    """Of the patches at one frequency the mean and the deviation over time, after block `level`, side by side.

    The embedding is (batch, rows 2 width) for a spectrogram transformer whose patches lie in `rows` rows of frequency.
    A linear layer follows.
    """

    classes: int
    level: int

    @property
    def reads(self) -> str:
        """What of `Classifier.tap` it is given beside the tokens."""
        return "rows"

    @nn.compact
    def __call__(
        self,
        tokens: Float[Array, "batch tokens width"],
        *,
        mode: Mode,
        weights: Float[Array, " batch"] | None = None,
        axis_name: str | None = None,
        read: Float[Array, "batch depth rows statistics"],
    ) -> tuple[Float[Array, "batch classes"], Float[Array, "batch features"]]:
        if not 0 <= self.level < read.shape[1]:
            raise BadInput(
                f"row statistics: level {self.level} of {read.shape[1]} blocks, expected one of them, from 0"
            )
        x = read[:, self.level].reshape(len(read), -1)
        return last_layer(Dense, self.classes, x, precision="highest"), x

    linear = staticmethod(FCEClassifier.linear)


NETWORK, BANDS, ROWS = "network", "bands", "rows"
READINGS = (NETWORK, BANDS, ROWS)
"""What an embedding may be: the network's own, or of `BandStatistics` or `RowStatistics`."""


def head_of(reading: str) -> dict[str, object] | None:
    """The head's record of a reading, "network", "bands", "rows" or "rows:LEVEL"; None for the network's own.

    Raises:
      BadInput: another text.
    """
    name, colon, level = reading.partition(":")
    if name not in READINGS or (colon and (name != ROWS or not level.isdecimal())):
        raise BadInput(f"--reading={reading}: expected network, bands, rows or rows:LEVEL (a block, from 0)")
    if name == NETWORK:
        return None
    return (
        {"kind": "band_statistics", "segments": SEGMENTS}
        if name == BANDS
        else {"kind": "row_statistics", "level": int(level or 0)}
    )


def with_reading(config: ClassifierConfig, variables: Variables, reading: str) -> tuple[ClassifierConfig, Variables]:
    """The network with an embedding of another kind and no classes worth the name yet, for learners to read.

    Args:
      config: of the network.
      variables: its variables.
      reading: as for `head_of`; "network" leaves everything as it is.

    Raises:
      BadInput: what `head_of` refuses, or a network that has no such thing.
    """
    record = head_of(reading)
    if record is None:
        return config, variables
    from dhauds_jax.nets import zoo  # which imports heads

    made = config.replace(head=record)
    shapes = zoo.shapes(zoo.build(made))["params"]["head"]
    head = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    stats = {name: leaf for name, leaf in dict(variables.get("batch_stats", {})).items() if name != "head"}
    return made, {**variables, "params": {**variables["params"], "head": head}, "batch_stats": stats}
