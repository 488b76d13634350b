"""Mixing the channels of a file down to one, block by block, and what is told of all samples on the way."""

from __future__ import annotations

import math

import numpy as np

SILENT = 2.0**-15
"""A clip whose largest and smallest sample differ by less (one step of 16 bit) is silent."""
CANCELLED = 0.1
"""Channels cancel if the mean's RMS is less than this share (-20 dB) of theirs; 32 independent ones keep 0.18."""


class Mixdown:
    """The mean of a file's channels, block by block.

    Attributes:
      samples: how many there are, of each channel.
      finite: how many of all are finite.
      peak: the largest absolute one.
    """

    def __init__(self, channels: int):
        self.channels, self.samples, self.finite, self.peak = channels, 0, 0, 0.0
        self._energy = self._left = 0.0  # of all channels, of their mean

    def add(self, block: np.ndarray) -> np.ndarray:
        """The mean, float32 (time,), of the next samples, float32 (time, channels)."""
        self.samples += len(block)
        self.finite += int(np.isfinite(block).sum())
        self.peak = max(self.peak, float(block.max()), -float(block.min()))
        if self.channels == 1:
            return block[:, 0]
        mean = _mean(block)
        self._energy += _energy(block)
        self._left += _energy(mean)
        return mean

    def cancels(self) -> bool:
        """Whether the channels are heard and their mean is not (see `CANCELLED`)."""
        if self.channels == 1 or self._energy < SILENT**2 * self.samples * self.channels:
            return False
        return math.isfinite(self._energy) and self._left < CANCELLED**2 * self._energy / self.channels


def _mean(block: np.ndarray) -> np.ndarray:
    """The mean of the channels; of two by their sum: the same bits, in a tenth of the time."""
    with np.errstate(all="ignore"):  # samples that are not finite are counted, and refused at the end
        if block.shape[1] == 2:
            return (block[:, 0] + block[:, 1]) / np.float32(2)
        return block.mean(axis=1, dtype=np.float32)


def _energy(block: np.ndarray) -> float:
    """The sum of squares, to the few digits that single precision gives; infinite beyond it."""
    with np.errstate(all="ignore"):
        return float(np.vdot(block, block))
