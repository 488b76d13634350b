"""Means over seeds and their intervals: by hand, and by scipy's t-test."""

import numpy as np
import pytest
from scipy import stats

from dhauds_jax.report import estimates
from dhauds_jax.report.tables import shifted
from tests.report.test_tables import CLEAN, a_record


def last(record):
    return record["adapted_last"]


def test_three_seeds_by_hand():
    """sd 0.1; t with two degrees of freedom is 4.302653; half = 4.302653 * 0.1 / sqrt(3) = 0.248414."""
    found = estimates.estimate([0.5, 0.6, 0.7])
    np.testing.assert_allclose(found, (0.6, 0.351586, 0.848414, 0.1, 3), atol=1e-6)
    assert estimates.estimate([0.4, 0.4]) == (0.4, 0.4, 0.4, 0.0, 2)


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_interval_is_that_of_a_t_test(count):
    values = np.random.default_rng(count).uniform(size=count)
    found = estimates.estimate(values)
    np.testing.assert_allclose(found[1:3], stats.ttest_1samp(values, 0).confidence_interval(0.95))


def test_one_seed_has_no_interval():
    assert estimates.estimate([0.5])[::4] == (0.5, 1)
    assert np.isnan(estimates.estimate([0.5])[1:4]).all()
    assert np.isnan(estimates.estimate([]).mean)


def test_a_mean_over_cells_is_within_seeds_that_have_all_of_them():
    """Seed 2 lacks TST; WHN of seed 0 was run twice and counts once: ((.2 + .4) / 2 + .8) / 2 = .55."""
    found = [a_record("WHN", "tent", 0, 0.1, v, cell=v) for v in (0.2, 0.4)]
    found += [a_record("TST", "tent", 0, 0.1, 0.8), a_record("WHN", "tent", 1, 0.1, 0.6)]
    found += [a_record("TST", "tent", 1, 0.1, 0.7), a_record("WHN", "tent", 2, 0.1, 0.9)]
    means = estimates.over_cells(found, last)
    assert means.values == {(0, 0): pytest.approx(0.55), (1, 0): pytest.approx(0.65)}
    assert means.cells == 2
    assert estimates.names_of(means.left_out) == "seed 2 lacks TST-L2"
    assert shifted([CLEAN, *found]) == found
    assert shifted([CLEAN]) == [CLEAN]


def test_a_seed_with_other_source_weights_is_another_unit():
    """Of each net and seed the weights are counted from the first on; over two data sets the first meet the first."""
    places = [("d", "a"), ("d", "b"), ("e", "c"), ("e", "c"), ("d", "b")]
    found = [a_record("WHN", "tent", 0, 0.1, 0.2, dataset=d, source_checkpoint=w) for d, w in places]
    assert estimates.units(found) == [(0, 0), (0, 1), (0, 0), (0, 0), (0, 1)]
    assert estimates.unit_name((0, 1)) == "seed 0 of source weights 2"


def test_what_is_lacking_is_named_once():
    cells = [("d", "n", "WHN", "L1"), ("d", "n", "clean", "-")]
    lacking = {(1, 0): cells, (2, 0): cells, (3, 0): [*cells, ("e", "m", "TST", "L2")]}
    assert estimates.names_of({(1, 0): cells, (2, 0): cells}) == "seed 1, seed 2 lack WHN-L1, clean"
    assert estimates.names_of(lacking) == (
        "seed 1, seed 2 lack WHN-L1, clean of d, n; seed 3 lacks WHN-L1, clean of d, n and TST-L2 of e, m"
    )
