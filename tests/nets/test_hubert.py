"""HuBERT as a module: sizes, dropout, LayerDrop, precision, normalisation, padding, and what it says of bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import hubert_zoo, zoo
from dhauds_jax.nets.dropout import drop_rows
from dhauds_jax.nets.hubert import Compute, Hubert, frames_of
from dhauds_jax.nets.normalisers import EVAL, running
from dhauds_jax.types import Mode
from tests.paths import largest_error

TRAIN = Mode(True, running)
TINY = zoo.preset("hubert_tiny", tuple("abc"))


def encoder(compute=None, **changes):
    sizes = {**hubert_zoo.TINY, **changes}
    convs = tuple(tuple(conv) for conv in sizes["convs"])
    return Hubert(**{**sizes, "convs": convs}, compute=Compute(**(compute or {})))


@functools.cache
def _drawn(batch, samples):
    return np.asarray(jax.jit(lambda key: 0.1 * jax.random.normal(key, (batch, samples)))(jax.random.key(1)))


def waves(batch=4, samples=4000):
    return jnp.asarray(_drawn(batch, samples))


def start(net):
    """Variables without compiling the initialisers: kernels near 1 / sqrt(fan-in), scales and lengths 1, biases 0."""
    clip = waves(1)  # drawn before anything is traced
    shapes = jax.eval_shape(lambda key: net.init({"params": key}, clip, mode=EVAL), jax.random.key(0))
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        if path[-1].key in ("scale", "g"):
            return jnp.asarray(np.ones(leaf.shape, np.float32))
        if path[-1].key == "bias":
            return jnp.asarray(np.zeros(leaf.shape, np.float32))
        fan_in = np.prod(leaf.shape[1:-1] if "blocks" in str(path) else leaf.shape[:-1])
        return jnp.asarray(rng.standard_normal(leaf.shape) / np.sqrt(fan_in), jnp.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


@pytest.mark.parametrize(
    ("name", "encoder_count", "total"),
    [
        ("hubert_base", 94_370_944, 96_479_942),
        ("hubert_base_sc2", 94_370_944, 96_479_942),
        ("hubert_base_sc1", 94_370_944, 96_478_652),
        ("hubert_base_rs", 94_370_944, 96_480_458),
        ("hubert_base_us8", 94_370_944, 111_351_818),
        ("hubert_base_vs", 94_370_944, 119_772_166),
        ("hubert_base_vs_fce", 94_370_944, 94_377_125),
        ("hubert_large", 315_434_112, 318_067_398),
        ("hubert_xlarge", 962_492_544, 965_650_118),
    ],
)
def test_parameter_counts_are_the_published_ones(name, encoder_count, total):
    shapes = zoo.shapes(zoo.build(zoo.preset(name)))
    assert zoo.parameter_count({"params": shapes["params"]["encoder"]}) == encoder_count
    assert zoo.parameter_count(shapes) == total


def test_huggingface_large_has_convolution_biases_more():
    large = zoo.preset("hubert_large")
    biased = large.replace(geometry={**large.geometry, "conv_bias": True})
    more = [zoo.parameter_count(zoo.shapes(zoo.build(config))) for config in (biased, large)]
    assert more[0] - more[1] == 7 * 512


def test_small_preset_has_its_documented_size():
    shapes = zoo.shapes(zoo.build(zoo.preset("hubert_small", tuple("abc"))))
    assert zoo.parameter_count(shapes) == 2_088_550
    assert zoo.parameter_count({"params": shapes["params"]["encoder"]}) == 2_022_368


@pytest.mark.parametrize("samples", [400, 719, 720, 16000, 30080, 64000, 160000])
def test_frames(samples):
    # The published lengths: 49, 93, 199, 499 frames.
    known = {400: 1, 719: 1, 720: 2, 16000: 49, 30080: 93, 64000: 199, 160000: 499}
    assert frames_of(samples, hubert_zoo.BASE["convs"]) == known[samples]


@pytest.mark.slow
def test_loop_and_scan_draw_the_same_masks():
    variables = start(encoder())
    rngs = {"dropout": jax.random.key(3)}
    found = [
        jax.jit(lambda w, n=net: n.apply(variables, w, mode=TRAIN, rngs=rngs))(waves())
        for net in (encoder(), encoder({"scan": False}), encoder({"remat": True}))
    ]
    assert largest_error(found[0], found[1]) < 1e-5 and largest_error(found[0], found[2]) < 1e-5
    still = jax.jit(lambda w: encoder().apply(variables, w, mode=EVAL))(waves())
    assert largest_error(found[0], still) > 0.1


@pytest.mark.slow
def test_masks_of_a_spread_batch_are_those_of_one_device():
    """Rows 0-1 and 2-3 on two mapped places give the numbers of one batch of four, dropout and LayerDrop on."""
    net = encoder(layer_drop=0.5)
    variables, rngs = start(net), {"dropout": jax.random.key(5)}
    whole = jax.jit(lambda w: net.apply(variables, w, mode=TRAIN, rngs=rngs))(waves())

    def part(wave):
        return net.apply(variables, wave, mode=TRAIN, rngs=rngs, axis_name="batch")

    halves = jax.jit(jax.vmap(part, axis_name="batch"))(waves().reshape(2, 2, -1))
    assert largest_error(halves.reshape(whole.shape), whole) < 1e-5


@pytest.mark.slow
def test_layer_drop_skips_whole_blocks_at_its_rate():
    """Only LayerDrop on: a skipped block's output is its input for every row, one draw per layer and forward."""
    rates = {"projection_dropout": 0.0, "attention_dropout": 0.0, "dropout": 0.0, "layer_drop": 0.3}
    net = encoder(depth=4, **rates)
    variables, clips = start(net), waves(3)

    @jax.jit
    def layers(key):
        kept = net.apply(variables, clips, mode=TRAIN, rngs={"dropout": key}, keep_all=True, method="encode").layers
        return jnp.abs(kept[1:] - kept[:-1]).max((2, 3))

    change = np.stack([layers(jax.random.key(seed)) for seed in range(200)])
    skipped = change == 0.0
    assert np.all(skipped.all(2) == skipped.any(2))
    # 600 draws at .3: three standard deviations are .056.
    assert abs(skipped.all(2).mean() - 0.3) < 0.056


@pytest.mark.slow
def test_dropped_blocks_have_no_gradient():
    net = encoder(layer_drop=1.0)
    variables, clips = start(net), waves(2)

    def loss(params):
        return jnp.square(net.apply({"params": params}, clips, mode=TRAIN, rngs={"dropout": jax.random.key(0)})).sum()

    gradients = jax.jit(jax.grad(loss))(variables["params"])
    assert all(float(jnp.abs(leaf).max()) == 0.0 for leaf in jax.tree.leaves(gradients["blocks"]))
    assert float(jnp.abs(gradients["projection"]["kernel"]).max()) > 0.0


def test_drop_rows_keeps_the_mean_and_follows_the_row():
    x = np.ones((64, 5000), np.float32)
    drop = jax.jit(drop_rows, static_argnums=2)
    y = np.asarray(drop(x, jax.random.key(0), 0.1))
    # 320,000 draws: the share of zeros has a standard deviation of 5.3e-4.
    assert abs(float((y == 0).mean()) - 0.1) < 2e-3
    np.testing.assert_allclose(y[y != 0], 1 / 0.9, rtol=1e-6)
    np.testing.assert_array_equal(drop(x[:7], jax.random.key(0), 0.1), y[:7])


@pytest.mark.slow
def test_bfloat16_computes_in_half_and_keeps_float32_around():
    classifier = zoo.build(TINY, dtype=jnp.bfloat16)
    variables = classifier.init(jax.random.key(0), waves(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    half, full = (
        jax.jit(lambda w, c=made: c.apply(variables, w, mode=EVAL)[0])(waves())
        for made in (classifier, zoo.build(TINY))
    )
    assert half.logits.dtype == half.frames.dtype == jnp.float32
    # Frames are layer-normed (size about 1); bfloat16 keeps 8 bits through two blocks.
    assert 1e-4 < largest_error(half.frames, full.frames) < 0.1
    text = str(jax.make_jaxpr(lambda w: classifier.apply(variables, w, mode=EVAL)[0].logits)(waves()))
    assert "bf16" in text and "reduce_max" in text
    soft = [line for line in text.splitlines() if " exp " in line]
    assert soft and all("f32" in line and "bf16" not in line for line in soft)


@pytest.mark.parametrize(
    ("name", "normalises"), [("hubert_base", False), ("hubert_large", True), ("hubert_xlarge_vs", True)]
)
def test_wave_normalisation_belongs_to_the_config(name, normalises):
    config = zoo.preset(name)
    assert config.front_end == {"kind": "wave", "normalise": normalises}
    wave = np.float32(0.3) + np.float32(2) * np.asarray(waves(2))
    ready = np.asarray(jax.jit(zoo.build(config).features)(wave))
    if normalises:
        np.testing.assert_allclose(ready.mean(-1), 0.0, atol=1e-6)
        np.testing.assert_allclose(ready.var(-1), 1.0, atol=1e-3)
    else:
        np.testing.assert_array_equal(ready, wave)


def test_padding_changes_every_frame_under_group_norm_and_only_near_ones_under_layer_norm():
    """Why clips have one length: group norm averages over time, so silence behind a clip reaches its first frame."""
    wave = waves(2, 8000)
    padded = np.pad(wave, ((0, 0), (0, 8000)))
    change = {}
    for norm in ("group", "layer"):
        net = encoder(conv_norm=norm)
        variables = start(net)
        run = jax.jit(lambda w, n=net, v=variables: n.apply(v, w, mode=EVAL, method="encode").conv_features)
        short, long = np.asarray(run(wave)), np.asarray(run(padded))
        change[norm] = float(np.abs(long[:, : short.shape[1]] - short).max() / np.abs(short).max())
    assert change["group"] > 0.05
    assert change["layer"] < 1e-6


def test_every_layer_is_optional():
    net = encoder()
    variables = start(net)

    def encode(keep_all):
        return jax.jit(lambda w: net.apply(variables, w, mode=EVAL, keep_all=keep_all, method="encode"))(waves())

    bare, full = encode(False), encode(True)
    assert bare.layers is None and full.layers.shape == (2, 4, 12, 24) and full.conv_features.shape == (4, 12, 16)
    np.testing.assert_allclose(np.asarray(full.layers)[-1], full.frames, atol=1e-6)


@pytest.mark.slow
def test_classifier_trains_a_little():
    """Twenty steps of gradient descent on two made tones and noise lower the loss of the tiny preset."""
    classifier = zoo.build(TINY)
    t = jnp.arange(4000) / 16000
    wave = jnp.stack([jnp.sin(2 * jnp.pi * f * t) for f in (200.0, 1500.0)] + [waves(1)[0]])
    labels = jnp.arange(3)
    variables = classifier.init(jax.random.key(0), wave)
    mode = Mode(True, zoo.EVAL.norm)

    @jax.jit
    def step(params, key):
        def loss(p):
            outputs, _ = classifier.apply({**variables, "params": p}, wave, mode=mode, rngs={"dropout": key})
            return -jnp.take_along_axis(jax.nn.log_softmax(outputs.logits), labels[:, None], 1).mean()

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient), value

    params, losses = variables["params"], []
    for i in range(20):
        params, value = step(params, jax.random.key(i))
        losses.append(float(value))
    assert losses[-1] < 0.7 * losses[0]


def test_bad_input_is_said():
    net = encoder()
    with pytest.raises(ValueError, match="clips have 399 samples, expected at least 400"):
        net.init({"params": jax.random.key(0)}, waves(1, 399), mode=EVAL)
    with pytest.raises(ValueError, match="conv_norm is 'batch', expected 'group' or 'layer'"):
        zoo.build(TINY.replace(geometry={**TINY.geometry, "conv_norm": "batch"}))
    with pytest.raises(ValueError, match="width 24 is no multiple of 5 heads"):
        zoo.build(TINY.replace(geometry={**TINY.geometry, "heads": 5}))
    with pytest.raises(ValueError, match=r"missing keys \['layer_drop'\]"):
        zoo.build(TINY.replace(geometry={k: v for k, v in TINY.geometry.items() if k != "layer_drop"}))
    with pytest.raises(ValueError, match=r"'hubert' has no options \['half'\], only .*dtype"):
        zoo.build(TINY, half=True)
    with pytest.raises(ValueError, match="'hubert_small' has no classes of its own"):
        zoo.preset("hubert_small")


def test_settings_of_other_files_are_optional_and_checked():
    """Published geometries do not name them, so that no config and no name of a result changes."""
    tiny = zoo.preset("hubert_tiny", ("a", "b"))
    assert tuple(tiny.geometry) == hubert_zoo.GEOMETRY and not set(hubert_zoo.OPTIONAL) & set(tiny.geometry)
    for key, value, words in (
        ("activation", "mish", "activation is 'mish', expected one of gelu, gelu_tanh, relu, silu"),
        ("conv_activation", "mish", "conv_activation is 'mish', expected one of gelu, gelu_tanh, relu, silu"),
        ("layer_sum", "all", "layer_sum is 'all', expected one of none, blocks, states"),
    ):
        with pytest.raises(ValueError, match=words):
            hubert_zoo.build_encoder(tiny.replace(geometry={**tiny.geometry, key: value}))
    summed = tiny.replace(geometry={**tiny.geometry, "layer_sum": "blocks"})
    weights = zoo.shapes(zoo.build(summed))["params"]["encoder"]["layer_weights"]
    assert weights.shape == (tiny.geometry["depth"] + 1,)
    ast = zoo.preset("ssast_test", ("a", "b"))
    with pytest.raises(ValueError, match="activation is 'mish', expected one of gelu"):
        zoo.build(ast.replace(geometry={**ast.geometry, "activation": "mish"}))
