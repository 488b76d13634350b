"""A sweep's lock: who holds it, whose is taken over; and a sweep killed at any moment."""

import json
import os
import random
import socket
import subprocess
import sys

import pytest

from benchmarks import kill_sweep
from dhauds_jax.runs.sweep import sweep
from dhauds_jax.workdir import locks, records
from tests.runs.test_sweep import SET, WHN, a_run, make_place, table


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return make_place(tmp_path_factory.mktemp("sweep"))


def hold(folder, **changes):
    folder.mkdir(exist_ok=True)
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2026-01-02 03:04:05 +0000"}
    holder |= {"start": locks.start_of(os.getpid())} | changes
    (folder / "run.lock").write_text(json.dumps(holder))


def a_dead_process():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_second_sweep_in_a_folder_says_who_is_there(place, tmp_path):
    path, out = table(tmp_path, WHN), tmp_path / "out"
    hold(out)
    expected = rf"is running here \(process {os.getpid()} on {socket.gethostname()}, since 2026-01-02 03:04:05"
    with pytest.raises(ValueError, match=expected):
        sweep(a_run(place, path, out), "c")
    hold(out, host="elsewhere", pid=a_dead_process())
    with pytest.raises(ValueError, match=r"on elsewhere, .*remove .*run\.lock if that machine is gone"):
        sweep(a_run(place, path, out), "c")
    assert json.loads((out / "run.lock").read_text())["host"] == "elsewhere"
    assert records.read(out) == []


@pytest.mark.parametrize("stale", ["dead", "another_process_of_that_number", "torn"])
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, stale):
    if stale == "dead":
        hold(tmp_path, pid=a_dead_process())
    elif stale == "torn":
        (tmp_path / "run.lock").write_text("")
    else:
        hold(tmp_path, start="another boot:1")
    with locks.held(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_zombie_holds_no_lock(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet waited for
    hold(tmp_path, pid=child.pid, start="whenever")
    with locks.held(tmp_path):
        pass
    child.wait()


@pytest.mark.slow
def test_a_sweep_killed_at_any_moment_ends_with_the_same_records(place, tmp_path):
    """Three kills at moments drawn from a seed; a row a method, so that kills fall into rows and between them.

    The methods are one that learns nothing, one of one pass and one of two views; `test_adapt_killed.py` kills one
    more.
    """
    methods = ("source", "tent", "dhauds")
    path = table(tmp_path, *(f"here,{SET},ENSC,L2,{name},3,4,1,offline,," for name in methods))
    words = [sys.executable, "-m", "experiments.sweep", f"--recipes={path}", "--save_every_s=0"]
    words += [f"--data_root={place / 'data'}", f"--noise_dir={place / 'noise'}"]
    words += [f"--checkpoint_root={place / 'checkpoints'}"]
    told = []
    found = kill_sweep.kill_and_compare(
        lambda folder: [*words, f"--workdir={folder}"], tmp_path / "kill", kills=3, seed=0, tell=told.append
    )
    assert (found["rows"], found["kills"], found["differing"]) == (3, 3, 0)
    assert [entry["kill"] for entry in told] == [1, 2, 3]


def test_the_comparison_sees_a_record_that_differs(tmp_path):
    """The instrument itself: cost may differ, a number may not."""

    def write(folder, adapted, seconds):
        folder.mkdir()
        records_ = [
            {"recipe": {"row": n, "command": str(folder)}, "adapted": adapted, "seconds": seconds} for n in (2, 1)
        ]
        random.shuffle(records_)
        (folder / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records_))
        return kill_sweep.comparable(folder)

    first = write(tmp_path / "a", 0.5, 1.0)
    assert first == write(tmp_path / "b", 0.5, 2.0)
    assert first != write(tmp_path / "c", 0.6, 1.0)
    assert [r["recipe"]["row"] for r in first] == [1, 2]
