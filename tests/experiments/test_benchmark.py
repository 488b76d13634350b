"""experiments.benchmark: the keys that other tools read, positive numbers, bad names."""

import json

import pytest

from experiments import benchmark_pipeline
from experiments.benchmark_run import Benchmark, benchmark


def a_run(**changes):
    run = Benchmark(
        what=["forward", "adapt"],
        net="amaut_tiny",
        classes=3,
        batch=4,
        seconds=0.0,
        dtype="float32",
        compute=[],
        method="norm",
        options=[],
        corruption=["WHN"],
        rounds=2,
        json=True,
    )
    return run._replace(**changes)


@pytest.mark.slow
def test_rows_are_json_with_the_agreed_keys(capsys):
    assert benchmark(a_run(what=["forward", "adapt", "corrupt"])) == ""
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["what"] for row in rows] == ["forward", "adapt", "corrupt"]
    for row in rows:
        assert {"what", "device", "dtype", "batch", "clip_seconds", "seconds", "clips_per_s"} <= set(row)
        assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
        # seconds are rounded to five digits in the output
        assert row["clips_per_s"] == pytest.approx(4 / row["seconds"], rel=0.05)
    assert rows[0]["clip_seconds"] == 0.25
    assert rows[2]["ms_per_clip"] == pytest.approx(250 * rows[2]["seconds"], rel=0.01)


def test_operations_are_counted_with_every_block(capsys):
    """Two blocks of width 16 over 17 tokens, patches of 64 values, ten classes: the products, and little else."""
    benchmark(a_run(what=["forward"], net="ssast_test", classes=10, rounds=1))
    row = json.loads(capsys.readouterr().out)
    block = 17 * 16 * (3 * 16 + 16 + 2 * 64) + 2 * 17 * 17 * 16
    products = 2 * (15 * 64 * 16 + 2 * block + 16 * 10) / 1e9
    filter_bank = 24 * 2 * 257 * 32 / 1e9
    # Elementwise work and the spectrum come on top.
    assert products + filter_bank < row["gflops_per_clip"] < 3 * (products + filter_bank)
    assert row["gflops_per_s"] == pytest.approx(4 * row["gflops_per_clip"] / row["seconds"], rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": ["speed"]}, "--what: unknown 'speed', expected some of forward, adapt, corrupt, pipeline"),
        ({"net": "resnet"}, "net: 'resnet' is unknown"),
        ({"batch": 1}, "--batch must be at least 2"),
        ({"compute": ["scan=false"]}, "family 'amaut' has no options"),
        ({"method": "tnt", "what": ["adapt"]}, "unknown method 'tnt'"),
        ({"compute": ["remat"], "net": "ssast_test"}, "--compute: 'remat', expected key=value such as"),
        ({"compute": ["attention=fast"], "net": "ssast_test"}, "attention is 'fast', expected one of xla, cudnn"),
    ],
)
def test_bad_input_gets_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        benchmark(a_run(**changes))
    assert "\n" not in str(caught.value)


def test_pipeline_rows_are_there_for_every_stage(capsys, monkeypatch):
    monkeypatch.setattr(benchmark_pipeline, "MEBIBYTES", 1)
    assert benchmark(a_run(what=["pipeline"], seconds=0.5, batch=8)) == ""
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["stage"] for row in rows] == ["decode", "memory", "prepare", "streamed"]
    for row in rows:
        assert (row["what"], row["batch"], row["clip_seconds"], row["clips"]) == ("pipeline", 8, 0.5, 65)
        assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["clips_per_s"] > 0
    assert len(rows[3]["resident_mb"]) == 4 and min(rows[3]["resident_mb"]) > 50
