"""Intervals over seeds, and comparisons of two methods on the same cells."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from dhauds_jax.errors import BadInput

DRAWS = 10_000
"""Bootstrap resamples."""
EXACT = 14
"""Differences up to which a sign-flip test takes all signs; the seven corruptions at both levels are as many."""


class Comparison(NamedTuple):
    """Method a against method b on the cells that both have.

    Attributes:
      pairs: number of cells compared.
      mean: mean difference a - b.
      low, high: 95 % bootstrap interval of the mean, resampled by group.
      wins: cells in which a is better; ties count half.
      p: two-sided sign-flip p-value over the groups' mean differences (exact up to `EXACT` groups); the least that k
        groups allow is 2^(1-k).
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


def two_way(
    values: Sequence[float] | np.ndarray,
    rows: Sequence[Hashable],
    columns: Sequence[Hashable],
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over two crossed factors, such as seeds and cells, both drawn anew.

    Each resample draws as many rows and as many columns as there are, with replacement; a value counts as often as its
    row and its column were drawn together. Wider than over either factor alone; over few of both still too narrow.

    Args:
      values: one a pair of row and column; pairs may be absent.
      rows, columns: the row and the column of each value.
      level: of the interval.
      seed: of the bootstrap.

    Source: Owen 2007 (the pigeonhole bootstrap), arXiv 0712.1111.
    """
    values, rng = np.asarray(values, np.float64), np.random.default_rng(seed)
    weights = np.ones((DRAWS, len(values)))
    for names in (rows, columns):
        order = list(dict.fromkeys(names))
        counts = rng.multinomial(len(order), [1 / len(order)] * len(order), DRAWS)
        weights *= counts[:, [order.index(name) for name in names]]
    total = weights.sum(-1)
    means = (weights @ values)[total > 0] / total[total > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def compare(
    a: Mapping[tuple[Hashable, Hashable], float], b: Mapping[tuple[Hashable, Hashable], float], seed: int = 0
) -> Comparison:
    """Compares two methods cell by cell.

    Args:
      a: (group, cell) -> value, higher being better; groups (seeds) are resampled whole, because cells of one seed
        share their source model.
      b: likewise.
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
    return Comparison(len(common), float(gaps.mean()), float(low), float(high), wins, sign_flip(sums / counts))


def sign_flip(gaps: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of the sign-flip test of a mean: how often random signs take it as far from 0.

    Exact up to `EXACT` differences, from random signs beyond; scipy's `permutation_test`. Source: Fisher 1935.
    """
    gaps = np.asarray(gaps, np.float64)
    if len(gaps) < 2:
        return 1.0

    def mean(values: np.ndarray, axis: int = -1) -> Any:
        # Differences of metrics near 1 are off by 1e-16, however small they are themselves: ties must stay ties.
        return np.round(np.mean(values, axis=axis), 12)

    found = stats.permutation_test(
        (gaps,), mean, permutation_type="samples", n_resamples=2**EXACT, rng=np.random.default_rng(0)
    )
    return float(found.pvalue)


def least_p(count: int) -> float:
    """The smallest p-value that `sign_flip` can give for this many differences: all of one sign."""
    return min(1.0, 2.0 ** (1 - count)) if count <= EXACT else 2 / (2**EXACT + 1)


def seeds_needed(p: float) -> int:
    """How many differences it takes for `least_p` to be below a p-value, such as 6 for 0.05."""
    return next(count for count in range(1, EXACT + 1) if least_p(count) < p)


def student(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Mean and half width of Student's interval, `t s / sqrt(n)`; None of fewer than two values.

    For few values that are about normal, such as one number a seed: of six, t is 2.57.

    Source: Student 1908.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    t = stats.t.ppf((1 + level) / 2, len(values) - 1)
    return float(values.mean()), float(t * values.std(ddof=1) / np.sqrt(len(values)))
