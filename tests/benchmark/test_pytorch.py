"""PyTorch beside the benchmark: the merge, what is refused, and a yardstick that computes what our AMAuT computes."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import amaut as converter
from converters.mapping import split
from dhauds_jax.benchmark import pytorch
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.runs import benchmark as runs_benchmark
from dhauds_jax.runs.benchmark import benchmark
from tests.benchmark.test_benchmark import a_run, rows_of
from tests.nets.vggish_weights import linear, pool_params

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GOLDENS = Path(__file__).parents[1] / "goldens"
SMALL = {"net": ["amaut_tiny"], "method": ["dhauds"], "vs_torch": True, "rounds": 1}

FAKE = """
import json, sys
mode, seconds = "", {"eager": 0.5, "channels_last": 0.25, "bf16": 0.125}
for line in sys.stdin:
    asked = json.loads(line)
    answer = {"net": dict(parameters=7, device="cpu", torch="none", ways=["compiled", "channels_last"], name=""),
              "drop": {}}.get(asked["do"])
    if asked["do"] == "work":
        mode = asked["mode"]
        answer = dict(first_call=0.1, moving=3) if mode in seconds else dict(error="RuntimeError: no\\ncompiler")
    if asked["do"] == "call":
        answer = dict(seconds=seconds[mode])
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A process in PyTorch's place that says how long everything took; torch need not be there."""
    script = tmp_path / "benchmarks" / "yardstick" / "side.py"
    script.parent.mkdir(parents=True)
    script.write_text(FAKE)
    monkeypatch.setattr(pytorch, "ROOT", tmp_path)
    monkeypatch.setattr(pytorch, "find_spec", lambda name: name)
    return script


@pytest.mark.slow
def test_rows_hold_pytorchs_fastest_mode_and_the_ratio(fake, capsys):
    row = rows_of(capsys, what=["forward"], **SMALL)[0]
    theirs = row["torch"]
    assert (theirs["mode"], theirs["seconds"], theirs["clips_per_s"]) == ("channels_last", 0.25, 16.0)
    assert theirs["modes"] == {
        "eager": 0.5,
        "compiled": "RuntimeError: no compiler",
        "channels_last": 0.25,
        "compiled+channels_last": "RuntimeError: no compiler",
        "bf16": 0.125,  # another arithmetic: said, and never the one that counts
    }
    assert (theirs["parameters"], theirs["moving"], theirs["torch"]) == (7, 3, "none")
    low, high = row["vs_torch_interval"]
    assert low <= row["vs_torch"] <= high and 7 <= row["vs_torch_rounds"] <= 31
    assert row["settled"] is (high - low <= 0.2 * row["vs_torch"]) and row["input"] == "features"
    assert row["fastest"] <= row["seconds"] <= row["slowest"] and row["date"].count("-") == 2


@pytest.mark.slow
def test_of_several_methods_those_that_pytorch_lacks_say_so(fake, capsys):
    fake.write_text(FAKE.replace("if mode in seconds", "if asked['method'] == 'dhauds' and mode in seconds"))
    rows = rows_of(capsys, **{**SMALL, "what": ["adapt"], "method": ["tent", "dhauds"], "torch_modes": ["eager"]})
    assert rows[0]["reason"] == "--vs_torch: RuntimeError: no compiler" and rows[1]["torch"]["mode"] == "eager"


def test_a_process_that_ends_is_said(fake):
    fake.write_text("raise SystemExit(3)")
    with pytorch.Side() as side, pytest.raises(ValueError, match="PyTorch's process ended with code 3"):
        side.ask("net")


def test_another_device_has_no_ratio():
    ours = {"batch": 4, "seconds": 2.0}
    found = pytorch.compared(ours, {"device": "cuda", "clips_per_s": 4.0})
    assert "vs_torch" not in found and found["torch_reason"] == "PyTorch ran on cuda, this on cpu"
    assert pytorch.compared({"batch": 4, "seconds": 2.0}, {"device": "cpu", "clips_per_s": 4.0})["vs_torch"] == 0.5


def test_modes_of_the_same_arithmetic_count():
    assert pytorch.modes_of(["compiled"], "float32", ()) == (["eager", "compiled"], ["bf16"])
    both = ["eager", "compiled", "channels_last", "compiled+channels_last"]
    assert pytorch.modes_of(["channels_last", "compiled"], "tf32", ()) == (both, ["bf16"])
    assert pytorch.modes_of(["compiled"], "bfloat16", ()) == (["bf16", "compiled+bf16"], [])
    assert pytorch.modes_of(["channels_last", "compiled"], "float32", ["compiled"]) == (["compiled"], [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": ["compile"]}, "--what has 'compile', expected some of forward, adapt"),
        ({"method": ["shot"]}, "--method is shot, expected some of tent, eata"),
        ({"net": ["hubert_base_us8"]}, "PyTorch's side has no head 'hub_classifier'"),
        ({"torch_modes": ["fast"]}, "--torch_modes: unknown 'fast', expected some of eager, compiled"),
    ],
)
def test_what_cannot_be_compared_is_refused(fake, changes, message):
    with pytest.raises(ValueError, match=message):
        benchmark(a_run(**{**SMALL, **changes}))


def test_all_is_what_pytorch_has(fake):
    run = runs_benchmark.checked(a_run(**{**SMALL, "net": ["all"], "method": ["all"]}))
    assert run.net == list(pytorch.NETS) and run.method == list(pytorch.METHODS)
    assert runs_benchmark.checked(a_run(**SMALL, torch_compile=True)).torch_modes == ["compiled"]
    with pytest.raises(ValueError, match="unknown net 'all'"):
        runs_benchmark.checked(a_run(net=["all"]))
    with pytest.raises(ValueError, match=r"^--classes=1000000: expected at least 1 and at most 100000$"):
        runs_benchmark.checked(a_run(classes=10**6))  # with 10**40 it wrote out their names


def test_without_torch_one_sentence(monkeypatch):
    monkeypatch.setattr(pytorch, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="--vs_torch: torch is not installed here, expected it"):
        benchmark(a_run(**SMALL))


@pytest.fixture(scope="module")
def trained():
    """The trained pair in PyTorch and here, and a batch of features."""
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import torch_adaptation
        import torch_amaut
    finally:
        sys.path.remove(str(BENCHMARKS))
    parts = split(dict(np.load(GOLDENS / "amaut_arabic15.npz")))
    body, head = torch_amaut.small(16000), torch_adaptation.Head(192, 15, **torch_amaut.SMALL_HEAD)
    for module, part in ((body, "encoder"), (head, "head")):
        module.load_state_dict({name: torch.tensor(value) for name, value in parts[part].items()}, strict=True)
    config = zoo.preset("amaut_arabic15")
    variables = converter.from_torch(parts["encoder"], parts["head"], config).variables
    features = np.random.default_rng(0).normal(size=(6, 104, 80)).astype(np.float32)
    return torch, body, head, zoo.build(config), variables, features


def logits_of(classifier, variables, features, mode):
    return jax.jit(lambda v, x: classifier.apply_features(v, x, mode=mode)[0].logits)(variables, jnp.asarray(features))


def test_torch_amaut_has_the_published_parameters(trained):
    _, body, head, *_ = trained
    count = sum(p.numel() for module in (body, head) for p in module.parameters())
    assert count == 1_526_238 == zoo.published_parameter_count(zoo.preset("amaut_arabic15"))


@pytest.mark.slow
def test_torch_amaut_computes_what_ours_does(trained):
    torch, body, head, classifier, variables, features = trained
    body.eval(), head.eval()
    with torch.inference_mode():
        theirs = head(body(torch.tensor(features).transpose(1, 2))).numpy()
    ours = logits_of(classifier, variables, features, EVAL)
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.slow
def test_torch_amaut_trains_on_batch_statistics_as_ours_does(trained):
    torch, body, head, classifier, variables, features = trained
    body.train(), head.train()
    body.dropout.p = 0.0
    with torch.no_grad():
        theirs = head(body(torch.tensor(features).transpose(1, 2))).numpy()
    ours = logits_of(classifier, variables, features, TRAIN._replace(dropout=False))
    np.testing.assert_allclose(ours, theirs, atol=5e-4)


@pytest.mark.slow
def test_yardstick_runs_beside_ours(capsys):
    pytest.importorskip("torch")
    rows = rows_of(capsys, **SMALL, torch_modes=["eager"])
    assert [row["what"] for row in rows] == ["forward", "adapt"]
    for row in rows:
        theirs = row["torch"]
        assert (theirs["mode"], list(theirs["modes"])) == ("eager", ["eager"])
        assert 0 < theirs["fastest"] <= theirs["seconds"] <= theirs["slowest"]
        assert 0.5 < row["vs_torch"] * row["seconds"] / theirs["seconds"] < 2  # of pairs, not of medians
    assert (rows[0]["torch"]["moving"], rows[1]["torch"]["moving"]) == (0, rows[1]["torch"]["parameters"])


@pytest.mark.slow
def test_hubert_base_in_pytorch_runs():
    pytest.importorskip("torchaudio", exc_type=(ImportError, OSError))
    words = ["--what", "forward", "--batch", "2", "--seconds", "0.5", "--rounds", "1"]
    done = subprocess.run([sys.executable, BENCHMARKS / "torch_adaptation.py", *words], capture_output=True, text=True)
    row = json.loads(done.stdout)
    assert (row["what"], row["net"], row["batch"]) == ("forward", "hubert_base", 2) and row["clips_per_s"] > 0


@pytest.mark.slow
def test_torch_vggish_computes_what_ours_does():
    torch = pytest.importorskip("torch")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import torch_vggish
    finally:
        sys.path.remove(str(BENCHMARKS))
    assert torch_vggish.examples_of(80_000) == 5
    body = torch_vggish.VGGish("vggish")
    assert sum(p.numel() for p in body.parameters()) == 72_141_184
    body, head = torch_vggish.VGGish("vggish_small").eval(), torch_vggish.Head(3).eval()
    state = {name: tensor.numpy() for name, tensor in body.state_dict().items()}
    convs, norms = ([f"features.{i + by}" for i in (0, 4, 8, 11, 15, 18)] for by in (0, 1))
    params, stats = {}, {}
    for i, (conv, norm) in enumerate(zip(convs, norms, strict=True), 1):
        kernel = state[f"{conv}.weight"].transpose(2, 3, 1, 0)
        params[f"conv{i}"] = {"kernel": kernel, "bias": state[f"{conv}.bias"]}
        params[f"batch_norm{i}"] = {"scale": state[f"{norm}.weight"], "bias": state[f"{norm}.bias"]}
        stats[f"batch_norm{i}"] = {"mean": state[f"{norm}.running_mean"], "var": state[f"{norm}.running_var"]}
    params |= {f"dense{i + 1}": linear(state, f"embeddings.{2 * i}") for i in range(2)}
    pooled = pool_params({name: tensor.numpy() for name, tensor in head.state_dict().items()})
    variables = {"params": {"encoder": params, "head": pooled}, "batch_stats": {"encoder": stats}}
    features = np.random.default_rng(0).normal(size=(2, 3, 96, 64)).astype(np.float32)
    with torch.inference_mode():
        theirs = head(body(torch.tensor(features))).numpy()
    ours = logits_of(zoo.build(zoo.preset("vggish_small", "abc")), variables, features, EVAL)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
