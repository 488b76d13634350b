"""A graph of ONNX says what the model says, for every family; what it is made of, by hand."""

import importlib.metadata
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax import BadInput
from dhauds_jax.model import Model, load, onnx
from dhauds_jax.model.export import export as write
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from dhauds_jax.runs.export import export
from dhauds_jax.runs.requests.export import ExportRun
from tests.runs import tiny

NETS = ("hubert_tiny", "ssast_test", "conmix_tiny", "resnet_tiny", "vggish_small")
"""Beside AMAuT, of which `tiny`'s checkpoint is."""


def a_model(net):
    config = zoo.preset(net, tuple("abcde"))
    if net == "vggish_small":  # of two examples, those of the silence at a clip's end left out
        config = config.replace(length=32_000, head={**config.head, "mask": "trailing_zeros"})
    classifier = zoo.build(config)
    return Model(classifier, jax.jit(classifier.init)(jax.random.key(3), jnp.zeros((2, config.length))), config)


def need_converter():
    with onnx._quiet():
        pytest.importorskip("jax2onnx", reason="jax2onnx (extra onnx) is not installed")


def run_graph(path, waves):
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("waves", ["batch", waves.shape[1]])]
    return session.run(["probabilities"], {"waves": waves})[0]


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
def test_a_graph_says_what_the_model_says_for_any_batch(net, tmp_path):
    need_converter()
    model = a_model(net)
    waves = np.random.default_rng(1).normal(0.0, 0.1, (3, model.config.length)).astype(np.float32)
    waves[1, 1000:] = 0.0  # silence: the floor of the decibels
    path = write(model, tmp_path, "onnx")
    wanted = jax.nn.softmax(model.logits(waves))
    assert np.allclose(run_graph(path, waves), wanted, atol=2e-6)
    assert np.allclose(run_graph(path, waves[1:2]), wanted[1:2], atol=2e-6)


@pytest.mark.slow
def test_the_command_writes_a_graph_and_what_it_takes(tmp_path):
    need_converter()
    tiny.make_checkpoint(tmp_path / "checkpoint")
    said = export(ExportRun(checkpoint=str(tmp_path / "checkpoint"), output=str(tmp_path / "out"), format="onnx"))
    path = tmp_path / "out" / "model.onnx"
    assert f"onnxruntime.InferenceSession('{path}').run(None, {{'waves': waves}}) gives probabilities" in said
    model = load(tmp_path / "checkpoint")
    waves = np.stack([tiny.tone(k, 0) for k in range(2)]).astype(np.float32)
    assert np.allclose(run_graph(path, waves), jax.nn.softmax(model.logits(waves)), atol=2e-6)
    about = json.loads((path.parent / "model.json").read_text())
    assert about["names"] == ["waves", "probabilities"] and about["classes"] == list(model.classes)
    assert about["jax2onnx"] == importlib.metadata.version("jax2onnx")
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.json", "model.onnx"]


@pytest.mark.parametrize("size", [8, 9])
def test_a_transform_and_padding_written_otherwise_are_the_same(size):
    def whole(x):
        padded = jnp.pad(x, ((0, 0), (2, size - 6)), constant_values=3.0)
        spectrum = jnp.fft.rfft(padded)
        return spectrum.real, spectrum.imag, jax.lax.pad(x, 0.0, ((0, 0, 0), (-1, 2, 1)))

    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32))
    traced = jax.make_jaxpr(whole)(x)
    found = onnx._rewritten(traced.jaxpr, traced.consts, x)
    for one, other in zip(found, whole(x), strict=True):
        assert one.shape == other.shape and np.allclose(one, other, atol=2e-6)
    left = str(jax.make_jaxpr(lambda x: onnx._rewritten(traced.jaxpr, traced.consts, x))(x))
    assert "fft" not in left and "complex" not in left and left.count("pad[") == 1


def test_a_whole_network_written_otherwise_says_the_same():
    model = a_model("amaut_tiny")

    def logits(waves):
        return model.classifier.apply(model.variables, waves, mode=EVAL)[0].logits

    waves = jnp.asarray(np.random.default_rng(0).normal(0.0, 0.1, (2, model.config.length)).astype(np.float32))
    traced = jax.make_jaxpr(logits)(waves)
    (found,) = jax.jit(lambda waves: onnx._rewritten(traced.jaxpr, traced.consts, waves))(waves)
    assert np.allclose(found, jax.jit(logits)(waves), atol=1e-5)


def test_the_help_names_every_step_of_the_installation():
    """Before, the first one alone: whoever took it was asked for the second by the command."""
    said = ExportRun.__dataclass_fields__["format"].metadata["flag"].help
    assert [how for how in set(onnx.INSTALLED_BY.values()) if f"pip install {how}" not in said] == []


def test_what_cannot_be_written_is_said_before_the_work(tmp_path, monkeypatch):
    tiny.make_checkpoint(tmp_path / "checkpoint")
    run = ExportRun(checkpoint=str(tmp_path / "checkpoint"), output=str(tmp_path / "out"))
    with pytest.raises(BadInput, match=r"^--format: unknown format 'onx': expected stablehlo or onnx$"):
        export(run.replace(format="onx"))
    for absent, how in (("onnx", r"'dhauds_jax\[onnx\]'"), ("jax2onnx", r"--no-deps 'jax2onnx>=0\.17\.1'")):
        there = [name for name in onnx.INSTALLED_BY if name != absent]
        monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda name, there=there: name if name in there else None)
        with pytest.raises(BadInput, match=f"^--format=onnx: {absent} is not installed, expected: pip install {how}$"):
            export(run.replace(format="onnx"))
    monkeypatch.setattr(onnx.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(onnx, "MOST_MIB", 0)
    with pytest.raises(BadInput, match=r"MiB of weights, expected at most 0 MiB, which one file of ONNX holds"):
        export(run.replace(format="onnx"))
    assert not (tmp_path / "out").exists()
