"""Intervals and comparisons on cases worked out by hand."""

import numpy as np
import pytest

from dhauds_jax.report import intervals


def test_an_interval_holds_the_mean_and_shrinks_with_the_spread():
    assert intervals.interval([0.5]) == (0.5, 0.5)
    low, high = intervals.interval([0.0, 1.0])
    assert (low, high) == (0.0, 1.0)  # a quarter of the resamples each: beyond the 2.5 % quantiles
    values = np.random.default_rng(1).normal(size=400)
    low, high = intervals.interval(values)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_a_comparison_uses_common_cells_and_whole_seeds():
    a = {(seed, cell): 0.5 + 0.1 * seed + 0.01 * cell for seed in range(3) for cell in range(4)}
    b = {key: value - 0.02 * (1 + key[0]) for key, value in a.items()} | {(9, 9): 1.0}
    found = intervals.compare(a, b)
    assert found.pairs == 12
    assert found.mean == pytest.approx(0.04)
    assert found.low == pytest.approx(0.02)  # all three draws are seed 0: 1/27 of the resamples
    assert found.high == pytest.approx(0.06)
    assert found.wins == 12
    assert found.p == pytest.approx(2 / 8)  # three seeds: only all signs equal are as extreme


def test_equal_methods_have_no_difference():
    a = {(seed, 0): 0.1 * seed for seed in range(4)}
    found = intervals.compare(a, dict(a))
    assert found == intervals.Comparison(4, 0.0, 0.0, 0.0, 2.0, 1.0)


def test_ties_of_rounded_differences_are_ties():
    """Means of accuracies near 1: 1, -1, -2 of 1,200 but for rounding; six of the eight sign assignments are as far."""
    gaps = [0.0008333333333333248, -0.0008333333333333526, -0.0016666666666666774]
    assert intervals.sign_flip(gaps) == 0.75
    assert intervals.sign_flip(np.zeros(4)) == 1.0


def test_many_groups_are_sampled():
    a = {(seed, 0): 1.0 for seed in range(20)}
    found = intervals.compare(a, dict.fromkeys(a, 0.0))
    assert found.p < 0.001


def test_no_common_cell_is_refused():
    with pytest.raises(ValueError, match="no cell in common"):
        intervals.compare({(0, "a"): 1.0}, {(1, "a"): 1.0})


def test_the_interval_of_student_over_few_seeds():
    mean, half = intervals.student([0.5, 0.6, 0.7, 0.5, 0.6, 0.7])
    assert mean == pytest.approx(0.6)
    assert half == pytest.approx(2.570582 * 0.0894427 / 6**0.5, rel=1e-5)  # t of five degrees; sqrt(0.04 / 5)
    assert intervals.student([0.5]) is None
