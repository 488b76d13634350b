"""TTA-in-AC's networks: published parameter counts, a block worked out in numpy, the auxiliary head's own mode."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import masks, zoo
from dhauds_jax.nets.normalisers import EVAL, TRAIN, batch, running
from dhauds_jax.nets.resnet import PreActivationBlock, SmallCNN, average_pool
from dhauds_jax.types import Mode

DIGITS = tuple("0123456789")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def tiny():
    net = zoo.build(zoo.preset("resnet_tiny", DIGITS))
    wave = jnp.asarray(RNG.standard_normal((6, net.config.length)) * 0.1, jnp.float32)
    variables = net.init(jax.random.key(0), wave[:1])
    # Dead pixels would hide mistakes: statistics that are not the initial ones.
    stats = jax.tree.map(lambda s: np.asarray(s) + np.float32(0.1), variables["batch_stats"])
    return net, {**variables, "batch_stats": stats}, jax.jit(net.features)(wave)


@pytest.mark.parametrize(
    ("name", "classes", "count", "published"),
    [
        # The published totals of the ResNets count the shared extractor twice (quirk 78).
        ("tta_in_ac_cnn_am", None, 25_404, 25_404),
        ("tta_in_ac_cnn_sc1", None, 26_704, 26_704),
        ("cnn_small", DIGITS, 25_404, 25_404),
        ("tta_in_ac_resnet26_am", None, 737_005 - 88_432, 737_005),
        ("tta_in_ac_resnet26_rotation_am", None, 740_078 - 88_432, 740_078),
        ("tta_in_ac_resnet26_sc1", None, 740_481 - 88_432, 740_481),
        ("tta_in_ac_resnet50_sc1", None, 1_518_209 - 181_360, 1_518_209),
        ("tta_in_ac_resnet50_sc1", DIGITS, 1_513_069 - 181_360, 1_513_069),
    ],
)
def test_parameters_are_the_published_ones(name, classes, count, published, monkeypatch):
    config = zoo.preset(name, classes)
    shapes = zoo.shapes(zoo.build(config))
    assert zoo.parameter_count(shapes) == count
    monkeypatch.setattr(zoo, "shapes", lambda net: {config: shapes}[net.config])  # traced once
    assert zoo.published_parameter_count(config) == published


def test_resnet26_by_hand():
    """3x3 kernels 9 in out, two numbers a channel for a norm, four blocks a group; 64 x 96 images pool to 2 x 3."""
    one = lambda a, b: 2 * a + 9 * a * b + 2 * b + 9 * b * b  # noqa: E731
    extractor = 9 * 16 + 4 * one(16, 16) + one(16, 32) + 3 * one(32, 32)
    last = one(32, 64) + 3 * one(64, 64) + 2 * 64
    assert extractor == 88_432
    total = extractor + 2 * last + (64 * 6 * 10 + 10) + (64 * 6 * 3 + 3)
    params = zoo.shapes(zoo.build(zoo.preset("tta_in_ac_resnet26_am")))["params"]
    assert zoo.parameter_count({"params": params}) == total
    assert masks.count(params, "aux_path") == extractor + last + 64 * 6 * 3 + 3
    assert zoo.parameter_count({"params": params["encoder"]["extractor"]}) == extractor


def test_images_are_those_of_the_reference():
    frames = {"cnn_am": 94, "cnn_sc1": 32, "resnet26_am": 96, "resnet26_sc1": 64, "resnet26_rotation_am": 96}
    for name, wanted in frames.items():
        config = zoo.preset(f"tta_in_ac_{name}")
        shape = jax.eval_shape(zoo.front_end(config), jax.ShapeDtypeStruct((2, config.length), jnp.float32)).shape
        assert shape == (2, wanted, 96 if "rotation" in name else 64)
        spec = config.front_end
        assert (spec["n_fft"], spec["win_length"], spec["scale"], spec["top_db"]) == (1024, 1024, "htk", 80.0)
        assert (spec["divisor"], spec["f_max"]) == (1.0, config.sample_rate / 2)
        assert config.head["softmax_output"] == name.startswith("cnn")


def convolved(x, kernel, stride):
    """Cross-correlation of (batch, rows, columns, channels) with one zero on every side, pixel by pixel."""
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = (x.shape[1] - 3) // stride + 1, (x.shape[2] - 3) // stride + 1
    out = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + 3, j * stride : j * stride + 3]
            out[:, i, j] = np.einsum("bklc,klcf->bf", patch, np.asarray(kernel, np.float64))
    return out


def normalised(x, scale, bias):
    scale, bias = (v[None, None, None] for v in (scale, bias))
    return (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * scale + bias


@pytest.mark.parametrize(("features", "stride"), [(4, 1), (6, 2)])
def test_a_block_is_that_of_numpy(features, stride):
    x = RNG.standard_normal((2, 6, 4, 4))
    block = PreActivationBlock(features, stride)
    variables = jax.jit(lambda x: block.init(jax.random.key(1), x, mode=EVAL))(x.astype(np.float32))
    params = jax.tree.map(
        lambda p: p + (0.1 * RNG.standard_normal(p.shape)).astype(p.dtype),
        jax.tree.map(np.asarray, variables["params"]),
    )
    given = {**variables, "params": params}
    run = jax.jit(lambda v, x: block.apply(v, x, mode=TRAIN, mutable=["batch_stats"]))
    y, _ = run(given, x.astype(np.float32))
    h = np.maximum(normalised(x, **params["batch_norm1"]), 0)
    h = convolved(h, params["conv1"]["kernel"], stride)
    h = convolved(np.maximum(normalised(h, **params["batch_norm2"]), 0), params["conv2"]["kernel"], 1)
    shortcut = x
    if stride == 2:
        shortcut = np.zeros((2, 3, 2, 6))
        shortcut[..., :4] = (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
    np.testing.assert_allclose(y, shortcut + h, rtol=1e-4, atol=1e-4)


def test_average_pool_drops_what_is_left_over():
    x = jnp.asarray(np.arange(30, dtype=np.float32).reshape(1, 5, 6, 1))
    wanted = [[np.mean([0, 1, 6, 7]), np.mean([2, 3, 8, 9]), np.mean([4, 5, 10, 11])]]
    np.testing.assert_allclose(np.asarray(average_pool(x, 2))[0, :1, :, 0], wanted)
    assert average_pool(x, 2).shape == (1, 2, 3, 1)
    assert average_pool(x, 4).shape == (1, 1, 1, 1)


def test_outputs_and_their_last_layer(tiny):
    net, variables, features = tiny
    run = jax.jit(lambda v, x: net.apply_features(v, x, mode=EVAL))
    outputs, (kernel, bias) = jax.tree.map(np.asarray, (run(variables, features)[0], net.head(variables)))
    assert outputs.logits.shape == (6, 10)
    assert outputs.aux.shape == (6, 3)
    assert outputs.frames.shape == (6, 4, 8)
    # Channel by channel, as PyTorch flattens (channels, rows, columns).
    np.testing.assert_array_equal(outputs.embedding[:, :4], outputs.frames[:, :, 0])
    np.testing.assert_allclose(outputs.embedding @ kernel + bias, outputs.logits, atol=1e-5)


def test_the_auxiliary_head_begins_as_a_copy_of_the_last_group():
    net = zoo.build(zoo.preset("resnet_tiny", DIGITS))
    variables = net.init(jax.random.key(1), jnp.zeros((1, net.config.length)))
    for kind in ("params", "batch_stats"):
        group, copy = variables[kind]["encoder"]["last_group"], variables[kind]["aux"]["last_group"]
        jax.tree.map(np.testing.assert_array_equal, copy, group)
    first = variables["params"]["aux"]["last_group"]["group"]["block0"]["conv1"]["kernel"]
    assert np.abs(first).max() > 0.1
    assert set(variables["params"]["aux"]) == {"last_group", "linear"}


def test_the_auxiliary_head_may_have_a_mode_of_its_own(tiny):
    net, variables, features = tiny
    run = jax.jit(lambda v, x, mode: net.apply_features(v, x, mode=mode), static_argnums=2)
    mixed, stats = jax.tree.map(np.asarray, run(variables, features, Mode(False, batch, running)))
    train, moved = run(variables, features, Mode(False, batch))
    evaluated, _ = run(variables, features, EVAL)
    np.testing.assert_allclose(mixed.logits, train.logits, rtol=1e-6, atol=1e-6)  # of two programs
    assert np.abs(mixed.aux - train.aux).max() > 1e-3
    assert np.abs(mixed.aux - evaluated.aux).max() > 1e-3
    same = jax.tree.map(np.array_equal, stats, variables["batch_stats"])
    assert all(jax.tree.leaves(same["aux"]))
    assert not any(jax.tree.leaves(same["encoder"]))
    # A pass for the classes is none for the auxiliary head, whatever the extractor's statistics do.
    jax.tree.map(np.testing.assert_array_equal, moved["aux"], variables["batch_stats"]["aux"])
    _, both = run(variables, features, Mode(False, batch, batch))
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, both["aux"], variables["batch_stats"]["aux"])))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-6), both["encoder"], moved["encoder"])
    # So it is left out of a program that asks for the classes alone.
    for mode, found in ((EVAL, False), (Mode(False, batch), False), (Mode(False, batch, batch), True)):

        def asks(v, x, mode=mode):
            outputs, stats = net.apply_features(v, x, mode=mode)
            return outputs.logits, stats

        assert ("/aux/" in jax.jit(asks).lower(variables, features).compile().as_text()) is found


@pytest.mark.slow
def test_the_cnn_and_its_double_softmax():
    config = zoo.preset("tta_in_ac_cnn_sc1", DIGITS).replace(length=4000)
    net = zoo.build(config)
    wave = jnp.asarray(RNG.standard_normal((3, 4000)) * 0.1, jnp.float32)
    variables = net.init(jax.random.key(0), wave[:1])
    outputs, _ = jax.jit(lambda v, x: net.apply(v, x, mode=EVAL))(variables, wave)
    assert outputs.aux is None
    assert outputs.embedding.shape == (3, 64)
    kernel, bias = net.head(variables)
    z = np.asarray(outputs.embedding @ kernel + bias[None])
    np.testing.assert_allclose(outputs.logits.sum(1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(outputs.logits, np.exp(z) / np.exp(z).sum(1, keepdims=True), rtol=1e-4)
    plain = zoo.build(config.replace(head={"kind": "linear", "softmax_output": False}))
    np.testing.assert_allclose(plain.apply(variables, wave, mode=EVAL)[0].logits, z, rtol=1e-4, atol=1e-5)
    # 64 x 8 images: halved four times by strides.
    sizes = jax.eval_shape(lambda: SmallCNN((8, 16)).init(jax.random.key(0), jnp.zeros((1, 8, 64)), mode=EVAL))
    assert sizes["params"]["conv1"]["kernel"].shape == (5, 5, 1, 8)
    assert sizes["params"]["conv2"]["kernel"].shape == (3, 3, 8, 16)


def change(section, **values):
    config = zoo.preset("resnet_tiny", DIGITS)
    return config.replace(**{section: {**getattr(config, section), **values}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (change("front_end", hop=250), "16 mels and 17 frames, expected multiples of 4, at least 8"),
        (change("geometry", pool=8), "expected multiples of 4, at least 32"),
        (change("geometry", depth=26), r"foreign keys \['depth'\]"),
        (change("front_end", kind="wave", normalise=False), "family 'resnet' has front end 'wave'"),
        (zoo.preset("tta_in_ac_cnn_am").replace(geometry={}), r"family 'cnn': missing keys \['channels'\]"),
        (change("head", classes=3), r"config head: .*foreign keys \['classes'\]"),
    ],
)
def test_impossible_records_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(config)


def test_a_resnet_without_auxiliary_head():
    net = zoo.build(change("geometry", aux_classes=0))
    assert set(zoo.shapes(net)["params"]) == {"encoder", "head"}
    assert zoo.published_parameter_count(net.config) == zoo.parameter_count(zoo.shapes(net))
