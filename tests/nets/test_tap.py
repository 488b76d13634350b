"""What learners read of a network: embedding, means of every block's normed tokens, tokens before the last norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.errors import BadInput
from dhauds_jax.nets import zoo
from dhauds_jax.nets.normalisers import EVAL
from tests.goldens.golden_weights import golden_array

CLASSES = ("a", "b", "c")
PATCHES = {"ssast_test": slice(2, None), "amaut_tiny": slice(1, -1), "hubert_tiny": slice(None)}
"""Net -> its tokens without cls, distillation and tail."""

EPSILON = {"amaut": 1e-6, "hubert": 1e-5, "spectrogram_transformer": None}
"""Of the last norm, where the geometry does not say."""


def made(config):
    """A net with no bias, scale or statistic at its first value, and the features of three clips."""
    net = zoo.build(config)
    wave = jnp.asarray(np.random.default_rng(1).standard_normal((3, config.length)) * 0.1, jnp.float32)
    leaves, tree = jax.tree_util.tree_flatten_with_path(zoo.shapes(net))
    filled = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        value = golden_array(name, leaf.shape)
        one = any(part in name for part in ("'scale'", "'var'", "'g'"))
        filled.append(1 + 0.1 * np.abs(value) if one else value)
    return net, jax.tree.unflatten(tree, filled), jax.jit(net.features)(wave)


def normed(x, params, epsilon):
    x = np.asarray(x, np.float64)
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + epsilon) * params["scale"] + params["bias"]


def pre_norm_hubert():
    config = zoo.preset("hubert_tiny", CLASSES)
    return config.replace(geometry={**config.geometry, "pre_norm": True, "conv_norm": "layer"})


CONFIGS = {**{name: zoo.preset(name, CLASSES) for name in PATCHES}, "hubert_pre_norm": pre_norm_hubert()}


@pytest.mark.parametrize(
    "config",
    [pytest.param(c, id=name, marks=[pytest.mark.slow] * (name != "ssast_test")) for name, c in CONFIGS.items()],
)
def test_tokens_normed_are_the_frames_and_the_last_level_is_the_mean_of_their_patches(config):
    net, variables, features = made(config)

    @jax.jit
    def read(variables, features):
        outputs = net.apply_features(variables, features, mode=EVAL)[0]
        return outputs, {what: net.tap(variables, features, what) for what in ("embedding", "layers", "tokens")}

    outputs, found = read(variables, features)
    np.testing.assert_array_equal(found["embedding"], outputs.embedding)
    tokens, encoder = found["tokens"], variables["params"]["encoder"]
    assert tokens.shape == outputs.frames.shape
    if config.geometry.get("pre_norm", True):
        tokens = normed(tokens, encoder["layer_norm"], config.geometry.get("epsilon", EPSILON[config.family]))
        assert np.abs(tokens - found["tokens"]).max() > 0.1
    np.testing.assert_allclose(tokens, outputs.frames, atol=2e-5)
    assert found["layers"].shape == (3, config.geometry["depth"], tokens.shape[-1])
    patches = PATCHES[config.net]
    np.testing.assert_allclose(found["layers"][:, -1], outputs.frames[:, patches].mean(1), atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ssast_test", "hubert_tiny"])
def test_every_level_is_the_mean_of_the_normed_output_of_its_block(name):
    net, variables, features = made(zoo.preset(name, CLASSES))
    shorter = net.config.replace(geometry={**net.config.geometry, "depth": 1})
    encoder = dict(variables["params"]["encoder"])
    first = jax.tree.map(lambda leaf: leaf[:1], encoder["blocks"])
    cut = {**variables, "params": {**variables["params"], "encoder": {**encoder, "blocks": first}}}
    alone, _ = jax.jit(lambda f: zoo.build(shorter).apply_features(cut, f, mode=EVAL))(features)
    layers = jax.jit(lambda f: net.tap(variables, f, "layers"))(features)
    np.testing.assert_allclose(layers[:, 0], alone.frames[:, PATCHES[name]].mean(1), atol=2e-6)
    assert np.abs(layers[:, 0] - layers[:, 1]).max() > 1e-2


def test_levels_do_not_keep_the_tokens_of_all_blocks():
    net = zoo.build(zoo.preset("ssast_tiny_stride16", CLASSES))
    variables = zoo.shapes(net)
    features = jax.ShapeDtypeStruct((5, 98, 128), jnp.float32)
    text = str(jax.make_jaxpr(lambda v, f: net.tap(v, f, "layers"))(variables, features))
    assert "f32[12,5,192]" in text and "f32[12,5,50,192]" not in text


def test_a_network_without_levels_says_so_and_gives_its_embedding():
    net, variables, features = made(zoo.preset("resnet_tiny", CLASSES))
    found = jax.jit(lambda v, f: (net.tap(v, f, "embedding"), net.apply_features(v, f, mode=EVAL)[0].embedding))
    np.testing.assert_array_equal(*found(variables, features))
    for what in ("layers", "tokens"):
        with pytest.raises(BadInput, match=rf"family 'resnet' has no {what} to read, expected a spectrogram trans"):
            net.tap(variables, features, what)
    with pytest.raises(BadInput, match=r"'wave' cannot be read of a network, expected one of embedding, layers, tok"):
        net.tap(variables, features, "wave")
