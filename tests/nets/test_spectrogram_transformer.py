"""The spectrogram transformer: sizes, patches, gradients, ways to compute it, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dhauds_jax.nets import masks, spectrogram_zoo, ssast_pretrain, zoo
from dhauds_jax.nets.heads import build_head
from dhauds_jax.nets.normalisers import EVAL, TRAIN
from dhauds_jax.nets.spectrogram_transformer import grid_of, unfold
from tests.goldens.golden_weights import golden_array, golden_state_dict
from tests.paths import GOLDENS

CLASSES = ("a", "b", "c", "d")
CONFIG = zoo.preset("ssast_test", CLASSES)


@pytest.fixture(scope="module")
def tiny():
    net = zoo.build(CONFIG)
    wave = jnp.asarray(np.random.default_rng(0).standard_normal((4, CONFIG.length)) * 0.1, jnp.float32)
    variables = net.init(jax.random.key(0), wave[:1])
    shapes = jax.tree_util.tree_flatten_with_path(variables)[0]
    filled = [golden_array(jax.tree_util.keystr(path), leaf.shape) for path, leaf in shapes]  # biases are not 0 then
    golden = jax.tree.unflatten(jax.tree.structure(variables), filled)
    return net, variables, golden, wave, jax.jit(net.features)(wave)


PARAMETERS = {
    "ast_sc2": 85_395_491,  # as published
    "ssast_tiny_patch_sc2": 5_423_651,
    "ssast_tiny_frame_sc2": 5_420_387,
    "ssast_base_patch_sc2": 85_395_491,
    "ssast_base_frame_sc2": 85_382_435,
    "ssast_small_patch": 21_438_340,
    "ssast_base_nokd_patch": 85_342_468,
}


@pytest.mark.parametrize("name", list(PARAMETERS))
def test_parameters_by_size(name):
    config = zoo.preset(name, None if name.endswith("sc2") else CLASSES)
    assert zoo.parameter_count(zoo.shapes(zoo.build(config))) == PARAMETERS[name]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "count"), [("tiny", 6_046_288), ("small", 22_854_352), ("base", 88_763_344)])
def test_pretraining_files_have_the_published_millions(size, count):
    """6, 23 and 89 million; timm's two unread ImageNet heads count, and two scalars for the spectrogram's size."""
    width = spectrogram_zoo.SIZES[size]["width"]
    for kind in ("patch", "frame"):
        config = zoo.preset(f"ssast_{size}_{kind}_pretrain")
        net = ssast_pretrain.build(config)
        drawn = jax.eval_shape(lambda net=net, config=config: ssast_pretrain.init(net, config, jax.random.key(0)))
        assert zoo.parameter_count(drawn) + 2 * 1000 * (width + 1) == count
    if size != "small":
        file = golden_state_dict(str(GOLDENS / f"ssast_{size}_patch_pretrained.spec.json"))
        assert sum(math.prod(array.shape) for array in file.values()) == count + 2


def test_grids_of_the_published_clips():
    assert [grid_of(128, t, (16, 16), (10, 10)) for t in (1024, 512, 128, 100, 98)] == [
        (12, 101),
        (12, 50),
        (12, 12),
        (12, 9),
        (12, 9),
    ]
    assert grid_of(128, 1024, (16, 16), (16, 16)) == (8, 64) and grid_of(128, 1024, (128, 2), (128, 2)) == (1, 512)
    assert grid_of(128, 100, (128, 2), (128, 1)) == (1, 99)
    assert spectrogram_zoo.config_grid(zoo.preset("ssast_tiny", CLASSES)) == (12, 9)
    assert spectrogram_zoo.config_grid(zoo.preset("ast_sc2")) == (12, 12)


def test_unfold_is_strided_windows():
    features = np.random.default_rng(0).standard_normal((2, 23, 32)).astype(np.float32)
    for patch, stride in (((8, 8), (6, 6)), ((32, 2), (32, 1)), ((5, 4), (5, 4))):
        windows = np.lib.stride_tricks.sliding_window_view(np.swapaxes(features, 1, 2), patch, (1, 2))
        windows = windows[:, :: stride[0], :: stride[1]]  # (batch, rows, columns, bins, frames)
        expected = windows.reshape(2, -1, patch[0] * patch[1])
        found = jax.jit(unfold, static_argnums=(1, 2))(features, patch, stride)
        np.testing.assert_array_equal(found, expected)


def test_outputs_and_head(tiny):
    net, _, golden, wave, _ = tiny
    outputs, stats = jax.tree.map(np.asarray, jax.jit(lambda v, x: net.apply(v, x, mode=EVAL))(golden, wave))
    assert stats == {} and outputs.frames.shape == (4, 17, 16) and outputs.embedding.shape == (4, 16)
    kernel, bias = map(np.asarray, net.head(golden))
    np.testing.assert_allclose(outputs.embedding @ kernel + bias, outputs.logits, atol=1e-5)
    pooled = outputs.frames[:, 2:].mean(1)
    normed = (pooled - pooled.mean(1, keepdims=True)) / np.sqrt(pooled.var(1, keepdims=True) + 1e-5)
    norm = jax.tree.map(np.asarray, golden["params"]["head"]["layer_norm"])
    np.testing.assert_allclose(outputs.embedding, normed * norm["scale"] + norm["bias"], atol=1e-5)
    cls = build_head({**CONFIG.head, "pool": "cls"}, 4)
    run = jax.jit(lambda params, frames: cls.apply({"params": params}, frames, mode=EVAL)[1])
    embedding = run(golden["params"]["head"], outputs.frames)
    pooled = outputs.frames[:, :2].mean(1)
    normed = (pooled - pooled.mean(1, keepdims=True)) / np.sqrt(pooled.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(embedding, normed * norm["scale"] + norm["bias"], atol=1e-5)


def test_gradients_equal_pytorchs(tiny):
    """Every gradient of a weighted sum of tokens, against plain PyTorch under the authors' names."""
    torch = pytest.importorskip("torch", reason="the PyTorch side")
    from converters import spectrogram
    from converters.mapping import to_torch
    from converters.torch_side import spectrogram_activations

    _, _, golden, _, features = tiny
    encoder = spectrogram_zoo.build_encoder(CONFIG)
    weights = np.random.default_rng(1).standard_normal((4, 17, 16)).astype(np.float32)
    leaves = spectrogram.encoder_leaves(CONFIG.geometry, "original")

    def loss(params, x):
        return (weights * encoder.apply({"params": params}, x, mode=EVAL)).sum()

    value, (gradients, slope) = jax.jit(jax.value_and_grad(loss, (0, 1)))(golden["params"]["encoder"], features)
    state = to_torch({"params": {"encoder": golden["params"]["encoder"]}}, leaves)
    state = {key: torch.from_numpy(np.array(array)).requires_grad_() for key, array in state.items()}
    inputs = torch.from_numpy(np.array(features)).requires_grad_()
    tokens = spectrogram_activations(state, CONFIG.geometry, inputs)["tokens"]
    expected = (torch.from_numpy(weights) * tokens).sum()
    expected.backward()
    assert abs(float(value) - float(expected.detach())) < 1e-3
    named = to_torch({"params": {"encoder": gradients}}, leaves)
    for key, parameter in state.items():
        theirs = parameter.grad.numpy()
        assert np.abs(named[key] - theirs).max() < 1e-4 * np.abs(theirs).max(), key
    assert np.abs(np.asarray(slope) - inputs.grad.numpy()).max() < 1e-4 * inputs.grad.abs().max()


def loss_and_gradients(net, golden, features):
    def run(v):
        outputs, _ = net.apply_features(v, features, mode=TRAIN, rngs={"dropout": jax.random.key(0)})
        return jnp.square(outputs.logits).mean()

    return jax.jit(jax.value_and_grad(run))(golden)


@pytest.fixture(scope="module")
def plainly(tiny):
    net, _, golden, _, features = tiny
    return loss_and_gradients(net, golden, features)


@pytest.mark.slow
@pytest.mark.parametrize("compute", [{"scan": False}, {"remat": True}, {"dtype": jnp.bfloat16}])
def test_ways_to_compute_agree(tiny, plainly, compute):
    _, _, golden, _, features = tiny
    value, gradients = plainly
    again, others = loss_and_gradients(zoo.build(CONFIG, **compute), golden, features)
    tolerance = 0.05 if "dtype" in compute else 1e-5  # bfloat16 has 8 bits
    assert abs(float(value) - float(again)) < tolerance * float(value)
    scale = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradients))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=tolerance * scale), gradients, others)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(others))


def test_groups_of_parameters(tiny):
    _, variables, _, _, _ = tiny
    params = variables["params"]
    assert not masks.has_batch_norm(variables)
    assert masks.count(params, "norm") == 2 * 2 * 32 + 32 + 32 and masks.count(params, "head") == 32 + 4 * 17
    assert masks.count(params, "all") == masks.count(params, "head") + masks.count(params, "encoder")


def test_starts_small_and_the_patches_as_pytorchs_convolution(tiny):
    _, variables, _, _, _ = tiny
    encoder = variables["params"]["encoder"]
    for leaf in (encoder["positions"], encoder["blocks"]["qkv"]["kernel"], encoder["blocks"]["mlp2"]["kernel"]):
        assert 0.017 < float(np.std(leaf)) < 0.023
    assert not np.any(encoder["blocks"]["qkv"]["bias"]) and np.all(encoder["blocks"]["layer_norm1"]["scale"] == 1)
    assert 0.11 < float(np.abs(encoder["patch_embed"]["kernel"]).max()) <= 64**-0.5


def changed(section, **values):
    return CONFIG.replace(**{section: {**getattr(CONFIG, section), **values}})


@pytest.mark.parametrize(
    ("config", "compute", "message"),
    [
        (changed("geometry", heads=3), {}, "width 16 is no multiple of 3 heads"),
        (changed("geometry", prefix=3), {}, "prefix is 3, expected 0, 1"),
        (changed("geometry", prefix=1), {}, "head.prefix is 2, geometry.prefix 1"),
        (changed("geometry", patch=[64, 8]), {}, "32 mels and 23 frames, expected at least one patch of 64 x 8"),
        (changed("geometry", colour=1), {}, r"foreign keys \['colour'\]"),
        (changed("head", pool="max"), {}, "pool is 'max', expected 'average' or 'cls'"),
        (changed("front_end", sample_rate=8000), {}, "front_end.sample_rate is 8000 Hz, sample_rate 16000 Hz"),
        (changed("front_end", mels=8), {}, r"config front_end: .*foreign keys \['mels'\]"),
        (CONFIG.replace(front_end={"kind": "wave", "normalise": True}), {}, "has front end 'wave', expected"),
        (CONFIG, {"attention": "flash"}, "attention is 'flash', expected one of xla, cudnn"),
        (CONFIG, {"attention": "cudnn"}, "computes in half types only, expected dtype=bfloat16"),
        (CONFIG, {"attention": "cudnn", "dtype": jnp.bfloat16}, "needs a GPU, found 'cpu', expected attention='xla'"),
        (CONFIG, {"positional": "fft"}, r"has no options \['positional'\]"),
    ],
)
def test_impossible_records_are_refused(config, compute, message):
    with pytest.raises(ValueError, match=message):
        zoo.build(config, **compute)


def test_clips_of_another_length_are_refused(tiny):
    net, variables, _, wave, _ = tiny
    with pytest.raises(ValueError, match="features have 17 frames and 32 mels, 5 x 2 patches, expected 5 x 3"):
        jax.eval_shape(lambda w: net.apply(variables, w, mode=EVAL), np.asarray(wave)[:, :3000])
