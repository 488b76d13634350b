"""The plan of a command names the cells that it runs, and counts their passes, before anything is made."""

import io
import sys

import numpy as np
import pytest

from dhauds_jax import estimates
from dhauds_jax.cells import running, targets, worklist
from dhauds_jax.cells.checking import check
from dhauds_jax.cells.planned import Name, Plan, begun_in, plan_of
from dhauds_jax.cells.source import SourceModel
from dhauds_jax.data import sets
from dhauds_jax.names import PROTOCOLS
from dhauds_jax.nets import zoo
from tests.cells.test_worklist import some_clips
from tests.runs.adapt_runs import a_run

WORDS = sets.get("synthetic")


@pytest.fixture(scope="module")
def source():
    return SourceModel(zoo.build(zoo.preset("amaut_tiny", WORDS.classes)), {}, "weights")


def a_plan(source, tmp_path, records=(), **changes):
    changes = {"dataset": "synthetic", "method": ["source", "tent"], "noise_dir": None} | changes
    run = a_run(tmp_path, tmp_path, **changes)
    checked = check(run)
    return run, checked, plan_of(run, checked, source, records)


def test_it_names_the_cells_that_are_run(source, tmp_path):
    lists = {"corruption": ["clean", "WHN", "TST"], "level": ["L2", "L1"], "protocol": list(PROTOCOLS)}
    run, checked, plan = a_plan(source, tmp_path, **lists)
    found = worklist.works_of(run, targets.Loaded(WORDS, some_clips(), 2_000), checked.pairs)
    assert set(plan._passes) == {
        Name(work.corruption, work.level, protocol, method)
        for work in found
        for protocol in work.protocols
        for method in run.method
    }


def test_passes_by_hand(source, tmp_path):
    """Three epochs of an update (one forward, one backward pass) and five evaluations; a stream's update and one."""
    _, _, plan = a_plan(source, tmp_path, corruption=["WHN", "TST"], protocol=["offline", "online", "continual"])
    assert {name[1:]: passes for name, passes in plan._passes.items() if name.corruption == "WHN"} == {
        ("L2", "offline", "source"): 1 + 3,
        ("L2", "offline", "tent"): 3 * 3 + 5,
        ("L2", "online", "source"): 1 + 1,
        ("L2", "online", "tent"): 3 + 1,
    }
    assert plan._passes[Name("WHN+TST", "L2", "continual", "tent")] == 2 * (3 + 1)
    assert plan.says(900) == "work: 10 cells of 900 clips, 60 passes over them in all (a backward pass counts as two)"
    _, _, two = a_plan(source, tmp_path, draw="two", protocol=["offline"])
    assert two._passes[Name("WHN", "L2", "offline", "tent")] == 3 * 3 + 2 * 5


def test_what_has_a_record_is_not_left(source, tmp_path):
    run, checked, plan = a_plan(source, tmp_path, protocol=["online"])
    options = {**checked.options["tent"], "batch_size": run.batch_size, "epochs": 1}
    record = {"dataset": "synthetic", "profile": "reference", "seed": 1, "source_checkpoint": "weights", "level": "L2"}
    options |= {"draw": "single", "draw_seed": 1}
    record |= {"corruption": "WHN", "protocol": "online", "method": "tent", "options": options}
    record |= {"selection": {"criterion": run.criterion}, "protocol_options": checked.protocol_options["online"]}
    assert plan.says(1) == "work: 2 cells of 1 clip, 6 passes over them in all (a backward pass counts as two)"
    _, _, left = a_plan(source, tmp_path, [record], protocol=["online"])
    assert left.says(1).startswith("work: 1 cell of 1 clip, 2 passes over") and left.says(1).endswith(
        "; 1 other has a record"
    )
    for other in (
        {"seed": 2},
        {"options": {**options, "epochs": 5}},
        {"options": {**options, "lr": 9.0}},
        {"source_checkpoint": "others"},
        {"options": {**options, "subset": "few.txt"}},
        {"options": {**options, "draw": "two"}},
        {"selection": {"criterion": "another"}},
        {"protocol_options": {"reset": "every:2"}},
    ):
        assert a_plan(source, tmp_path, [{**record, **other}], protocol=["online"])[2].left == 2


def test_of_a_cell_that_has_begun_what_is_left_is_planned(source, tmp_path):
    """Before, the whole cell was, whatever an earlier sitting had done of it."""
    changes = {"corruption": ["WHN", "TST"], "protocol": ["offline"], "method": ["tent"], "epochs": 8}
    run, checked, plan = a_plan(source, tmp_path, **changes)
    assert plan.says(9) == "work: 2 cells of 9 clips, 68 passes over them in all (a backward pass counts as two)"
    work = next(iter(worklist.works_of(run, targets.Loaded(WORDS, some_clips(), 2_000), checked.pairs)))
    cell = worklist.cell_of(run, checked, source, work, "offline", "tent", "of the clips")
    saver = running.saver_of(cell, source, tmp_path)
    saver.save({"x": np.zeros(1)}, {"position": 6, "of": 8, "losses": []}, always=True)
    begun = begun_in(tmp_path)
    assert [(info["identity"]["corruption"], info["position"]) for info in begun] == [("WHN", 6)]
    left = "42 passes over them left (a backward pass counts as two); 1 of them goes on where it was"
    assert plan_of(run, checked, source, [], begun).says(9) == f"work: 2 cells of 9 clips, {left}"
    for other in ({"seed": 2}, {"epochs": 9}, {"options": ["lr=9"]}):
        assert "goes on" not in plan_of(run.replace(**other), check(run.replace(**other)), source, [], begun).says(9)


@pytest.mark.parametrize("cells", [1, 3])
def test_one_cell_speaks_for_itself_and_several_are_estimated(monkeypatch, cells):
    now = [0.0]
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    names = [Name("WHN", "L1", "offline", f"m{k}") for k in range(cells)]
    plan = Plan(dict.fromkeys(names, 10), [], clock=lambda: now[0])
    for name in names:
        with plan.running(name):
            estimates.say("from inside")
            now[0] += 100.0
    inside = ["from inside"]
    line = "estimate: about 5 min for all 3 cells, from the first, reading and compiling included"
    assert stream.getvalue().splitlines() == (inside if cells == 1 else [line])


def test_cells_that_compile_are_not_measured_with_those_that_do_not(monkeypatch):
    """Two methods of eight cells each: 60 s to compile and run, then 6 s a cell."""
    now = [0.0]
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    names = [Name("WHN", f"L{k}", "online", method) for k in range(8) for method in ("tent", "norm")]
    plan = Plan(dict.fromkeys(names, 4), [], clock=lambda: now[0])
    for place, name in enumerate(names):
        with plan.running(name):
            now[0] += 60.0 if place < 2 else 6.0
    line = "estimate: about 3 min for all 16 cells, from 1 cell and 2 that compiled"
    assert stream.getvalue().splitlines() == [line], "120 + 6 and 13 cells of 6 s: 204 s"
    now[0] = 0.0
    plan = Plan(dict.fromkeys([*names[::2], names[0]._replace(protocol="offline")], 4), [], lambda: now[0])
    for place, name in enumerate(names[::2]):
        with plan.running(name):
            now[0] += 60.0 if place < 1 else 6.0
    line = "estimate: about 3 min for all 9 cells, from 1 cell and 1 that compiled"
    assert stream.getvalue().splitlines()[1:] == [line], "66 s, seven cells of 6 s, 54 s to compile: 162 s"
