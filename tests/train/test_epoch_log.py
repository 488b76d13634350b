"""`progress.jsonl` and event files: one line an epoch, however often a training was killed."""

import json
import os

import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.train import epoch_log
from dhauds_jax.train.epoch_log import EpochLog


def history(epochs):
    return [{"epoch": i, "loss": 1 / i, "validation": i / 10} for i in range(1, epochs + 1)]


def scores(epoch):
    return {"accuracy": epoch / 10, "macro_f1": epoch / 20, "nll": 2.0, "lr": 0.05}


def lines(folder):
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


def run(folder, epochs, tensorboard=False):
    log = EpochLog(folder, tensorboard)
    for epoch in epochs:
        log.add(history(epoch), scores(epoch), 1.5)
    log.close()


def test_an_epoch_that_comes_again_after_a_kill_has_one_line(tmp_path):
    run(tmp_path, [1, 2, 3])
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"epoch": 4, "lo')  # killed while it wrote
    run(tmp_path, [3, 4])  # the state that was saved last was that after epoch 2
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert lines(tmp_path)[3] == {"epoch": 4, "loss": 0.25, **scores(4), "seconds": 1.5}


def test_epochs_without_a_line_get_what_the_state_knows(tmp_path):
    run(tmp_path, [3])
    assert lines(tmp_path)[:2] == [{"epoch": i, "loss": 1 / i, "accuracy": i / 10} for i in (1, 2)]
    log = EpochLog(tmp_path)
    log.add(history(4), {}, 0.0)  # all done in an earlier sitting that was killed before its line
    assert [line["epoch"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    run(tmp_path, [1])
    assert [line["epoch"] for line in lines(tmp_path)] == [1], "a training from the first epoch on"


def test_a_line_is_on_the_disk_before_the_state_that_comes_after_it(tmp_path, monkeypatch):
    """Before, after the power went, all that was left of an epoch were loss and accuracy, which the state knows."""
    sizes = []
    monkeypatch.setattr(epoch_log.os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
    log = EpochLog(tmp_path)
    log.add(history(1), scores(1), 1.5)
    assert sizes[-1] == (tmp_path / "progress.jsonl").stat().st_size > 50


def test_a_missing_writer_is_told(monkeypatch):
    monkeypatch.setattr(epoch_log.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"^--tensorboard: tensorboardX is not installed, .*dhauds_jax.tensorboard.\)$"):
        epoch_log.check_tensorboard()


@pytest.mark.slow
def test_event_files_hold_each_epoch_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, [1, 2, 3], tensorboard=True)
    run(tmp_path, [3, 4], tensorboard=True)
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(read.Tags()["scalars"]) == {
        "train/loss",
        "train/lr",
        "validation/accuracy",
        "validation/macro_f1",
        "validation/nll",
    }
    found = [(event.step, event.value) for event in read.Scalars("validation/accuracy")]
    assert found == [(i, pytest.approx(i / 10)) for i in (1, 2, 3, 4)]
    assert [event.step for event in read.Scalars("train/loss")] == [1, 2, 3, 4]
