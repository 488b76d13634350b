"""CoNMix's files: the ImageNet checkpoint, made in the test, and the three trained ones, there and back."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import conmix, conversion
from converters.mapping import flatten, split, to_torch, unflatten
from dhauds_jax.nets import checkpoint, mel_image, zoo
from dhauds_jax.nets.normalisers import EVAL

CLASSES = [f"class{i}" for i in range(5)]
SIZES = zoo.preset("conmix_tiny", CLASSES).geometry
WIDTH, HEADS, MLP = SIZES["width"], SIZES["heads"], SIZES["mlp"]


def imagenet_arrays(seed=0):
    """An ImageNet-21k checkpoint of the test size, in the published names and shapes."""
    rng = np.random.default_rng(seed)
    made = {}

    def put(name, *shape):
        made[name] = rng.standard_normal(shape).astype(np.float32) / 4

    def norm(name, channels):
        for part in ("scale", "bias"):
            put(f"{name}/{part}", 1, 1, 1, channels)

    put("conv_root/kernel", 7, 7, 3, 4)
    norm("gn_root", 4)
    for block, (inputs, middle) in enumerate(((4, 4), (16, 8), (32, 16)), 1):
        for name, shape in (
            ("conv1", (1, 1, inputs, middle)),
            ("conv2", (3, 3, middle, middle)),
            ("conv3", (1, 1, middle, 4 * middle)),
            ("conv_proj", (1, 1, inputs, 4 * middle)),
        ):
            put(f"block{block}/unit1/{name}/kernel", *shape)
            norm(f"block{block}/unit1/{name.replace('conv', 'gn')}", shape[-1])
    put("embedding/kernel", 1, 1, 64, WIDTH)
    put("embedding/bias", WIDTH)
    for i in range(SIZES["depth"]):
        block = f"Transformer/encoderblock_{i}"
        for name in ("query", "key", "value"):
            put(f"{block}/MultiHeadDotProductAttention_1/{name}/kernel", WIDTH, HEADS, WIDTH // HEADS)
            put(f"{block}/MultiHeadDotProductAttention_1/{name}/bias", HEADS, WIDTH // HEADS)
        put(f"{block}/MultiHeadDotProductAttention_1/out/kernel", HEADS, WIDTH // HEADS, WIDTH)
        put(f"{block}/MultiHeadDotProductAttention_1/out/bias", WIDTH)
        for name, shape in (("Dense_0", (WIDTH, MLP)), ("Dense_1", (MLP, WIDTH))):
            put(f"{block}/MlpBlock_3/{name}/kernel", *shape)
            put(f"{block}/MlpBlock_3/{name}/bias", shape[1])
        for name in ("LayerNorm_0", "LayerNorm_2"):
            put(f"{block}/{name}/scale", WIDTH)
            put(f"{block}/{name}/bias", WIDTH)
    for part in ("scale", "bias"):
        put(f"Transformer/encoder_norm/{part}", WIDTH)
    put("Transformer/posembed_input/pos_embedding", 1, 197, WIDTH)
    put("cls", 1, 1, WIDTH)
    for name in ("pre_logits", "head"):
        put(f"{name}/kernel", WIDTH, 7)
        put(f"{name}/bias", 7)
    return made


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"preset": "conmix_tiny", "classes": CLASSES}))
    return path


@pytest.mark.slow
def test_the_imagenet_checkpoint(tmp_path, config):
    arrays = imagenet_arrays()
    np.savez(tmp_path / "R50+ViT-B_16.npz", **arrays)
    made = conversion.convert("conmix", [tmp_path / "R50+ViT-B_16.npz"], tmp_path / "out", config=config)
    head = (f"{name}/{part}" for name in ("head", "pre_logits") for part in ("bias", "kernel"))
    aside = sorted(["cls", "Transformer/posembed_input/pos_embedding", *head])
    assert [name.removeprefix("encoder/") for name in made.ignored] == aside
    assert made.used == len(arrays) - 6
    assert any("no classification head" in note for note in made.notes)
    assert any("mean -52.9362 and deviation 19.3889 dB" in note for note in made.notes)
    variables, resolved, _ = checkpoint.load(tmp_path / "out")
    encoder = variables["params"]["encoder"]
    np.testing.assert_array_equal(encoder["resnet"]["root"]["kernel"], arrays["conv_root/kernel"])
    unit = encoder["resnet"]["block2_unit1"]
    np.testing.assert_array_equal(unit["shortcut"]["kernel"], arrays["block2/unit1/conv_proj/kernel"])
    np.testing.assert_array_equal(unit["group_norm_shortcut"]["scale"], arrays["block2/unit1/gn_proj/scale"].ravel())
    np.testing.assert_array_equal(encoder["embed"]["kernel"], arrays["embedding/kernel"][0, 0])
    attention, name = encoder["blocks"]["attention"], "Transformer/encoderblock_1/MultiHeadDotProductAttention_1"
    x = np.random.default_rng(1).standard_normal((3, WIDTH)).astype(np.float32)
    query = np.einsum("bw,whd->bhd", x, arrays[f"{name}/query/kernel"]) + arrays[f"{name}/query/bias"]
    found = x @ attention["q"]["kernel"][1] + attention["q"]["bias"][1]
    np.testing.assert_allclose(found, query.reshape(3, -1), atol=1e-5)
    out = np.einsum("bhd,hdw->bw", query, arrays[f"{name}/out/kernel"]) + arrays[f"{name}/out/bias"]
    np.testing.assert_allclose(
        query.reshape(3, -1) @ attention["o"]["kernel"][1] + attention["o"]["bias"][1], out, atol=1e-5
    )
    np.testing.assert_allclose(variables["batch_stats"]["encoder"][mel_image.NAME]["mean"], [-52.9362], rtol=1e-6)
    wave = jnp.asarray(0.1 * np.random.default_rng(2).standard_normal((2, resolved.length)), jnp.float32)
    run = jax.jit(lambda v, w: zoo.build(resolved).apply(v, w, mode=EVAL)[0].logits)
    logits = run(variables, wave)
    assert logits.shape == (2, 5) and np.all(np.isfinite(logits))


@functools.lru_cache
def trained_variables():
    config = zoo.preset("conmix_tiny", CLASSES)
    start = mel_image.Statistics(*(np.full((1,), config.front_end[name], np.float32) for name in ("mean", "deviation")))

    def draw(path, leaf):
        array = np.random.default_rng(leaf.size).standard_normal(leaf.shape).astype(np.float32)
        return np.abs(array) + 1 if "var" in str(path[-1]) else array

    drawn = jax.tree_util.tree_map_with_path(draw, zoo.shapes(zoo.build(config)))
    return jax.tree.map(np.asarray, mel_image.with_statistics(drawn, start)), config


def trained_files(folder, wrapped):
    """The three files of a trained network of the test size, with a decoder, and its variables."""
    from safetensors.numpy import save_file

    variables, config = trained_variables()
    leaves = conmix.leaves(config, "torch")
    held = {path for each in leaves for path in each.paths}
    flat = unflatten({path: array for path, array in flatten(variables).items() if path in held})
    parts = split(to_torch(flat, leaves))
    parts["encoder"]["decoder.blocks.0.conv1.0.weight"] = np.full((2, 3, 3, 3), 0.5, np.float32)
    parts["encoder"]["decoder.blocks.0.conv1.1.num_batches_tracked"] = np.array(7)
    parts["bottleneck"]["bn.num_batches_tracked"] = np.array(9)
    old = {f"fc.parametrizations.weight.original{i}": f"fc.weight_{'gv'[i]}" for i in (0, 1)}
    parts["classifier"] = {old.get(key, key): array for key, array in parts["classifier"].items()}
    if wrapped:
        parts["encoder"] = {f"module.feature_extractor.{key}": array for key, array in parts["encoder"].items()}
    paths = []
    for part, name in (("encoder", "modelF"), ("bottleneck", "modelB"), ("classifier", "modelC")):
        paths.append(folder / f"{name}.safetensors")
        save_file({key: np.ascontiguousarray(a).reshape(a.shape) for key, a in parts[part].items()}, paths[-1])
    return paths, variables


@pytest.mark.parametrize("wrapped", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_trained_files_there_and_back(tmp_path, config, wrapped):
    load_file = pytest.importorskip("safetensors.numpy").load_file
    paths, variables = trained_files(tmp_path, wrapped)
    made = conversion.convert("conmix_classifier", paths, tmp_path / "out", config=config)
    assert len(made.ignored) == 3 and any("decoder.blocks.0" in name for name in made.ignored)
    loaded, _, _ = checkpoint.load(tmp_path / "out")
    for path, array in flatten(variables).items():
        np.testing.assert_array_equal(flatten(loaded)[path], array)
    written = conversion.reverse("conmix_classifier", tmp_path / "out", tmp_path / "back")
    assert [path.name for path in written] == [path.name for path in paths]
    for before, after in zip(paths, written, strict=True):
        before, after = load_file(before), load_file(after)
        assert before.keys() == after.keys()
        for key, array in before.items():
            assert np.array_equal(array, after[key]) and array.dtype == after[key].dtype, key


@pytest.mark.slow
def test_verify_runs_a_pytorch_side_that_agrees(tmp_path, config):
    pytest.importorskip("torch")
    paths, _ = trained_files(tmp_path, True)
    made = conversion.convert("conmix_classifier", paths, tmp_path / "out", config=config, verify=True)
    assert set(made.verified) == {"resnet", "tokens", "logits"}
    assert all(difference < 2e-4 for difference in made.verified.values()), made.verified


def test_wrong_files_are_named(tmp_path, config):
    pytest.importorskip("safetensors")
    paths, _ = trained_files(tmp_path, False)
    with pytest.raises(ValueError, match=r"modelC.safetensors: holds CoNMix classifier .*expected CoNMix bottleneck"):
        conversion.convert("conmix_classifier", [paths[0], paths[2], paths[1]], tmp_path / "out", config=config)
    with pytest.raises(ValueError, match=r"holds CoNMix encoder .*expected ImageNet-21k hybrid for family conmix"):
        conversion.convert("conmix", paths[:1], tmp_path / "out", config=config)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=r"bad.npz: is truncated or no .npz file"):
        conversion.convert("conmix", [tmp_path / "bad.npz"], tmp_path / "out", config=config)
    assert not (tmp_path / "out").exists()


def test_the_published_size_has_all_of_pytorch_s_tensors():
    """Written back from a network trained here, the decoder's tensors are there too, so that a strict load works."""
    from tests.paths import GOLDENS

    spec = json.loads((GOLDENS / "conmix_vit_hybrid.spec.json").read_text())
    config = zoo.preset("conmix_sc2")
    keys = [key for each in conmix.leaves(config, "torch") for key in each.keys]
    fresh = conmix.fresh(config)
    names = {key.removeprefix("encoder/") for key in (*keys, *fresh) if key.startswith("encoder/")}
    assert names == set(spec)
    for key, array in fresh.items():
        if key.startswith("encoder/"):
            assert list(array.shape) == spec[key.removeprefix("encoder/")]["shape"]
