"""The arithmetic of a table's rows against a count by hand."""

import numpy as np
import pytest
import soundfile

from dhauds_jax.data import sets
from dhauds_jax.errors import BadInput
from dhauds_jax.recipes import cost, table
from dhauds_jax.recipes.rows import Roots
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


OWN = "dataset,net,corruption,level,method,epochs,batch_size,seed\n"


def own_rows(folder, *sets_):
    path = folder / "mine.csv"
    path.write_text(OWN + "".join(f"{name},amaut_tiny,clean,-,source,1,8,0\n" for name in sets_))
    return table.read(str(path)).rows


def test_clips_of_own_sets_are_counted_where_they_lie(tmp_path):
    ours, made, foreign, folder = own_rows(
        tmp_path, "synthetic", "tests.data.foreign:TONES", "tests.data.foreign:ON_DISK", "folder"
    )
    assert cost.clips_of(ours, cost.NOWHERE) == 280
    assert cost.clips_of(made, cost.NOWHERE) == len(sets.get("tests.data.foreign:TONES").generate("test", 0).ids) > 0
    assert cost.clips_of(foreign, cost.NOWHERE) is None
    with pytest.raises(BadInput, match="the classes of folder are not known, expected --data_root with its folder fol"):
        cost.clips_of(folder, cost.NOWHERE)
    for name in ("a/1.wav", "a/2.wav", "b/1.wav"):
        path = tmp_path / "folder" / "test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.zeros(8), 16_000)
    assert cost.clips_of(folder, Roots(str(tmp_path), None, None)) == 3


@pytest.mark.slow
def test_own_sets_have_a_total_and_those_of_unknown_size_are_named(tmp_path):
    rows = own_rows(tmp_path, "synthetic", "tests.data.foreign:ON_DISK")
    made, foreign, everything = cost.costs_of(rows)
    assert made.total == pytest.approx(280 * (made.update + 2 * 3 * made.forward) / 1e6) and made.forward > 0
    assert (foreign.clips, foreign.total) == (None, None) and foreign.forward > 0
    assert (everything.rows, everything.total) == (1, made.total)
    printed = list(cost.lines([*rows, rows[0]._replace(waits_for=("vgg",))]))
    assert "| ? | " in printed[3] and printed[3].endswith("| ? |") and printed[4].startswith("| all | 1 |")
    assert printed[5].startswith("not in the total: 1 row of sets whose number of clips is not known; give --data_root")
    assert printed[6] == "not in the table: 1 row that waits for something"


def test_a_set_without_its_folder_is_one_row_of_question_marks_and_the_others_are_counted(tmp_path, monkeypatch):
    """It ended the command with the rows after it uncounted."""
    monkeypatch.setattr(cost, "_gflop", lambda *_: (2.0, 1.0))
    printed = list(cost.lines(own_rows(tmp_path, "folder", "synthetic")))
    assert printed[2:] == [
        "| folder/amaut_tiny/source | 1 | ? | ? | ? | ? |",
        "| synthetic/amaut_tiny/source | 1 | 280 | 2 | 1 | 0.00224 |",
        "| all | 1 |  | |  | 0.00224 |",
        "not counted: 1 row: the classes of folder are not known, expected --data_root with its folder folder/",
    ]
