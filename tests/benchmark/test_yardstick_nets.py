"""The yardstick's networks are ours: as many parameters, and the same logits from the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.benchmark import pytorch
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from tests.benchmark.yardstick import CONFIGS, ast_config, network_of, random_variables


def compared(config):
    """Logits of both and their numbers of parameters."""
    torch = pytest.importorskip("torch")
    for package in pytorch.FAMILIES[config.family]:
        pytest.importorskip(package, exc_type=(ImportError, OSError))
    classifier, variables = random_variables(config)
    shape = jax.eval_shape(classifier.features, jax.ShapeDtypeStruct((3, config.length), jnp.float32)).shape
    inputs = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    net = network_of(config, variables, shape[1:]).eval()
    with torch.inference_mode():
        theirs = net(torch.from_numpy(inputs)).numpy()
    ours = jax.jit(lambda v, x: classifier.apply_features(v, x, mode=EVAL)[0].logits)(variables, inputs)
    return np.asarray(ours), theirs, zoo.parameter_count(variables), sum(p.numel() for p in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CONFIGS))
def test_same_logits_and_as_many_parameters(name):
    config = CONFIGS[name]()
    ours, theirs, count, counted = compared(config)
    assert np.std(theirs) > 0.05  # logits that hardly differ would agree whatever was computed
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    # AMAuT's files hold a norm a block that nothing reads, and so does the module.
    assert counted - count == (zoo.family(config.family).dead(config) if name == "amaut" else 0)


@pytest.mark.slow
@pytest.mark.parametrize("library", [True, False])
def test_ast_is_transformers_or_the_authors(library, monkeypatch):
    pytest.importorskip("torch")
    from benchmarks.yardstick import spectrogram

    if library:
        pytest.importorskip("transformers", reason="the PyTorch side")
    else:
        monkeypatch.setattr(spectrogram, "body_of", spectrogram.Body)
    ours, theirs, count, counted = compared(ast_config())
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert count == counted


def test_every_preset_of_the_table_is_there():
    assert all(pytorch.lacks(zoo.preset(net, ("a", "b"))) in (None, *REASONS) for net in pytorch.NETS)
    assert {zoo.preset(net, ("a", "b")).family for net in pytorch.NETS} == set(pytorch.FAMILIES) - {"cnn"}
    assert "no head 'hub_classifier'" in pytorch.lacks(zoo.preset("hubert_base_us8"))


REASONS = [
    f"{package} is not installed here, expected it for {family}"
    for family, needs in pytorch.FAMILIES.items()
    for package in needs
]


def test_names_of_both_sides_agree():
    pytest.importorskip("torch")
    from benchmarks.yardstick import heads, methods, nets

    assert set(heads.KINDS) == set(pytorch.HEADS) and set(methods.METHODS) == set(pytorch.METHODS)
    assert set(nets.BODIES) == set(pytorch.FAMILIES)
