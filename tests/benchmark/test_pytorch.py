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
from dhauds_jax.benchmark import programs, pytorch
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.runs.benchmark import benchmark
from tests.benchmark.test_benchmark import a_run, rows_of
from tests.nets.vggish_weights import linear, pool_params

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GOLDENS = Path(__file__).parents[1] / "goldens"
SMALL = {"net": ["amaut_small"], "method": ["dhauds"], "from_features": True, "vs_torch": True, "seconds": 0.25}

FAKE = """
import json, sys
words = sys.argv[1:]
batch = int(words[words.index("--batch") + 1])
for what in ("forward", "adapt"):
    print("a line of something else")
    print(json.dumps(dict(what=what, device="cpu", seconds=0.5, clips_per_s=batch / 0.5, words=words)))
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A script in PyTorch's place that says half a second of everything; torch need not be there."""
    script = tmp_path / "torch_adaptation.py"
    script.write_text(FAKE)
    monkeypatch.setattr(pytorch, "SCRIPT", script)
    monkeypatch.setattr(pytorch, "find_spec", lambda name: name)
    return script


@pytest.mark.slow
def test_rows_hold_pytorchs_and_the_ratio(fake, capsys):
    row = rows_of(capsys, what=["forward"], rounds=1, **SMALL)[0]
    assert row["torch"]["clips_per_s"] == 8.0
    assert row["vs_torch"] == pytest.approx(row["clips_per_s"] / 8.0, rel=1e-4)
    assert row["vs_torch"] == pytest.approx(0.5 / row["seconds"], rel=1e-4)
    words = row["torch"]["words"]
    asked = dict(zip(words[::2], words[1::2]))
    del asked["--threads"]
    assert asked == {
        "--net": "amaut_small",
        "--what": "forward",
        "--batch": "4",
        "--seconds": "0.25",
        "--classes": "3",
        "--dtype": "float32",
        "--rounds": "1",
    }


def test_hubert_has_the_same_layer_drop_on_both_sides():
    sizes = programs.Sizes(35, 8, 2.0, "bfloat16", ())
    words = pytorch.command("hubert_base_sc2", ["adapt", "forward"], sizes, 5, False)
    asked = " ".join(words[2:])
    assert asked.startswith(
        "--net hubert_base --what forward adapt --batch 8 --seconds 2.0 --classes 35 --dtype bfloat16"
    )
    assert asked.endswith("--layer_drop 0.05")
    none = sizes._replace(layer_drop=0.0)
    assert programs.config_of("hubert_base", none).geometry["layer_drop"] == 0.0
    assert " ".join(pytorch.command("hubert_base", ["adapt"], none, 5, True)).endswith("--layer_drop 0.0 --compile")


def test_another_device_has_no_ratio():
    ours = {"batch": 4, "seconds": 2.0}
    found = pytorch.compared(ours, {"device": "cuda", "clips_per_s": 4.0})
    assert "vs_torch" not in found and found["torch_reason"] == "PyTorch ran on cuda, this on cpu"
    assert pytorch.compared({"batch": 4, "seconds": 2.0}, {"device": "cpu", "clips_per_s": 4.0})["vs_torch"] == 0.5


def test_a_script_that_fails_is_quoted(fake, capsys):
    fake.write_text("raise RuntimeError('no room')")
    with pytest.raises(ValueError, match=r"ended with code 1: RuntimeError: no room"):
        rows_of(capsys, what=["forward"], rounds=1, **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"what": ["compile"]}, "--what has 'compile', expected some of forward, adapt"),
        ({"method": ["tent"]}, "--method is tent, expected dhauds"),
        ({"net": ["ssast_test"]}, "PyTorch's script does not have net 'ssast_test'"),
        ({"net": ["hubert_tiny"]}, "PyTorch's script does not have net 'hubert_tiny'"),
        ({"from_features": False}, "amaut_small starts from features, expected --from_features"),
        ({"net": ["vggish"]}, "--what has 'adapt', expected forward, which is what PyTorch has of vggish"),
    ],
)
def test_what_cannot_be_compared_is_refused(fake, changes, message):
    with pytest.raises(ValueError, match=message):
        benchmark(a_run(**{**SMALL, **changes}))


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
    rows = rows_of(capsys, rounds=2, **SMALL)
    assert [row["what"] for row in rows] == ["forward", "adapt"]
    for row in rows:
        theirs = row["torch"]
        assert (theirs["net"], theirs["batch"], theirs["dtype"]) == ("amaut_small", 4, "float32")
        assert 0 < theirs["fastest"] <= theirs["seconds"] <= theirs["slowest"]
        assert row["vs_torch"] == pytest.approx(row["clips_per_s"] / theirs["clips_per_s"], rel=1e-3)


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


@pytest.mark.slow
def test_vggish_runs_beside_pytorchs(capsys):
    pytest.importorskip("torch")
    (row,) = rows_of(capsys, rounds=2, **{**SMALL, "net": ["vggish_small"], "what": ["forward"], "seconds": 1.0})
    assert (row["torch"]["net"], row["torch"]["batch"], row["torch"]["clip_seconds"]) == ("vggish_small", 4, 1.0)
    assert row["vs_torch"] == pytest.approx(row["clips_per_s"] / row["torch"]["clips_per_s"], rel=1e-3)
