"""Who may work in a folder at once. What a sweep says of a held folder is in tests/runs/test_sweep_killed.py."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest

from dhauds_jax import parallel
from dhauds_jax.errors import BadInput
from dhauds_jax.workdir import locks


def hold(folder, name=locks.FILE):
    """As if another process, which lives, worked in the folder."""
    folder.mkdir(exist_ok=True)
    parent = os.getppid()
    holder = {"host": socket.gethostname(), "pid": parent, "since": "2026-01-02", "start": locks.start_of(parent)}
    (folder / name).write_text(json.dumps(holder))


def refused(folder, shard=None):
    with pytest.raises(BadInput, match=r"another command is running here \(process"), locks.held(folder, shard):
        raise AssertionError("it must not be entered")


def test_a_block_inside_a_block_takes_nothing_more_and_gives_nothing_back(tmp_path):
    with locks.held(tmp_path):
        with locks.held(tmp_path), locks.held(tmp_path / "." / "x" / ".."):
            pass
        assert [p.name for p in tmp_path.iterdir()] == [locks.FILE]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_was_written_is_removed_again(tmp_path):
    with pytest.raises(BadInput, match="no such method"), locks.held(tmp_path / "made"):
        raise BadInput("no such method")
    assert not (tmp_path / "made").exists()
    with locks.held(tmp_path / "made"):
        (tmp_path / "made" / "results.jsonl").touch()
    assert [p.name for p in (tmp_path / "made").iterdir()] == ["results.jsonl"]


def test_shards_of_one_count_share_a_folder_and_nothing_else_does(tmp_path):
    hold(tmp_path, "run-1-of-2.lock")
    with locks.held(tmp_path, (2, 2)):
        assert {p.name for p in tmp_path.iterdir()} == {"run-1-of-2.lock", "run-2-of-2.lock"}
        with locks.held(tmp_path):  # `adapt` inside a leaderboard
            pass
    refused(tmp_path, (1, 2))
    refused(tmp_path, (2, 3))
    refused(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["run-1-of-2.lock"]
    hold(tmp_path)
    (tmp_path / "run-1-of-2.lock").unlink()
    refused(tmp_path, (2, 2))


@pytest.mark.parametrize("shard", [None, (1, 2)])
def test_what_a_killed_command_had_not_finished_writing_goes_with_its_lock(tmp_path, shard):
    """Before, such files stayed for good: a name of a killed process is never used again."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    host, dead, lives = socket.gethostname(), child.pid, os.getppid()
    name = locks.FILE if shard is None else "run-1-of-2.lock"
    tmp_path = tmp_path / "out"
    tmp_path.mkdir()
    (tmp_path / name).write_text(json.dumps({"host": host, "pid": dead, "since": "2026", "start": "b:1"}))
    below = tmp_path / "below"
    beside = tmp_path.with_name(f"out.tmp-{host}-{dead}-0")  # of learn, which replaces the whole folder
    gone = (below / f"a.npz.tmp-{host}-{dead}-3", below / f"folder.tmp-{host}-{dead}-0", beside)
    stays = (f"a.npz.tmp-{host}-{lives}-3", f"a.npz.tmp-elsewhere-{dead}-3", "mine.tmp", f"x.tmp-{host}-{dead}-3.wav")
    for path in (*gone[1:], *(below / one for one in stays), tmp_path / "checkpoint.tmp-0a1b2c3d"):
        path.mkdir(parents=True)
    gone[0].touch()
    (tmp_path / f"{name}.tmp-{host}-{dead}-0").touch()
    (tmp_path / f"{name}.tmp-{host}-{lives}-0").touch()
    with locks.held(tmp_path, shard):
        assert sorted(path.name for path in below.iterdir()) == sorted(stays)
        assert not beside.exists()
        kept = {"below", name, f"{name}.tmp-{host}-{lives}-0"} | ({"checkpoint.tmp-0a1b2c3d"} if shard else set())
        assert {path.name for path in tmp_path.iterdir()} == kept


def test_what_ctrl_c_left_goes_with_the_lock_too(tmp_path):
    """It may come while a temporary folder is removed, of which a part then stayed; after other errors all is left."""
    mine = f"a.npz.tmp-{socket.gethostname()}-{os.getpid()}-3"
    for error, left in ((KeyboardInterrupt, []), (ValueError, ["checkpoint.tmp-0a1b2c3d"])):
        with pytest.raises(error), locks.held(tmp_path):
            (tmp_path / "checkpoint.tmp-0a1b2c3d").mkdir()
            (tmp_path / "below" / mine).mkdir(parents=True)
            raise error
        assert [path.name for path in tmp_path.iterdir() if path.name != "below"] == left
        assert (tmp_path / "below" / mine).exists() == bool(left)


def test_a_lock_that_another_took_meanwhile_stays(tmp_path):
    with locks.held(tmp_path):
        hold(tmp_path)  # a user removed ours, another command came
    assert [p.name for p in tmp_path.iterdir()] == [locks.FILE]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_disk_without_hard_links_has_locks_too(tmp_path, monkeypatch, number):
    def link(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    with locks.held(tmp_path):
        assert [p.name for p in tmp_path.iterdir()] == [locks.FILE]
        assert json.loads((tmp_path / locks.FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []
    hold(tmp_path)
    refused(tmp_path)
    assert json.loads((tmp_path / locks.FILE).read_text())["pid"] == os.getppid()


def test_what_went_wrong_is_said_where_the_lock_cannot_be_removed(tmp_path, monkeypatch):
    """Before, the lock's own error took the place of the command's."""

    def fails(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with pytest.raises(BadInput, match="the command's"), locks.held(tmp_path):
        monkeypatch.setattr(locks, "_read", fails)
        raise BadInput("the command's")


class Run(NamedTuple):
    output: str
    times: int


def test_a_decorated_function_holds_the_folder_of_its_run(tmp_path):
    @locks.holding("output")
    def work(run, word, *, end):
        """Works."""
        assert (tmp_path / locks.FILE).exists()
        return run.times * word + end

    assert work.__doc__ == "Works."
    assert work(Run(str(tmp_path), 2), "a", end="b") == "aab"
    assert list(tmp_path.iterdir()) == []
    hold(tmp_path)
    with pytest.raises(BadInput, match="another command is running here"):
        work(Run(str(tmp_path), 2), "a", end="b")


def test_of_several_processes_the_first_one_holds_for_all_and_all_hear_of_a_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with locks.held(tmp_path):
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(parallel, "of_first", lambda value: 1)
    with pytest.raises(BadInput, match="the first process of this run says"), locks.held(tmp_path):
        raise AssertionError("it must not be entered")


def test_a_folder_that_cannot_be_made_is_told_with_its_flag(tmp_path):
    """Before: "/proc/e: No such file or directory", with no word of --workdir."""
    (tmp_path / "file").write_text("")
    for place, flag, reason in (
        (tmp_path / "file", "output", "File exists"),
        (tmp_path / "file" / "below", "workdir", "Not a directory"),
    ):
        said = f"--{flag}={place}: cannot be made ({reason}), expected a folder that can"
        with pytest.raises(BadInput, match=f"^{re.escape(said)}$"), locks.held(Path(place), flag=flag):
            pytest.fail("it is held")


def test_folders_that_were_made_for_a_lock_go_with_it(tmp_path):
    """Found by tests/faults/feed_flags: of `--workdir=a/b` a refused command left the folder `a`."""
    with locks.held(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / locks.FILE).is_file()
    assert list(tmp_path.iterdir()) == []
    with locks.held(tmp_path / "a" / "b"):
        (tmp_path / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["kept"]
