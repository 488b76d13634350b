"""VGGish and the dog-sound classifier from their files and back, and the whole classifier's published numbers.

Golden `tomofun_model.npz` (float64): the log-mel examples of `vggish.npz` through a whole `Best{k}.ckpt`, whose arrays
follow from `tomofun_model.spec.json` by `golden_weights.py`.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from converters import conversion
from converters.mapping import merge, to_flax
from converters.vggish import DOG_SOUNDS
from dhauds_jax import calibration, class_names
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from tests.goldens.golden_weights import golden_array, golden_state_dict
from tests.nets.vggish_weights import pool_params, vggish_params
from tests.paths import GOLDENS, golden, largest_error

SHAPES = {
    "features.0": (2, 1, 3, 3),
    "features.3": (4, 2, 3, 3),
    "features.5": (4, 4, 3, 3),
    "embeddings.0": (6, 24 * 16 * 4),
    "embeddings.2": (8, 6),
}
"""A VGGish of two stages, torchvggish's names."""

GOOGLE = ("conv1", "conv2/conv2_1", "conv2/conv2_2", "fc1/fc1_1", "fc2")
HEAD = {
    "attnpooling.in_proj_weight": (24, 8),
    "attnpooling.in_proj_bias": (24,),
    "attnpooling.out_proj.weight": (8, 8),
    "attnpooling.out_proj.bias": (8,),
    "classifier.weight": (15, 8),
    "classifier.bias": (15,),
}
PCA = {"pca_eigen_vectors": golden_array("pca", (8, 8)), "pca_means": golden_array("means", (8,))}


def small_state(prefix=""):
    made = {}
    for name, shape in SHAPES.items():
        made[f"{prefix}{name}.weight"] = golden_array(f"{name}.weight", shape)
        made[f"{prefix}{name}.bias"] = golden_array(f"{name}.bias", shape[:1])
    return made


def dog_state():
    head = {name: golden_array(name, shape) for name, shape in HEAD.items()}
    pca = {f"feature_extractor.pproc.{name}": array.reshape(8, -1) for name, array in PCA.items()}
    return {**small_state("feature_extractor."), **pca, **head}


def save(path, state):
    from safetensors.numpy import save_file

    save_file(dict(state), path)
    return path


def settings(folder, **record):
    path = folder / "config.json"
    path.write_text(json.dumps({"classes": ["a", "b"], **record}))
    return path


def same_file(path, state):
    from safetensors.numpy import load_file

    found = load_file(path)
    assert set(found) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(found[name], array)


def test_torchvggishs_file_and_the_components_there_and_back(tmp_path):
    pytest.importorskip("safetensors", reason="writes .safetensors files")
    state = small_state()
    np.savez(tmp_path / "pca.npz", **PCA)
    sources = [save(tmp_path / "vggish.safetensors", state), tmp_path / "pca.npz"]
    made = conversion.convert("vggish", sources, tmp_path / "out", config=settings(tmp_path))
    assert made.used == 12 and any("no classification head" in note for note in made.notes)
    variables, config, extra = checkpoint.load(tmp_path / "out")
    assert config.geometry == {
        "widths": [2, 4],
        "convs": [1, 2],
        "dense": [6, 8],
        "final_relu": True,
        "batch_norm": False,
    }
    assert (config.length, config.classes) == (80_000, ("a", "b"))
    np.testing.assert_array_equal(variables["params"]["encoder"]["dense1"]["kernel"], state["embeddings.0.weight"].T)
    np.testing.assert_array_equal(extra["pca"]["eigen_vectors"], PCA["pca_eigen_vectors"])
    written = conversion.reverse("vggish", tmp_path / "out", tmp_path / "back")
    same_file(written[0], state)
    same_file(written[1], PCA)


@pytest.mark.slow
def test_googles_variables_there_and_back(tmp_path):
    state = small_state()
    google = {}
    for theirs, name in zip(GOOGLE, SHAPES, strict=True):
        weight = state[f"{name}.weight"]
        google[f"vggish/{theirs}/weights"] = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
        google[f"vggish/{theirs}/biases"] = state[f"{name}.bias"]
    np.savez(tmp_path / "vggish.npz", **google)
    conversion.convert("vggish", [tmp_path / "vggish.npz"], tmp_path / "out", config=settings(tmp_path))
    variables, config, extra = checkpoint.load(tmp_path / "out")
    assert config.geometry["final_relu"] is False and config.geometry["convs"] == [1, 2] and "pca" not in extra
    again = {"geometry": {"final_relu": True}}
    conversion.convert("vggish", [tmp_path / "vggish.npz"], tmp_path / "relu", config=settings(tmp_path, **again))
    assert checkpoint.load(tmp_path / "relu")[1].geometry["final_relu"] is True
    np.testing.assert_array_equal(
        variables["params"]["encoder"]["conv3"]["kernel"], google["vggish/conv2/conv2_2/weights"]
    )
    (written,) = conversion.reverse("vggish", tmp_path / "out", tmp_path / "back")
    same_file(written, google)


def test_the_dog_sound_classifier_there_and_back(tmp_path):
    pytest.importorskip("safetensors", reason="writes .safetensors files")
    state = dog_state()
    source = save(tmp_path / "Best1.safetensors", state)
    record = {"classes": list(class_names.TOMOFUN), "temperature": 5}
    made = conversion.convert("tomofun", [source], tmp_path / "out", config=settings(tmp_path, **record))
    assert [name.rpartition(".")[2] for name in made.ignored] == ["pca_eigen_vectors", "pca_means"]
    variables, config, extra = checkpoint.load(tmp_path / "out")
    assert config.head == {"kind": "attention_pool", "heads": 4, "dropout": 0.1, "mask": "none"}
    assert calibration.from_extra(extra).temperature == 5
    assert config.classes == class_names.TOMOFUN and config.reported == class_names.TOMOFUN_MERGED
    assert [config.reported[k] for k in config.groups["of"]][4:12] == ["GlassBreaking", *["Other"] * 6, "Doorbell"]
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["head"], pool_params(state))
    np.testing.assert_array_equal(
        variables["params"]["encoder"]["conv2"]["kernel"],
        state["feature_extractor.features.3.weight"].transpose(2, 3, 1, 0),
    )
    (written,) = conversion.reverse("tomofun", tmp_path / "out", tmp_path / "back")
    same_file(written, state)
    conversion.convert("tomofun", [source], tmp_path / "masked", profile="corrected")
    variables, config, extra = checkpoint.load(tmp_path / "masked")
    assert config.head["mask"] == "trailing_zeros" and config.classes == class_names.TOMOFUN
    assert calibration.from_extra(extra) is None


@pytest.mark.slow
def test_a_classifier_of_ones_own_gets_components_that_change_nothing(tmp_path):
    config = zoo.preset("vggish_small", ("a", "b"))
    sizes = {"widths": [4], "convs": [1], "dense": [8], "batch_norm": False}
    config = config.replace(geometry={**config.geometry, **sizes})
    net = zoo.build(config)
    variables = net.init(jax.random.key(0), jnp.zeros((1, config.length)))
    checkpoint.save(tmp_path / "own", variables, config)
    (written,) = conversion.reverse("tomofun", tmp_path / "own", tmp_path / "back")
    conversion.convert(
        "tomofun", [written], tmp_path / "again", config=settings(tmp_path, geometry={"final_relu": True})
    )
    again, _, extra = checkpoint.load(tmp_path / "again")
    jax.tree.map(np.testing.assert_array_equal, again["params"], jax.tree.map(np.asarray, variables["params"]))
    aside = extra["conversion"]["ignored"]
    np.testing.assert_array_equal(aside["encoder/feature_extractor.pproc.pca_eigen_vectors"], np.eye(8))


@pytest.mark.slow
def test_what_cannot_be_converted_is_said(tmp_path):
    source, config = save(tmp_path / "Best1.safetensors", dog_state()), settings(tmp_path)
    with pytest.raises(BadInput, match=r"holds dog-sound classifier .*, expected VGGish for family vggish"):
        conversion.convert("vggish", [source], tmp_path / "out", config=config)
    with pytest.raises(BadInput, match="3 paths, but family vggish takes 1 to 2"):
        conversion.convert("vggish", [source] * 3, tmp_path / "out", config=config)
    with pytest.raises(BadInput, match="the head file has 15 classes, the config 2 names"):
        conversion.convert("tomofun", [source], tmp_path / "out", config=config)
    with pytest.raises(BadInput, match="--config: temperature=0: expected above 0"):
        settings(tmp_path, classes=list(class_names.TOMOFUN), temperature=0)
        conversion.convert("tomofun", [source], tmp_path / "out", config=config)
    np.savez(tmp_path / "pca.npz", pca_eigen_vectors=np.eye(3), pca_means=np.zeros(3))
    encoder = save(tmp_path / "vggish.safetensors", small_state())
    with pytest.raises(BadInput, match=r"principal components: .*, expected \(8, 8\) and 8 means alone"):
        conversion.convert("vggish", [encoder, tmp_path / "pca.npz"], tmp_path / "out", config=settings(tmp_path))
    own = zoo.preset("vggish_small", ("a", "b"))
    own = own.replace(geometry={**own.geometry, "widths": [4], "convs": [1], "dense": [8]})
    checkpoint.save(tmp_path / "own", zoo.build(own).init(jax.random.key(0), jnp.zeros((1, 80_000))), own)
    with pytest.raises(BadInput, match="the network has BatchNorms, expected one without"):
        conversion.reverse("vggish", tmp_path / "own", tmp_path / "back")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_files_of_torch_and_the_comparison_with_it(tmp_path):
    torch = pytest.importorskip("torch", reason="writes the PyTorch files that are read")
    state = {name: torch.from_numpy(array) for name, array in small_state().items()}
    torch.save(state, tmp_path / "vggish.pth")
    torch.save(PCA, tmp_path / "pca.pth")  # torchvggish's file holds NumPy's arrays
    torch.save({name: torch.from_numpy(array) for name, array in dog_state().items()}, tmp_path / "Best1.ckpt")
    sources = [tmp_path / "vggish.pth", tmp_path / "pca.pth"]
    config = settings(tmp_path)
    made = [conversion.convert("vggish", sources, tmp_path / "out", config=config, verify=True)]
    np.testing.assert_array_equal(checkpoint.load(tmp_path / "out")[2]["pca"]["means"], PCA["pca_means"])
    made.append(conversion.convert("tomofun", [tmp_path / "Best1.ckpt"], tmp_path / "dog", verify=True))
    for report in made:
        assert set(report.verified) == {"image", "tokens", "logits"}
        assert max(report.verified.values()) < 1e-5


@pytest.mark.slow
def test_the_whole_classifier_gives_the_published_codes_numbers():
    state = golden_state_dict(GOLDENS / "tomofun_model.spec.json")
    assert (
        sum(array.size for name, array in state.items() if "features." in name or "embeddings." in name) == 72_141_184
    )
    config = zoo.preset("vggish")
    config = config.replace(head={**config.head, "mask": "none"})
    leaves, aside = DOG_SOUNDS.leaves(config, "", ()), DOG_SOUNDS.ignore(config, "")
    variables = to_flax(merge(encoder=state), leaves, aside, zoo.shapes(zoo.build(config))).variables
    encoder = vggish_params(state, "feature_extractor.")
    jax.tree.map(np.testing.assert_array_equal, variables["params"]["encoder"], encoder)
    net = zoo.build(config)
    run = jax.jit(lambda v, f: net.apply_features(v, f, mode=EVAL)[0])
    features = np.array(golden("vggish")["log_mel_examples"][:, 0])[None]
    stored = golden("tomofun_model")
    outputs = run(variables, jnp.asarray(features))
    assert largest_error(outputs.frames[0], stored["embedding"]) < 1e-5
    features[:, 3:] = 0  # as the published code pads: log-mel values of 0
    lost = run(variables, jnp.asarray(features))
    for temperature in (1, 5):
        found = jax.nn.softmax(outputs.logits / temperature), jax.nn.softmax(lost.logits / temperature)
        assert largest_error(found[0], stored[f"softmax_t{temperature}"]) < 1e-6
        assert largest_error(found[1], stored[f"softmax_two_zero_mel_rows_t{temperature}"]) < 1e-6
