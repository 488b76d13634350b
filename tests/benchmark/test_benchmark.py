"""experiments.benchmark: the keys that other tools read, positive numbers, what is counted, bad names."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.benchmark import compilation, device, pipeline, programs
from dhauds_jax.runs import benchmark as runs_benchmark
from dhauds_jax.runs.benchmark import Benchmark, benchmark, sizes_of
from dhauds_jax.tta import methods
from dhauds_jax.types import Batch, RunInfo
from tests.runs.tiny import NET


def a_run(**changes):
    run = Benchmark(
        what=["forward", "adapt"],
        net=[NET],
        classes=3,
        batch=4,
        seconds=0.0,
        dtype="float32",
        compute=[],
        method=["norm"],
        options=[],
        corruption=["WHN"],
        rounds=2,
        json=True,
    )
    return run.replace(**changes)


def rows_of(capsys, **changes):
    assert benchmark(a_run(**changes)) == ""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


AGREED = {"what", "device", "dtype", "batch", "clip_seconds", "seconds", "clips_per_s"}
SPREAD = {"fastest", "slowest", "quartiles", "first_call"}


@pytest.mark.slow
def test_rows_are_json_with_the_agreed_keys(capsys):
    rows = rows_of(capsys, what=["forward", "adapt", "corrupt"])
    assert [row["what"] for row in rows] == ["forward", "adapt", "corrupt"]
    for row in rows:
        assert set(row) >= AGREED | SPREAD
        assert 0 < row["fastest"] <= row["quartiles"][0] <= row["seconds"] <= row["quartiles"][1] <= row["slowest"]
        assert row["clips_per_s"] == pytest.approx(4 / row["seconds"], rel=1e-4)
        assert row["peak_memory_mb"] > 10 and row["versions"]["jax"] == jax.__version__
    assert rows[0]["clip_seconds"] == 0.25
    assert rows[2]["ms_per_clip"] == pytest.approx(250 * rows[2]["seconds"], rel=1e-4)
    assert rows[2]["cells_per_s"] == pytest.approx(1 / rows[2]["seconds"], rel=1e-4)
    for row in rows[:2]:
        assert row["first_call"] == pytest.approx(row["lower_s"] + row["compile_s"] + row["execute_s"], rel=1e-4)


def test_the_work_is_said_in_numbers(monkeypatch, capsys):
    """On stderr: with --json nothing but rows is on stdout."""
    monkeypatch.setattr(runs_benchmark, "_model_rows", lambda run: iter(()))
    monkeypatch.setattr(runs_benchmark, "_corruption_rows", lambda run: iter(()))
    assert benchmark(a_run(what=["adapt", "corrupt"], method=["norm", "tent"], corruption=["all"])) == ""
    assert capsys.readouterr() == (
        "",
        "work: adapt, corrupt, 1 network, 2 methods, 7 corruptions, batches of 4, 2 rounds of each after one that "
        "compiles\n",
    )


@pytest.mark.slow
def test_operations_are_counted_with_every_block(capsys):
    """Two blocks of width 16 over 17 tokens, patches of 64 values, ten classes: the products, and little else."""
    row = rows_of(capsys, what=["forward"], net=["ssast_test"], classes=10, rounds=1)[0]
    block = 17 * 16 * (3 * 16 + 16 + 2 * 64) + 2 * 17 * 17 * 16
    products = 2 * (15 * 64 * 16 + 2 * block + 16 * 10) / 1e9
    filter_bank = 24 * 2 * 257 * 32 / 1e9
    # Elementwise work and the spectrum come on top.
    assert products + filter_bank < row["gflops_per_clip"] < 3 * (products + filter_bank)
    assert row["gflops_per_s"] == pytest.approx(4 * row["gflops_per_clip"] / row["seconds"], rel=1e-4)
    assert row["tflops"] == pytest.approx(row["gflops_per_s"] / 1000, rel=1e-4)
    assert row["peak_share"] == pytest.approx(row["tflops"] / row["peak_tflops"], rel=1e-4)
    assert 0 < row["peak_share"] < 1.5
    assert row["copy_gb_s"] > 0.1
    assert row["bytes_per_clip"] is None  # the blocks are a loop


@pytest.mark.slow
def test_bytes_are_counted_where_no_loop_hides_them(capsys):
    row = rows_of(capsys, what=["forward"], net=["ssast_test"], compute=["scan=false"], rounds=1)[0]
    assert row["bytes_per_clip"] > 4 * 4000  # the wave is read


def test_rates_are_operations_and_bytes_by_the_quickest_call(monkeypatch):
    monkeypatch.setattr(device, "PRODUCT", {"cpu": 64})
    monkeypatch.setattr(device, "COPIED_MEBIBYTES", {"cpu": 1})
    monkeypatch.setattr(device, "ATTEMPTS", 3)
    seconds = iter([4.0, 2.0, 3.0, 0.5, 0.25, 0.75])

    def took(call):
        jax.block_until_ready(call())
        return next(seconds)

    monkeypatch.setattr(device, "_seconds", took)
    assert device.peak_flops.__wrapped__("float32") == 2 * 64**3 / 2.0
    assert device.copy_bytes.__wrapped__() == 2 * 2**20 / 0.25


def test_spread_is_that_of_the_times():
    found = device.summarised([4.0, 1.0, 2.0, 3.0, 10.0])
    assert found == {"seconds": 3.0, "fastest": 1.0, "slowest": 10.0, "quartiles": [2.0, 4.0]}


@pytest.mark.slow
def test_what_cannot_run_says_why_and_the_others_go_on(capsys):
    rows = rows_of(capsys, net=[NET, "ssast_test"], method=["ttt", "source", "norm"], what=["adapt"], rounds=1)
    assert [(row["net"], row["method"]) for row in rows] == [
        (net, name) for net in (NET, "ssast_test") for name in ("ttt", "source", "norm")
    ]
    reasons = [row.get("reason") for row in rows]
    assert (
        reasons[0] == reasons[3] == "method ttt needs a network trained with an auxiliary head, and this one has none"
    )
    assert reasons[5] == "method norm needs a network with BatchNorm layers, and this one has none"
    assert reasons[1] is reasons[2] is reasons[4] is None
    assert all(row["seconds"] > 0 for row in (rows[1], rows[2], rows[4]))


def test_options_may_be_for_one_of_several_methods(monkeypatch):
    """As in every other command; measuring and the nets are left out, which would compile."""
    given = []
    monkeypatch.setattr(programs, "prepare", lambda net, sizes: None)
    monkeypatch.setattr(programs, "adapt_program", lambda _, name, options, sizes: given.append((name, options["lr"])))
    texts = ["lr=0.5", "tent.lr=0.25"]
    asked = (["amaut_tiny"], ["adapt"], ["tent", "shot"], texts, sizes_of(a_run()))
    assert list(programs.rows(*asked, lambda program, given: {})) == [{}, {}]
    assert given == [("tent", 0.25), ("shot", 0.5)]


def test_options_reach_the_process_that_measures_compilation(monkeypatch):
    works = []
    found = {"total_s": 1.0, "batch": 4, "clip_seconds": 0.25}
    monkeypatch.setattr(compilation, "_child", lambda work, cache: works.append(work) or dict(found))
    list(compilation.rows(["amaut_tiny"], ["tent", "shot"], ["tent.lr=0.25"], sizes_of(a_run())))
    rates = [(work["method"], work["options"].get("lr")) for work in works[::2]]
    assert rates == [("", None), ("tent", 0.25), ("shot", 0.001)]


def test_memory_is_what_the_system_says_or_unknown(monkeypatch, tmp_path):
    (tmp_path / "statm").write_text("900 512 3 4")
    monkeypatch.setattr(pipeline, "Path", lambda name: tmp_path / name.rpartition("/")[2])
    monkeypatch.setattr(pipeline, "mmap", SimpleNamespace(PAGESIZE=16_384))
    assert pipeline.resident_mb() == 8.0
    (tmp_path / "statm").unlink()
    assert pipeline.resident_mb() is None


def test_a_bug_is_no_reason_why_a_net_cannot_run(monkeypatch, capsys):
    def buggy(net, sizes):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(programs, "prepare", buggy)
    with pytest.raises(ValueError, match="operands could not be broadcast"):
        benchmark(a_run(net=["amaut_tiny", "ssast_test"], what=["forward"]))
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_a_bug_in_the_process_that_measures_shows_its_traceback():
    sizes = sizes_of(a_run())._replace(classes="three")
    with pytest.raises(RuntimeError, match=r"(?s)ended with code 1:\nTraceback .*TypeError: 'str' object cannot be"):
        list(compilation.rows(["amaut_tiny"], [], [], sizes))


@pytest.mark.slow
def test_updates_on_a_mesh_say_how_many_devices(capsys):
    benchmark(a_run(what=["adapt"], parallel="mesh"))
    row = json.loads(capsys.readouterr().out)
    assert row["parallel"] == {"kind": "mesh", "devices": 1, "processes": 1}
    assert (row["what"], row["method"], row["batch"]) == ("adapt", "norm", 4)
    assert row["clips_per_s"] == pytest.approx(4 / row["seconds"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parallel": "mesh"}, "--parallel=mesh: times updates from waves, expected --what=adapt alone"),
        ({"what": ["speed"]}, "--what: unknown 'speed', expected some of forward, adapt, corrupt, pipeline, compile"),
        ({"net": ["resnet"]}, "unknown net 'resnet'"),
        ({"batch": 1}, "--batch=1: expected at least 2"),
        ({"updates_per_dispatch": 0}, "--updates_per_dispatch=0: expected at least 1"),
        ({"net": []}, "--net and --method need at least one name each"),
        (
            {"layer_drop": 0.1, "what": ["forward"], "net": ["amaut_tiny"]},
            "--layer_drop: net 'amaut_tiny' has no LayerDrop",
        ),
        ({"compute": ["scan=false"], "net": ["amaut_tiny"]}, "family 'amaut' has no options"),
        ({"method": ["tnt"], "what": ["adapt"]}, "unknown method 'tnt'"),
        ({"method": ["cotta"], "what": ["adapt"], "from_features": True}, "cotta makes its views of waves, expected"),
        ({"what": ["parts"], "net": ["ssast_test"]}, "'ssast_test' is of family spectrogram_transformer, expected one"),
        ({"compute": ["remat"], "net": ["ssast_test"]}, "--compute: 'remat', expected key=value such as"),
        ({"compute": ["attention=fast"], "net": ["ssast_test"]}, "attention is 'fast', expected one of xla, cudnn"),
        ({"seconds": -1.0}, r"--seconds=-1: expected 0 \(the network's own length\) or more"),
    ],
)
def test_bad_input_gets_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        benchmark(a_run(**changes))
    assert "\n" not in str(caught.value)


def test_views_of_features_are_rolled_by_whole_frames():
    features = jnp.asarray(np.random.default_rng(0).normal(size=(5, 40, 3)), jnp.float32)
    views = programs.framed_views(jax.random.key(3), features, jnp.arange(5), 0.5)
    shifts = np.zeros((2, 5), int)
    for which, view in enumerate(views):
        for row in range(5):
            same = [s for s in range(40) if np.array_equal(np.roll(features[row], s, 0), view[row])]
            assert len(same) == 1
            shifts[which, row] = same[0]
    assert (shifts[0] <= 20).all() and (shifts[1] >= 20).all() | (shifts[1] == 0).any()
    assert len(set(shifts[0])) > 2


@pytest.mark.slow
def test_features_skip_the_front_end(capsys):
    """The same logits; fewer operations by those of the filter bank at least (17 frames, 257 bins, 24 mels)."""
    whole, after = (rows_of(capsys, what=["forward"], rounds=1, from_features=f)[0] for f in (False, True))
    assert (whole["input"], after["input"]) == ("wave", "features")
    assert whole["gflops_per_clip"] - after["gflops_per_clip"] > 2 * 17 * 257 * 24 / 1e9
    waves, features = (sizes_of(a_run(from_features=f)) for f in (False, True))
    given, short = (programs.prepare(NET, sizes) for sizes in (waves, features))
    both = [programs.forward_program(each, sizes) for each, sizes in ((given, waves), (short, features))]
    np.testing.assert_allclose(*(jax.jit(p.function)(*p.args) for p in both), atol=1e-5)


@pytest.mark.slow
def test_two_view_update_from_features_and_several_in_a_dispatch(capsys):
    one, four = (
        rows_of(capsys, what=["adapt"], method=["dhauds"], rounds=1, from_features=True, updates_per_dispatch=k)[0]
        for k in (1, 4)
    )
    assert (one["views_of"], one["updates_per_dispatch"], four["updates_per_dispatch"]) == ("frames", 1, 4)
    assert one["gflops_per_clip"] == pytest.approx(four["gflops_per_clip"], rel=1e-4)  # of one update
    assert four["seconds"] < four["execute_s"]


@pytest.mark.slow
def test_several_updates_in_a_dispatch_are_the_updates_one_by_one():
    sizes = sizes_of(a_run())
    given = programs.prepare(NET, sizes)
    method = methods.make("tent", given.classifier, methods.default_options("tent", "reference"))
    state = method.init(given.variables, RunInfo(1, 4, 3))
    batch = Batch(given.inputs, jnp.ones(4), jnp.arange(4))
    together, predictions = jax.jit(programs.several(method, 3))(state, batch, jax.random.key(5))
    step = jax.jit(method.step)
    for i, key in enumerate(jax.random.split(jax.random.key(5), 3)):
        state, prediction = step(state, batch, key)
        np.testing.assert_allclose(predictions.logits[i], prediction.logits, atol=1e-5)
    assert int(together.step) == 3
    for a, b in zip(jax.tree.leaves(together.variables), jax.tree.leaves(state.variables), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_profile_writes_traces(tmp_path, capsys):
    row = rows_of(capsys, what=["forward"], net=["amaut_tiny"], rounds=1, profile=str(tmp_path))[0]
    assert row["trace"] == str(tmp_path / "forward-amaut_tiny")
    written = [path for path in (tmp_path / "forward-amaut_tiny").rglob("*") if path.is_file()]
    assert any(path.name.endswith(".xplane.pb") and path.stat().st_size > 1000 for path in written)


def test_compilation_is_measured_with_no_cache_but_its_own():
    inherited = {
        "JAX_COMPILATION_CACHE_DIR": "/elsewhere",
        "JAX_COMPILATION_CACHE_MAX_SIZE": "1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "5",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "JAX_PLATFORMS": "cpu",
    }
    found = compilation.environment("/new", inherited)
    assert {name: value for name, value in found.items() if name != "PYTHONPATH"} == {
        "JAX_COMPILATION_CACHE_DIR": "/new",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PLATFORMS": "cpu",
    }


@pytest.mark.slow
def test_second_process_takes_every_program_from_the_cache(capsys):
    forward, adapt, missing = rows_of(capsys, what=["compile"], method=["norm", "ttt"])
    assert [row["of"] for row in (forward, adapt, missing)] == ["forward", "adapt", "adapt"]
    for row in (forward, adapt):
        cold, cached = row["cold"], row["cached"]
        assert cold["hits"] == 0 and cached["misses"] == 0
        assert cached["hits"] == cold["misses"] > 0
        assert cold["files"] == cached["files"] >= cold["misses"]
        for which, found in (("cold_s", cold), ("cached_s", cached)):
            assert row[which] == pytest.approx(found["lower_s"] + found["compile_s"] + found["execute_s"], rel=1e-4)
        assert 0 < cached["compile_s"] < cold["compile_s"]
        assert (row["batch"], row["clip_seconds"]) == (4, 0.25)
    assert missing["reason"].startswith("method ttt needs a network trained with an auxiliary head")


def test_pipeline_rows_are_there_for_every_stage(capsys, monkeypatch):
    monkeypatch.setattr(pipeline, "MEBIBYTES", 1)
    rows = rows_of(capsys, what=["pipeline"], seconds=0.5, batch=8)
    assert [row["stage"] for row in rows] == ["decode", "memory", "prepare", "streamed"]
    for row in rows:
        assert (row["what"], row["batch"], row["clip_seconds"], row["clips"]) == ("pipeline", 8, 0.5, 65)
        assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
        assert row["clips_per_s"] > 0
    assert len(rows[3]["resident_mb"]) == 4 and min(rows[3]["resident_mb"]) > 50
