"""Intervals over seeds, and comparisons of two methods on the same cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from dhauds_jax.errors import BadInput

DRAWS = 10_000
"""Bootstrap resamples."""


class Comparison(NamedTuple):
    """Method a against method b on the cells that both have.

    Attributes:
      pairs: number of cells compared.
      mean: mean difference a - b.
      low, high: 95 % bootstrap interval of the mean, resampled by group.
      wins: cells in which a is better; ties count half.
      p: two-sided sign-flip p-value over the groups' mean differences (exact up to 12 groups); the least that k groups
        allow is 2^(1-k).
    """

    pairs: int
    mean: float
    low: float
    high: float
    wins: float
    p: float


def interval(values: Sequence[float] | np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean; with one value both ends are that value.

    Over few seeds it is narrow by construction (three values have ten distinct resamples), so give their number too.

    Source: Efron 1979.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(-1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compare(
    a: Mapping[tuple[Hashable, Hashable], float], b: Mapping[tuple[Hashable, Hashable], float], seed: int = 0
) -> Comparison:
    """Compares two methods cell by cell.

    Args:
      a, b: (group, cell) -> value, higher being better; groups (seeds) are resampled whole, because cells of one seed
        share their source model.
      seed: of the bootstrap.

    Raises:
      BadInput: they have no cell in common.
    """
    common = sorted(set(a) & set(b), key=str)
    if not common:
        raise BadInput("compare: the two methods have no cell in common, expected records of the same cells")
    gaps = np.array([a[key] - b[key] for key in common])
    names = list(dict.fromkeys(group for group, _ in common))
    members = [np.flatnonzero([group == name for group, _ in common]) for name in names]
    sums, counts = np.array([gaps[m].sum() for m in members]), np.array([len(m) for m in members])
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(names), (DRAWS, len(names)))
    low, high = np.quantile(sums[drawn].sum(-1) / counts[drawn].sum(-1), [0.025, 0.975])
    wins = float((gaps > 0).sum() + 0.5 * (gaps == 0).sum())
    return Comparison(len(common), float(gaps.mean()), float(low), float(high), wins, _sign_flip(sums / counts, rng))


def _sign_flip(gaps: np.ndarray, rng: np.random.Generator) -> float:
    """Share of sign assignments whose mean is at least as far from 0 as the one found."""
    if len(gaps) <= 12:
        signs = np.array(list(product((-1, 1), repeat=len(gaps))))
    else:
        signs = np.concatenate([np.ones((1, len(gaps))), rng.choice((-1, 1), (DRAWS, len(gaps)))])
    means = np.abs((signs * gaps).mean(-1))
    return float(np.mean(means >= abs(gaps.mean()) - 1e-12))
