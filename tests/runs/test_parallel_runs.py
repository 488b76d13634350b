"""train, adapt and sweep over several devices and processes end as on one device, and one process alone writes."""

import json
import signal

import jax
import numpy as np
import pytest

from dhauds_jax.nets import checkpoint
from dhauds_jax.workdir import records
from tests.children import address, child, finished, outputs
from tests.runs import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def near(one, other):
    """Sums over devices are taken in another order; weight-standardised layers and BatchNorm over few rows amplify."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(a).max()))


@pytest.fixture(scope="module")
def runs(place):
    finished(child(4, "tests.runs.parallel_runs", place))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pmap", "mesh"])
def test_training_ends_near_one_device(runs, kind):
    """Six updates with mixup, whose partners come from the whole batch, and dropout; batches of 12, the last of 6."""
    one, _, _ = checkpoint.load(runs / "train-jit" / "checkpoint")
    other, _, extra = checkpoint.load(runs / f"train-{kind}" / "checkpoint")
    assert extra["training"]["parallel"] == {"kind": kind, "devices": 4, "processes": 1}
    near(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pmap", "mesh"])
def test_records_agree_with_one_device(runs, kind):
    one, other = (records.read(runs / f"adapt-{k}") for k in ("jit", kind))
    assert [r["cell"] for r in other] == [r["cell"] for r in one]
    assert len(one) == 4
    for a, b in zip(one, other):
        assert "parallel" not in a
        assert b["parallel"] == {"kind": kind, "devices": 4, "processes": 1}
        assert b["stream_checksum"] == a["stream_checksum"]
        assert b["nll"] == pytest.approx(a["nll"], rel=1e-4)
        assert b["curve"][-1]["losses"] == pytest.approx(a["curve"][-1]["losses"], rel=1e-4, abs=1e-5)


@pytest.fixture(scope="module")
def two(runs):
    """Two processes of two devices that save at every step: to the end, stopped and killed in the middle, gone on."""
    words = ("tests.runs.parallel_runs", runs, address())
    first, second = [child(2, *words, number, "first") for number in range(2)]
    _, err = first.communicate(timeout=900)
    second.kill()
    second.communicate()
    assert first.returncode == -signal.SIGKILL, err[-2000:]
    assert sorted(path.name for path in (runs / "train-killed" / "state" / "train").iterdir()) == ["00000001"]
    words = ("tests.runs.parallel_runs", runs, address())
    outputs([child(2, *words, number, "second") for number in range(2)])
    return runs


@pytest.mark.slow
def test_two_processes_that_save_at_every_step_end_with_the_record_of_one_device(two):
    (other,) = records.read(two / "adapt-two")
    (one,) = [r for r in records.read(two / "adapt-jit") if r["cell"] == other["cell"]]
    assert other["parallel"] == {"kind": "mesh", "devices": 4, "processes": 2}
    assert other["stream_checksum"] == one["stream_checksum"]
    assert other["nll"] == pytest.approx(one["nll"], rel=1e-4)
    assert other["curve"][-1]["losses"] == pytest.approx(one["curve"][-1]["losses"], rel=1e-4, abs=1e-5)
    assert sorted(path.name for path in (two / "adapt-two").iterdir()) == ["examples", "results.jsonl", "state"]
    assert list((two / "adapt-two" / "state").iterdir()) == []


@pytest.mark.slow
def test_two_processes_stopped_in_a_stream_end_as_if_they_had_not_been(two):
    (stopped,) = records.read(two / "adapt-stopped")
    (whole,) = records.read(two / "adapt-two")
    same = ("cell", "curve", "nll", "metrics", "reliability", "stream_checksum", "parameters_moved")
    assert [stopped[name] for name in same] == [whole[name] for name in same]


@pytest.mark.slow
def test_a_training_of_two_processes_that_were_killed_ends_near_one_device(two):
    one, _, expected = checkpoint.load(two / "train-jit" / "checkpoint")
    other, _, extra = checkpoint.load(two / "train-killed" / "checkpoint")
    assert extra["training"]["parallel"] == {"kind": "mesh", "devices": 4, "processes": 2}
    losses = [[point["loss"] for point in found["training"]["history"]] for found in (extra, expected)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    near(one, other)
    assert sorted(path.name for path in (two / "train-killed").iterdir()) == ["checkpoint", "progress.jsonl", "state"]
    assert [path.name for path in (two / "train-killed" / "state").iterdir()] == ["trained"]
    lines = (two / "train-killed" / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]


@pytest.mark.slow
def test_two_processes_write_one_record_a_cell(place, tmp_path):
    tiny.make_arabic(tmp_path / "data", {"train": 1, "val": 1, "test": 2})  # silhouettes need two clips of a word
    words = [
        "experiments.adapt", "--dataset=arabic_speech_commands", f"--data_dir={tmp_path / 'data'}", "--corruption=WHN",
        f"--checkpoint={place / 'checkpoint'}", "--method=norm", "--protocol=online", "--batch_size=6", "--draw=single",
        f"--workdir={tmp_path / 'work'}", "--parallel=mesh", f"--coordinator={address()}", "--num_processes=2",
        "--embeddings", "--save_every_s=0",
    ]  # fmt: skip
    first, second = outputs([child(2, *words, f"--process_id={i}") for i in range(2)])
    assert f"1 record written: {tmp_path / 'work' / 'results.jsonl'}" in first
    assert "records written" not in second
    (record,) = records.read(tmp_path / "work")
    assert record["parallel"] == {"kind": "mesh", "devices": 4, "processes": 2}
    assert (record["n"], record["method"]) == (30, "norm")


def test_a_flag_of_several_processes_alone_is_refused(tmp_path):
    words = ["experiments.sweep", "--recipes=synthetic", f"--workdir={tmp_path}", "--num_processes=2"]
    process = child(1, *words)
    _, err = process.communicate(timeout=900)
    assert process.returncode == 2
    assert "error: --coordinator=None --num_processes=2: expected HOST:PORT of the first process" in err
