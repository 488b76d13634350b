"""The arithmetic of a table's rows against a count by hand."""

import pytest

from dhauds_jax.data import sets
from dhauds_jax.recipes import cost, table
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep import sweep


@pytest.fixture(scope="module")
def rows():
    return table.read("dhauds").rows


def test_an_epoch_updates_once_and_looks_at_both_draws(rows):
    row = next(row for row in rows if row.net == "amaut_sc2")
    assert cost.passes(row) == (row.epochs, 2 * (row.epochs + 2))
    assert cost.passes(row._replace(draw="single")) == (row.epochs, row.epochs + 2)
    assert cost.passes(row._replace(protocol="online")) == (1, 1)


@pytest.mark.slow
def test_totals_are_clips_times_passes_times_counts(rows):
    row = next(row for row in rows if row.dataset == "speech_commands_v2" and row.method == "dhauds")
    mine = [row._replace(net="amaut_sc2", epochs=2), row._replace(net="amaut_sc2", epochs=3)]
    one, everything = cost.costs_of(mine)
    clips = sets.REGISTRY["speech_commands_v2"].counts["test"]
    assert (one.name, one.rows, one.clips) == ("speech_commands_v2/amaut_sc2/dhauds", 2, clips)
    # Two views forward, and backward at twice the price.
    assert 5.5 * one.forward < one.update < 6.5 * one.forward
    assert one.total == pytest.approx(clips * (5 * one.update + 2 * (4 + 5) * one.forward) / 1e6)
    assert (everything.rows, everything.total) == (2, one.total)


@pytest.mark.slow
def test_the_command_prints_a_table_and_needs_no_workdir(capsys):
    run = SweepRun(recipes="dhauds", only=("speech_commands_v2/amaut*/WHN-L1/*",), cost=True)
    text, code = sweep(run, "c")
    assert code == 0 and text.startswith("counted by XLA for 1 of 124 rows")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| speech_commands_v2/amaut_sc2/dhauds | 1 | 11005 | ")
    assert lines[3].startswith("| all | 1 |")
