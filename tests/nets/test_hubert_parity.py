"""HuBERT against the numbers of torchaudio and transformers, layer by layer, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import hubert as converter
from converters.mapping import flatten, merge, to_flax, to_torch
from dhauds_jax.nets import hubert_zoo
from dhauds_jax.nets.hubert import Compute, Hubert
from dhauds_jax.nets.normalisers import EVAL
from tests.goldens.golden_weights import golden_state_dict
from tests.paths import GOLDENS, golden, largest_error

SMALL_CONVS = tuple((32, taps, stride) for taps, stride in hubert_zoo.WAV2VEC2_CONVS)
SMALL = {"width": 48, "depth": 3, "heads": 4, "feed_forward": 96, "convs": SMALL_CONVS}
COMPUTES = [
    {},
    *(pytest.param(each, marks=pytest.mark.slow) for each in ({"scan": False}, {"remat": True}, {"positional": "fft"})),
]
GEOMETRIES = {
    "hubert_base_torchaudio": hubert_zoo.BASE,
    "hubert_base_hf": hubert_zoo.BASE,
    "hubert_postnorm_small_torchaudio": hubert_zoo.geometry(pre_norm=False, conv_norm="group", **SMALL),
    "hubert_prenorm_small_torchaudio": hubert_zoo.geometry(pre_norm=True, conv_norm="layer", conv_bias=True, **SMALL),
}


def load(name, **compute):
    """The encoder of a golden and its variables."""
    state, _ = converter.unwrapped(golden_state_dict(str(GOLDENS / f"{name}.spec.json")))
    style = converter.style_of(state)
    assert style == ("huggingface" if name.endswith("_hf") else "torchaudio")
    geometry = GEOMETRIES[name]
    inferred = converter.inferred_geometry(state, style)
    assert inferred == {key: geometry[key] for key in inferred} and len(inferred) == 8
    leaves = converter.prefixed(converter.encoder_leaves(geometry, style), "encoder/")
    variables = to_flax(merge(encoder=state), leaves, converter.ignore(style)).variables
    convs = tuple(tuple(c) for c in geometry["convs"])
    return Hubert(**{**geometry, "convs": convs}, compute=Compute(**compute)), variables["params"]["encoder"], leaves


def encode(net, params, wave):
    run = jax.jit(lambda p, w: net.apply({"params": p}, w, mode=EVAL, keep_all=True, method="encode"))
    return run(params, jnp.asarray(wave))


@pytest.mark.slow
def test_base_equals_torchaudio_layer_by_layer():
    net, params, _ = load("hubert_base_torchaudio")
    numbers = golden("hubert_base_torchaudio")
    found = encode(net, params, numbers["wave"])
    assert largest_error(found.conv_features, numbers["conv_features"]) < 1e-4
    for layer in (1, 6, 12):
        assert largest_error(found.layers[layer - 1], numbers[f"layer{layer}"]) < 1e-4
    assert largest_error(found.frames, numbers["last_hidden"]) < 1e-4


@pytest.mark.slow
def test_base_equals_transformers():
    net, params, _ = load("hubert_base_hf")
    numbers = golden("hubert_base_hf")
    assert largest_error(encode(net, params, numbers["wave"]).frames, numbers["last_hidden"]) < 1e-4


@pytest.mark.parametrize("compute", COMPUTES)
@pytest.mark.parametrize("name", ["hubert_postnorm_small_torchaudio", "hubert_prenorm_small_torchaudio"])
def test_small_equals_torchaudio(name, compute):
    net, params, _ = load(name, **compute)
    numbers = golden(name)
    found = encode(net, params, numbers["wave"])
    assert largest_error(found.frames, numbers["last_hidden"]) < 2e-5
    if "layer1" in numbers:
        assert largest_error(found.layers[0], numbers["layer1"]) < 2e-5


@pytest.mark.parametrize("compute", COMPUTES)
def test_small_gradients_equal_torchaudio(compute):
    net, params, leaves = load("hubert_postnorm_small_torchaudio", **compute)
    numbers = golden("hubert_postnorm_small_torchaudio")

    def mean_square(p):
        return jnp.mean(jnp.square(net.apply({"params": p}, jnp.asarray(numbers["wave"]), mode=EVAL)))

    loss, gradients = jax.jit(jax.value_and_grad(mean_square))(params)
    assert abs(float(loss) - float(numbers["loss"])) < 2e-5
    named = to_torch({"params": {"encoder": gradients}}, leaves)
    compared = 0
    for key, expected in numbers.items():
        if not key.startswith("grad/"):
            continue
        found = named["encoder/" + key.removeprefix("grad/").replace("/", ".")]
        if key.endswith("k_proj/bias"):
            # A key's bias shifts all scores of a query alike: the softmax does not see it.
            assert np.abs(found).max() < 1e-7 and np.abs(expected).max() < 1e-7
        else:
            assert largest_error(found, expected) < 1e-4 * np.abs(expected).max(), key
        compared += 1
    assert compared == 40
    assert flatten(gradients).keys() == flatten(params).keys()
