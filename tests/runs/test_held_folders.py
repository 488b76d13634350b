"""Every command that keeps states holds the folder it works in, before it looks at anything else."""

import json
import os
import socket
from types import SimpleNamespace

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.runs import adapt, classify, corrupt, elect, leaderboard, pretrain, study, train, tune
from dhauds_jax.workdir import locks, records

COMMANDS = (
    adapt.adapt,
    study.run_study,
    train.train_and_save,
    pretrain.pretrain_and_save,
    elect.run_election,
    tune.tune,
    classify.classify,
    lambda run, command: corrupt.write_set(run),
)


def hold(folder, name):
    """As if another process, which lives, worked in the folder."""
    pid = os.getppid()
    holder = {"host": socket.gethostname(), "pid": pid, "since": "2026-01-02", "start": locks.start_of(pid)}
    (folder / name).write_text(json.dumps(holder))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_command_in_a_folder_is_refused(command, tmp_path):
    hold(tmp_path, locks.FILE)
    with pytest.raises(BadInput, match=r"another command is running here \(process .*give another --(workdir|output),"):
        command(SimpleNamespace(workdir=str(tmp_path), output=str(tmp_path)), "c")
    assert [path.name for path in tmp_path.iterdir()] == [locks.FILE]


def test_the_shards_of_a_leaderboard_fill_one_folder_at_once(tmp_path, monkeypatch):
    filled = []

    @locks.holding()
    def adapt_cells(run, command, on_cell, programs):
        filled.append(sorted(path.name for path in tmp_path.iterdir()))
        (tmp_path / records.FILE).touch()

    monkeypatch.setattr(leaderboard, "adapt", adapt_cells)
    monkeypatch.setattr(leaderboard.checkpoints, "load_config", lambda folder: None)
    monkeypatch.setattr(leaderboard.zoo, "build", lambda config: None)
    monkeypatch.setattr(leaderboard, "able", lambda names, classifier, profile: names)
    run = leaderboard.LeaderboardRun(
        data_dir="d", noise_dir="n", checkpoint_root="c", seed=["1"], method=["source", "norm"], protocol=["online"],
        tuned=None, subset=None, epochs=1, batch_size=6, shard="2/2", workdir=str(tmp_path),
    )  # fmt: skip
    hold(tmp_path, "run-1-of-2.lock")
    assert leaderboard.fill(run, "c").startswith("leaderboard: 1 method, 1 seed")
    assert filled == [["run-1-of-2.lock", "run-2-of-2.lock"]]
    with pytest.raises(BadInput, match="another command is running here"):
        leaderboard.fill(run.replace(shard="1/1"), "c")
    with pytest.raises(BadInput, match="another command is running here"):
        adapt.adapt(SimpleNamespace(workdir=str(tmp_path)), "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == [records.FILE, "run-1-of-2.lock"]
