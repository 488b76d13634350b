"""Paired timing: the interval of a median, when a ratio is settled, how many rounds that takes."""

import numpy as np
import pytest

from dhauds_jax.benchmark import pairs


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(pairs, "PAUSE_S", 0.0)


def side(seconds, order, name):
    """A side that takes the given seconds in turn, and notes that it ran and how often."""
    left = iter(seconds)

    def run(calls):
        order.append((name, calls))
        return next(left)

    return run


def test_turns_alternate_and_the_ratio_is_theirs_over_ours():
    order = []
    found = pairs.measured(side([0.05] * 8, order, "a"), side([0.2] * 8, order, "b"))
    assert order[:2] == [("a", 1), ("b", 1)]  # to see how many calls make a turn
    assert order[2:] == [("a", 2), ("b", 1)] * 7
    row = pairs.described(found)
    assert (row["vs_torch"], row["vs_torch_interval"], row["vs_torch_rounds"]) == (4.0, [4.0, 4.0], 7)
    assert row["settled"] and (row["seconds"], row["torch"]["seconds"], row["calls_a_turn"]) == (0.05, 0.2, [2, 1])


def test_a_ratio_that_swings_takes_all_rounds_and_is_not_settled():
    draw = np.random.default_rng(0).choice([1.0, 2.0], 32).tolist()
    found = pairs.measured(side([1.0] * 32, [], "a"), side(draw, [], "b"))
    row = pairs.described(found)
    assert row["vs_torch_rounds"] == 31 and not row["settled"] and row["vs_torch_interval"] == [1.0, 2.0]


def test_one_outlier_is_outvoted_by_more_rounds():
    theirs = [1.0, 1.0, 1.5, 1.5, 1.5, *[1.0] * 27]
    found = pairs.measured(side([1.0] * 32, [], "a"), side(theirs, [], "b"))
    assert 7 < len(found.ratios) < 31 and pairs.settled(found.ratios)


def test_the_interval_is_the_percentile_bootstraps():
    ratios = np.linspace(1.0, 2.0, 11).tolist()
    assert pairs.interval(ratios) == (1.2, 1.8)
    assert pairs.interval(ratios) == pairs.interval(ratios)


@pytest.mark.parametrize(("seconds", "calls"), [(2.0, 1), (0.1, 1), (0.03, 4), (0.0, 100), (1e-5, 100)])
def test_small_programs_are_repeated_within_a_turn(seconds, calls):
    assert pairs.calls_of(seconds) == calls
