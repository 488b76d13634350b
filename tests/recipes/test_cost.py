"""The arithmetic of a table's rows against a count by hand."""

import jax
import jax.numpy as jnp
import pytest

from dhauds_jax.data import sets
from dhauds_jax.nets import zoo
from dhauds_jax.recipes import cost, table
from dhauds_jax.runs.requests.sweep import SweepRun
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.tta import flops

NET = "amaut_arabic15"
"""The smallest AMAuT with classes of its own."""


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
    mine = [row._replace(net=NET, epochs=2), row._replace(net=NET, epochs=3)]
    one, everything = cost.costs_of(mine)
    clips = sets.REGISTRY["speech_commands_v2"].counts["test"]
    assert (one.name, one.rows, one.clips) == (f"speech_commands_v2/{NET}/dhauds", 2, clips)
    # Two views forward, and backward at twice the price, but for the front end, which has no weights.
    classifier = zoo.build(zoo.preset(NET))
    wave = jax.ShapeDtypeStruct((1, classifier.config.length), jnp.float32)
    front = flops.counted(classifier.features, wave) / 1e9
    assert 0.1 * one.forward < front < 0.5 * one.forward
    net = one.forward - front
    assert 2 * front + 5.5 * net < one.update < 2 * front + 6.5 * net
    assert one.total == pytest.approx(clips * (5 * one.update + 2 * (4 + 5) * one.forward) / 1e6)
    assert (everything.rows, everything.total) == (2, one.total)


@pytest.mark.slow
def test_the_command_prints_a_table_and_needs_no_workdir(tmp_path, capsys):
    header = "source,dataset,net,corruption,level,method,epochs,batch_size,seed,protocol"
    rows = [f"here,speech_commands_v2,{net},WHN,L1,source,1,8,0,online" for net in (NET, "hubert_base_sc2")]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    run = SweepRun(recipes=str(path), only=("speech_commands_v2/amaut*/WHN-L1/*",), cost=True)
    text, code = sweep(run, "c")
    assert code == 0 and text.startswith("counted by XLA for 1 of 2 rows")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith(f"| speech_commands_v2/{NET}/source | 1 | 11005 | ")
    assert lines[3].startswith("| all | 1 |")
