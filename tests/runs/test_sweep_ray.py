"""`experiments.sweep --engine=ray`: what is refused, how rows are brought together, and a worker that is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.recipes.table import read
from dhauds_jax.runs import sweep_ray
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.runs.sweep_finished import Finished
from dhauds_jax.workdir import records
from tests.runs.test_sweep import SET, WHN, a_run, make_place, table, unavailable

ROOT = Path(__file__).resolve().parents[2]
OWN = ("seconds", "command", "peak_memory_mb", "recipe", "git_revision")
"""Keys of a record that differ from run to run."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("sweep"))


def numbers(folder):
    """Records without what differs from run to run, by cell."""
    return {one["cell"]: {k: v for k, v in one.items() if k not in OWN} for one in records.read(folder)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": 2}, "--workers, --retries and --ray_address: expected with --engine=ray"),
        ({"engine": "ray", "workers": -1}, "--workers=-1: expected at least 0"),
        ({"engine": "ray", "parallel": "mesh"}, "--engine=ray: --parallel=mesh, expected jit"),
    ],
)
def test_flags_that_do_not_fit_are_said(place, tmp_path, changes, message):
    with pytest.raises(BadInput, match=message):
        sweep(a_run(place, table(tmp_path, WHN), tmp_path / "out", **changes), "c")


def test_without_ray_it_says_what_to_install(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"^--engine=ray: Ray Serve is not installed, expected: pip install 'dhauds_"):
        sweep(a_run(place, table(tmp_path, WHN), tmp_path / "out", engine="ray"), "c")


def test_paths_are_the_same_on_every_machine(place, tmp_path, monkeypatch):
    path = table(tmp_path, WHN)
    monkeypatch.chdir(tmp_path)
    run = sweep_ray.placed(a_run(place, "mine.csv", "out", noise_dir=None))
    assert (run.recipes, run.workdir, run.noise_dir) == (path, str(tmp_path / "out"), None)
    assert sweep_ray.placed(run.replace(recipes="dhauds")).recipes == "dhauds"


@pytest.mark.slow
def test_rows_brought_together_are_those_of_shards(place, tmp_path):
    path = table(
        tmp_path, WHN, WHN.replace("L1", "L2"), f"here,{SET},XXX,L1,source,1,8,3,online,0.4,0.9".replace("XXX", "ENQ")
    )
    one, two, whole = (a_run(place, path, tmp_path / name) for name in ("one", "two", "whole"))
    sweep(one.replace(shard="1/2"), "c")
    sweep(two.replace(shard="2/2"), "c")
    rows, finished = read(path).rows, Finished(whole)
    for number, row in enumerate(rows, 1):
        left = sweep_ray.run_row(sweep_ray.placed(whole), row.number, f"{number}/{len(rows)}", "c")
        assert json.loads(json.dumps(left)) == left  # what goes from machine to machine is plain
        for _ in range(2):  # a row that is brought twice is there once
            sweep_ray.brought(whole, row, left, finished)
    assert numbers(tmp_path / "whole") == {**numbers(tmp_path / "one"), **numbers(tmp_path / "two")}
    text, code = sweep(whole, "again")
    assert code == 0 and "3 rows of mine: 2 finished before, 1 lacks data or a checkpoint" in text  # no noise for ENQ


@pytest.mark.slow
def test_a_row_that_cannot_run_says_why(place, tmp_path):
    path = table(tmp_path, WHN)
    (tmp_path / "none").mkdir()
    run = a_run(place, path, tmp_path / "out", checkpoint_root=str(tmp_path / "none"))
    left = sweep_ray.run_row(sweep_ray.placed(run), 1, "1/1", "c")
    assert left["outcome"][0] == "missing" and left["outcome"][1].startswith("no checkpoint") and not left["records"]
    assert unavailable(tmp_path / "out" / "rows" / "row-1")[0]["row"] == 1


def descendants(top):
    """Living processes below one, with their command lines."""
    parents, words = {}, {}
    for one in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (one / "stat").read_text().rpartition(") ")[2].split()[:2]
            if state != "Z":
                parents[int(one.name)], words[int(one.name)] = int(parent), (one / "cmdline").read_bytes().decode()
    found = {top}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {one: words[one] for one in found if one in words}


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_row(place, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed (pip install 'dhauds_jax[serve-ray]')")
    rows = [
        WHN.replace("L1", level).replace("source,1", f"tent,{epochs}") for level in ("L1", "L2") for epochs in (1, 40)
    ]
    path = table(tmp_path, *rows)
    run = a_run(place, path, tmp_path / "shards")
    sweep(run, "c")
    words = [f"--{name}={getattr(run, name)}" for name in ("recipes", "noise_dir", "data_root", "checkpoint_root")]
    words += [f"--workdir={tmp_path / 'ray'}", "--engine=ray", "--workers=2", "--save_every_s=0"]
    place_of = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-m", "experiments.sweep", *words]
    process = subprocess.Popen(command, cwd=tmp_path, env=place_of, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    victim, until = None, time.monotonic() + 300
    while victim is None and time.monotonic() < until and process.poll() is None:
        time.sleep(0.2)
        busy = [one for one, said in descendants(process.pid).items() if "ray::run_row" in said]
        victim = busy[0] if len(busy) == 2 else None
    assert victim is not None, process.communicate(timeout=60)[0]
    os.kill(victim, signal.SIGKILL)
    said = process.communicate(timeout=600)[0].decode()
    assert process.returncode == 0, said
    assert "4 rows of mine: 4 run" in said
    assert numbers(tmp_path / "ray") == numbers(tmp_path / "shards")
