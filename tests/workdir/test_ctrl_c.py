"""Ctrl-C in the middle of a pass: the state is kept at that step, and the next run begins there, with the same bits."""

import json
import shutil
import signal

import jax
import pytest

from dhauds_jax.cells.request import AdaptRun
from dhauds_jax.interrupts import KEPT, Stopped
from dhauds_jax.nets import checkpoint
from dhauds_jax.runs.adapt import adapt
from dhauds_jax.runs.pretrain import pretrain_and_save
from dhauds_jax.runs.train import train_and_save
from dhauds_jax.train import loop, pretraining
from dhauds_jax.train.options import TrainOptions
from dhauds_jax.train.request import PretrainOptions, PretrainRun
from dhauds_jax.tta import protocols
from dhauds_jax.workdir import records
from dhauds_jax.workdir.saver import Saver, watching
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ctrl_c")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    return folder


class Counted:
    """A function that counts its calls, and presses Ctrl-C at one of them."""

    def __init__(self, function, at=None):
        self.function, self.at, self.calls = function, at, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.at:
            signal.raise_signal(signal.SIGINT)
        return self.function(*args, **kwargs)


def calls(monkeypatch, room, name, run, at=None):
    """How often `room.name` was called in `run()`, which ends with Ctrl-C where it is pressed."""
    counted = Counted(getattr(room, name), at)
    with monkeypatch.context() as patched:
        patched.setattr(room, name, counted)
        if at is None:
            run()
        else:
            with pytest.raises(KeyboardInterrupt, match=f"^{KEPT}$"):
                run()
    return counted.calls


def stops_and_goes_on(monkeypatch, room, name, run, at):
    """Runs whole, then in two sittings; gives the updates of each. Nothing is due to be saved by the clock."""
    whole = calls(monkeypatch, room, name, lambda: run("whole"))
    first = calls(monkeypatch, room, name, lambda: run("stopped"), at)
    return whole, first, calls(monkeypatch, room, name, lambda: run("stopped"))


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "at", "left"), [("offline", 2, 4), ("offline", 3, 3), ("online", 2, 1)])
def test_an_adaptation_goes_on_at_the_update_where_it_was(place, tmp_path, monkeypatch, protocol, at, left):
    """Three batches a pass, two passes: stopped in the first one, and before the evaluation at its end."""
    source = tiny.make_checkpoint(place / "source")
    asked = {"method": ["tent"], "corruption": ["WHN"], "protocol": [protocol], "epochs": 2, "batch_size": 5}

    def run(name):
        where = {"data_dir": str(place / "data"), "workdir": str(tmp_path / name), "save_every_s": 3600.0}
        adapt(AdaptRun(dataset="arabic_speech_commands", checkpoint=str(source), **asked, **where), "c")

    updates = stops_and_goes_on(monkeypatch, protocols, "batch_of", run, at)
    assert updates == (at + left, at, left)
    kept = [records.read(tmp_path / name) for name in ("whole", "stopped")]
    whole, stopped = ({k: v for k, v in r.items() if k not in ("seconds", "peak_memory_mb")} for (r,) in kept)
    assert stopped == whole
    assert not list((tmp_path / "stopped" / "state").iterdir())


@pytest.mark.slow
def test_a_training_goes_on_at_the_update_where_it_was(place, tmp_path, monkeypatch):
    options = TrainOptions(epochs=2, batch_size=8, lr=0.05, selection="best_validation")

    def run(name):
        train_and_save(tiny.a_training(place, tmp_path / name, options, save_every_s=3600.0), "c")

    updates = stops_and_goes_on(monkeypatch, loop, "to_float", run, 6)  # four batches a pass
    assert updates == (8, 6, 2)
    (one, _, first), (other, _, second) = (checkpoint.load(tmp_path / n / "checkpoint") for n in ("whole", "stopped"))
    assert checkpoint.variables_hash(other) == checkpoint.variables_hash(one)
    assert second["training"]["history"] == first["training"]["history"]


@pytest.mark.slow
def test_an_epoch_that_ctrl_c_ends_has_its_line(place, tmp_path, monkeypatch):
    """Its scores and seconds were lost: the line was written after the state, with which Ctrl-C ends the command."""
    options = TrainOptions(epochs=2, batch_size=30, lr=0.05)
    run = tiny.a_training(place, tmp_path, options, save_every_s=3600.0)
    calls(monkeypatch, loop, "kept_variables", lambda: train_and_save(run, "c"), 1)  # once an epoch, after its scores
    assert train_and_save(run, "c").startswith("validation accuracy ")
    lines = [json.loads(line) for line in (tmp_path / "progress.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["epoch", "loss", "accuracy", "macro_f1", "nll", "lr", "seconds"]] * 2


@pytest.mark.slow
def test_a_pretraining_goes_on_at_the_update_where_it_was(place, tmp_path, monkeypatch):
    options = PretrainOptions(epochs=2, batch_size=10, mask_patches=5, clusters=True, warmup_steps=0, lr=6e-3)
    asked = {"dataset": "arabic_speech_commands", "data_dir": str(place / "data"), "net": "ssast_test"}

    def run(name):
        pretrain_and_save(PretrainRun(**asked, workdir=str(tmp_path / name), options=options, save_every_s=3600.0), "c")

    updates = stops_and_goes_on(monkeypatch, pretraining, "_fetched", run, 1)  # three batches a pass, one fetched late
    assert updates == (6, 2, 4)
    (one, _, first), (other, _, second) = (checkpoint.load(tmp_path / n / "checkpoint") for n in ("whole", "stopped"))
    assert checkpoint.variables_hash(other) == checkpoint.variables_hash(one)
    assert second["training"]["history"] == first["training"]["history"]


def test_ctrl_c_makes_the_next_state_due_and_ends_the_run_when_it_is_written(tmp_path):
    saver = Saver(tmp_path, every_s=3600.0)
    with pytest.raises(KeyboardInterrupt, match=f"^{KEPT}$"), saver.watching():
        assert not saver.save([1.0], {"position": 1}) and not saver.asked()
        signal.raise_signal(signal.SIGINT)
        assert saver.asked() and saver.due()
        saver.save([2.0], {"position": 2})
        pytest.fail("it goes on")
    assert not saver.asked()
    tree, info = Saver(tmp_path).load([0.0])
    assert (float(tree[0]), info) == (2.0, {"position": 2})


def test_the_state_of_an_unfinished_pass_is_newer_than_the_one_at_its_beginning(tmp_path):
    saver = Saver(tmp_path, every_s=0.0)
    saver.save([1.0], {"position": 3})
    kept = lambda stopped: (stopped.state, {"curve": [0.5]})  # noqa: E731
    with pytest.raises(KeyboardInterrupt), watching(saver, kept):
        raise Stopped([2.0], 3, 7, [0.25])
    shutil.copytree(tmp_path / "00000003-00000007", tmp_path / "00000003")  # killed before the older one was removed
    tree, info = Saver(tmp_path).load([0.0])
    assert float(tree[0]) == 2.0
    assert info == {"position": 3, "curve": [0.5], "updates": 7, "losses": [0.25]}


def test_ctrl_c_after_the_last_state_is_not_lost(tmp_path):
    with pytest.raises(KeyboardInterrupt), Saver(tmp_path).watching():
        signal.raise_signal(signal.SIGINT)
    with watching(None):  # nothing to keep: as ever
        pass


def test_of_several_processes_each_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(KeyboardInterrupt, match=r"^$"), Saver(tmp_path).watching():
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it goes on")
