"""Transmissions are ours: beside others they have no part in a mean, alone they are what means are of."""

import pytest

from dhauds_jax.report import published, rankings
from dhauds_jax.report.tables import apart, of_transmissions, shifted, summary_table
from tests.report.test_rankings import record
from tests.report.test_tables import a_record


@pytest.mark.parametrize("name", ["RIR", "RIR+MIC", "RIR:halls", "WHN+CDC", "(RIR+MIC)+WHN", "WHN+PLO"])
def test_what_has_a_transmission_in_it(name):
    assert of_transmissions(name)


@pytest.mark.parametrize("name", ["WHN", "clean", "ENU:RIR", "SCN", "WHN+PSH", "CLP", "my.module:RIR"])
def test_what_has_none(name):
    assert not of_transmissions(name)


def test_means_leave_them_out_beside_others_and_are_of_them_alone():
    noise, room, clean = ({"corruption": name} for name in ("WHN", "RIR+MIC", "clean"))
    assert apart([noise, room, clean]) == [noise, clean] and apart([room]) == [room]
    assert shifted([noise, room, clean]) == [noise] and shifted([room, clean]) == [room] and shifted([clean]) == [clean]


def test_the_summary_has_their_rows_but_not_in_its_mean():
    found = [a_record(name, "tent", 0, 0.2, value) for name, value in (("WHN", 0.4), ("PSH", 0.6), ("RIR", 1.0))]
    lines = summary_table(found).splitlines()
    assert any(line.startswith("| RIR | L2 | 20.0 | 100.0 |") for line in lines)
    assert lines[-1] == "| **mean, corrupted (no transmissions)** |  | 20.0 | 50.0 |"
    alone = summary_table(found[2:]).splitlines()[-1]
    assert alone == "| **mean, corrupted** |  | 20.0 | 100.0 |"
    (row,) = (line for line in published.overview(found).splitlines() if line.startswith("| d, n |"))
    assert row == published.overview(found[:2]).splitlines()[-1]


def test_the_board_is_the_same_with_and_without_them():
    found = [record("tent", name, 0, value) for name, value in (("WHN", 0.5), ("PSH", 0.7))]
    found += [record("shot", name, 0, value) for name, value in (("WHN", 0.4), ("PSH", 0.6))]
    rooms = [record(method, "RIR", 0, 0.0) for method in ("tent", "shot")]
    assert rankings.leaderboard(found + rooms) == rankings.leaderboard(found)
    assert rankings.versus(found + rooms) == rankings.versus(found)
    assert rankings.criteria(found + rooms) == rankings.criteria(found)
    assert "RIR" in rankings.by_corruption(found + rooms)
