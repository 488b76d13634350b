"""train, adapt and sweep over several devices and processes end as on one device, and one process alone writes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dhauds_jax.nets import checkpoint
from dhauds_jax.workdir import records
from tests.runs import tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parallel")
    tiny.make_arabic(folder / "data")
    tiny.make_noises(folder / "noise")
    tiny.make_checkpoint(folder / "checkpoint")
    return folder


def child(devices, *words):
    flags = f"--xla_force_host_platform_device_count={devices}"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err[-2000:]
    return out


@pytest.fixture(scope="module")
def runs(place):
    finished(child(4, "tests.runs.parallel_runs", place))
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pmap", "mesh"])
def test_training_ends_near_one_device(runs, kind):
    """Three updates with mixup, whose partners come from the whole batch, and dropout; batches of 12, the last of 6."""
    one, _, _ = checkpoint.load(runs / "train-jit" / "checkpoint")
    other, _, extra = checkpoint.load(runs / f"train-{kind}" / "checkpoint")
    assert extra["training"]["parallel"] == {"kind": kind, "devices": 4, "processes": 1}
    import jax

    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        # Sums over devices are taken in another order; weight-standardised layers and BatchNorm over few rows amplify.
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4 * max(1.0, np.abs(a).max()))


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


@pytest.mark.slow
def test_two_processes_write_one_record_a_cell(place, tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    words = [
        "experiments.adapt", "--dataset=arabic_speech_commands", f"--data_dir={place / 'data'}", "--corruption=PSH",
        f"--checkpoint={place / 'checkpoint'}", "--method=norm", "--protocol=online", "--batch_size=6", "--draw=single",
        f"--workdir={tmp_path}", "--parallel=mesh", f"--coordinator=localhost:{port}", "--num_processes=2",
    ]  # fmt: skip
    first, second = [finished(p) for p in [child(2, *words, f"--process_id={i}") for i in range(2)]]
    assert f"1 records written: {tmp_path / 'results.jsonl'}" in first
    assert "records written" not in second
    (record,) = records.read(tmp_path)
    assert record["parallel"] == {"kind": "mesh", "devices": 4, "processes": 2}
    assert (record["n"], record["method"]) == (15, "norm")


def test_a_flag_of_several_processes_alone_is_refused(tmp_path):
    words = ["experiments.sweep", "--recipes=synthetic", f"--workdir={tmp_path}", "--num_processes=2"]
    process = child(1, *words)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error: --coordinator=None --num_processes=2: expected HOST:PORT of the first process" in err
