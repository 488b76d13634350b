"""AST and SSAST through the conversion command: both kinds of names, any clip length and any classes."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from converters import conversion, presets, spectrogram
from converters.mapping import flatten
from dhauds_jax.nets import checkpoint, ssast_pretrain, zoo
from dhauds_jax.nets.spectrogram_transfer import for_clips
from dhauds_jax.nets.spectrogram_zoo import config_grid, head
from tests.goldens.golden_weights import golden_array

torch = pytest.importorskip("torch", reason="reads and writes PyTorch files")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="reads and writes safetensors files")

CLASSES = tuple("abc")
CONFIG = zoo.preset("ssast_test", CLASSES)
BEFORE = ssast_pretrain.pretraining_config(CONFIG)
FACE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "patch_size": 8,
    "num_attention_heads": 2,
    "layer_norm_eps": 1e-12,
    "frequency_stride": 6,
    "time_stride": 6,
    "max_length": 23,
    "num_mel_bins": 32,
    "id2label": {"1": "b", "0": "c", "2": "a"},
}


def state_of(config, leaves):
    """Golden arrays of the right shapes, keys without `encoder/`."""
    net = ssast_pretrain.build(config.replace(geometry={**config.geometry, "stride": config.geometry["patch"]}))
    drawn = jax.eval_shape(lambda: ssast_pretrain.init(net, BEFORE, jax.random.key(0)))["params"]
    shapes = flatten({**zoo.shapes(zoo.build(config)), "pretraining": drawn})
    state = {}
    for each in leaves:
        template = each.transform.back([np.zeros(shapes[path].shape, np.float32) for path in each.paths])
        keys = [key.removeprefix("encoder/") for key in each.keys]
        state.update({key: golden_array(key, array.shape) for key, array in zip(keys, template)})
    return state


def unread(pretraining):
    """What the authors' files hold beside what is used."""
    state = {f"v.{name}.weight": golden_array(name, (1000, 16)) for name in ("head", "head_dist")}
    state |= {f"v.{name}.bias": golden_array(name, (1000,)) for name in ("head", "head_dist")}
    sizes = {"p_input_fdim": 32, "p_input_tdim": BEFORE.front_end["frames"]}
    return {**state, **({key: np.asarray(n, np.int64) for key, n in sizes.items()} if pretraining else {})}


def self_supervised():
    return {**state_of(BEFORE, spectrogram.leaves(BEFORE, "original", True)), **unread(True)}


def fine_tuned(config=CONFIG):
    return {**state_of(config, spectrogram.leaves(config, "original", False)), **unread(False)}


def save(path, state, prefix="module."):
    torch.save({prefix + key: torch.from_numpy(np.array(array)) for key, array in state.items()}, path)
    return path


def config_file(tmp_path, **changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"preset": "ssast_test", "classes": list(CLASSES), **changes}))
    return path


def pretraining_file(tmp_path):
    geometry, front_end = {"stride": BEFORE.geometry["stride"]}, BEFORE.front_end
    return config_file(tmp_path, geometry=geometry, front_end=front_end)


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for key, array in first.items():
        assert array.dtype == second[key].dtype and array.shape == second[key].shape, key
        assert array.tobytes() == second[key].tobytes(), key


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_self_supervised_there_and_back_is_bit_exact(prefix, tmp_path):
    state = self_supervised()
    source = save(tmp_path / "SSAST-Test.pth", state, prefix)
    made = conversion.convert("ssast", [source], tmp_path / "out", config=pretraining_file(tmp_path))
    assert made.used == len(state) - 6 and len(made.ignored) == 6
    assert any("no classification head" in note for note in made.notes)
    (written,) = conversion.reverse("ssast", tmp_path / "out", tmp_path / "back")
    assert_same_bits({prefix + key: array for key, array in state.items()}, safetensors_numpy.load_file(written))
    variables, config, extra = checkpoint.load(tmp_path / "out")
    assert config_grid(config) == (4, 2) and config.source["files"][0]["prefix"] == prefix
    pretrained = ssast_pretrain.from_checkpoint(variables, extra)
    np.testing.assert_array_equal(pretrained["params"]["mask_embed"], state["mask_embed"][0, 0])


@pytest.mark.slow
def test_self_supervised_to_clips_is_the_route_of_own_pretraining(tmp_path):
    source = save(tmp_path / "SSAST-Test.pth", self_supervised())
    conversion.convert("ssast", [source], tmp_path / "grid", config=pretraining_file(tmp_path))
    variables, before, _ = checkpoint.load(tmp_path / "grid")
    made = conversion.convert("ssast", [source], tmp_path / "out", config=config_file(tmp_path), verify=True)
    assert "positions of 4 x 2 patches were cut or interpolated to 5 x 3" in made.notes
    assert len(made.verified) == 5 and max(made.verified.values()) < 1e-5
    converted, config, extra = checkpoint.load(tmp_path / "out")
    assert "pretraining" not in extra and config.replace(source={}) == CONFIG.replace(net="ssast_test")
    with pytest.raises(ValueError, match="has no mask embedding"):
        ssast_pretrain.from_checkpoint(converted, extra)
    own = for_clips(variables, before, config, jax.random.key(conversion.HEAD_SEED))
    jax.tree.map(np.testing.assert_array_equal, converted["params"], own["params"])


@pytest.mark.slow
def test_fine_tuned_there_and_back_and_on_to_other_clips_and_classes(tmp_path):
    state = fine_tuned()
    source = save(tmp_path / "best_audio_model.pth", state)
    conversion.convert("ssast", [source], tmp_path / "out", config=config_file(tmp_path))
    (written,) = conversion.reverse("ssast", tmp_path / "out", tmp_path / "back")
    assert_same_bits({f"module.{key}": array for key, array in state.items()}, safetensors_numpy.load_file(written))
    # What training saves has no set-aside tensors: the two unread heads come back as zeros.
    variables, config, _ = checkpoint.load(tmp_path / "out")
    checkpoint.save(tmp_path / "trained", variables, config)
    (written,) = conversion.reverse("ssast", tmp_path / "trained", tmp_path / "back")
    back = safetensors_numpy.load_file(written)
    assert back.keys() == {f"module.{key}" for key in state} and not back["module.v.head.weight"].any()
    longer = config_file(tmp_path, length=8000, classes=["x", "y"])
    made = conversion.convert("ssast", [source], tmp_path / "longer", config=longer)
    assert any("3 classes" in note and "2 classes wanted" in note for note in made.notes)
    variables, config, _ = checkpoint.load(tmp_path / "longer")
    assert config_grid(config) == (5, 7) and config.classes == ("x", "y")
    assert variables["params"]["encoder"]["positions"].shape == (37, 16)
    np.testing.assert_array_equal(variables["params"]["encoder"]["positions"][:2], state["v.pos_embed"][0, :2])
    assert variables["params"]["head"]["classifier"]["kernel"].shape == (16, 2)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["huggingface", "huggingface_4", "huggingface_bare"])
def test_hugging_face_folders(style, tmp_path):
    if style == "huggingface_4":
        pytest.importorskip("transformers", reason="runs its model")
    config = CONFIG.replace(head=head("cls", epsilon=1e-12), geometry={**CONFIG.geometry, "epsilon": 1e-12})
    state = state_of(config, spectrogram.leaves(config, style, False))
    folder = tmp_path / "ast"
    folder.mkdir()
    safetensors_numpy.save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(FACE))
    statistics = {"mean": -1.5, "std": 2.5, "max_length": 23, "num_mel_bins": 32, "sampling_rate": 16000}
    statistics["do_normalize"] = True
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    (tmp_path / "length.json").write_text(json.dumps({"length": 4000}))
    length = tmp_path / "length.json"
    made = conversion.convert("ast", [folder], tmp_path / "out", config=length, verify=style == "huggingface_4")
    assert made.used == len(state) and all(value < 1e-5 for value in made.verified.values())
    # It is what mean and std stand for, and was reported as if it had not been followed.
    assert not any("do_normalize" in note for note in made.notes)
    assert len(made.verified) == (6 if style == "huggingface_4" else 0)
    assert made.beside == ("transformers' ASTForAudioClassification" if style == "huggingface_4" else "")
    variables, config, _ = checkpoint.load(tmp_path / "out")
    assert config.classes == ("c", "b", "a") and config.geometry["epsilon"] == config.head["epsilon"] == 1e-12
    assert (config.front_end["mean"], config.front_end["std"], config.head["pool"]) == (-1.5, 2.5, "cls")
    q = state[next(key for key in state if "layer" in key and ("q_proj.weight" in key or "query.weight" in key))]
    np.testing.assert_array_equal(variables["params"]["encoder"]["blocks"]["qkv"]["kernel"][0, :, :16], q.T)
    (written,) = conversion.reverse("ast", tmp_path / "out", tmp_path / "back")
    assert_same_bits(state, safetensors_numpy.load_file(written))
    if style != "huggingface":
        return
    # A preset without classes of its own takes the folder's; one that pools otherwise starts a head afresh.
    made = conversion.convert("ast", [folder], tmp_path / "pooled", preset="ssast_test")
    assert any("head is another" in note for note in made.notes)
    _, config, _ = checkpoint.load(tmp_path / "pooled")
    assert config.classes == ("c", "b", "a") and config.head == {**CONFIG.head, "epsilon": 1e-12}
    assert config.geometry["epsilon"] == 1e-12


def test_the_files_own_mean_and_deviation_go_before_a_presets():
    """The preset's were taken without a word."""
    from converters.families import find
    from converters.read import Source
    from converters.spectrogram_plan import _with_statistics, stated

    def asked(given, preset="ast_sc2", **extra):
        own = {"mean": -1.5, "std": 2.5, "max_length": 128, "sampling_rate": 16000, **extra}
        file = Source(Path("ast"), {}, "", (), {"layer_norm_eps": 1e-12}, own)
        _, top = stated("ast", file, "huggingface")
        return _with_statistics(file, presets.preset_record(find("ast"), preset, given), given, top)

    said = "ast: preprocessor_config.json normalises with mean -1.5, std 2.5"
    given, notes = asked({})
    assert (given["front_end"]["mean"], given["front_end"]["std"], given["front_end"]["frames"]) == (-1.5, 2.5, 128)
    assert notes == [f"{said}, which was taken in place of the preset's mean -6.845978, std 5.5654526"]
    front_end = zoo.preset("ast_sc2").front_end
    given, notes = asked({"front_end": front_end})
    assert given["front_end"] == front_end
    assert notes == [f"{said}, but --config's mean -6.845978, std 5.5654526 was kept"]
    assert asked({}, mean=-6.845978, std=5.5654526) == ({}, [])
    with pytest.raises(ValueError, match=r"^ast: preprocessor_config.json has sampling_rate 8000, the preset or --con"):
        asked({}, sampling_rate=8000)


def test_names_that_only_count_take_the_wanted_ones():
    """`LABEL_0`, ... are no names: a head of as many outputs as classes are wanted was drawn anew."""
    from converters.spectrogram_plan import _class_names

    numbered = ["LABEL_0", "LABEL_1"]
    assert _class_names(2, numbered, ("a", "b"), True) == ("a", "b")
    assert _class_names(2, numbered, ("a", "b", "c"), True) == ("LABEL_0", "LABEL_1")
    assert _class_names(2, ["x", "y"], ("a", "b"), False) == ("x", "y")
    assert _class_names(2, None, ("a",), True) == ("output 0", "output 1")


def test_the_files_order_of_classes_wins_over_a_presets(tmp_path):
    """The published Speech Commands model and its preset name the same 35 words; labels follow the file."""
    from converters.spectrogram_plan import _with_the_files_order

    config = zoo.preset("ast_sc2")
    turned = tuple(reversed(config.classes))
    assert _with_the_files_order(config, turned, explicit=False).classes == turned
    with pytest.raises(ValueError, match="are the file's in another order"):
        _with_the_files_order(config, turned, explicit=True)
    others = ("x", "y")
    assert _with_the_files_order(config, others, explicit=True).classes == config.classes


def test_original_ast_needs_only_classes_and_length(tmp_path):
    """12 x 3 patches of a small original file; AudioSet's statistics and epsilon 1e-6 follow from the names."""
    geometry = {"width": 64, "depth": 1, "heads": 1, "mlp": 64, "patch": [16, 16], "stride": [10, 10], "prefix": 2}
    config = zoo.preset("ast_audioset", CLASSES).replace(geometry={**geometry, "epsilon": 1e-6}, head=head("cls"))
    config = config.replace(front_end={**config.front_end, "frames": 36}, length=5840)
    shapes = flatten(zoo.shapes(zoo.build(config)))
    state = {}
    for each in spectrogram.leaves(config, "original", False):
        template = each.transform.back([np.zeros(shapes[path].shape, np.float32) for path in each.paths])
        state.update({key.removeprefix("encoder/"): a for key, a in zip(each.keys, template)})
    source = save(tmp_path / "audioset_10_10_0.4593.pth", state)
    (tmp_path / "c.json").write_text(json.dumps({"length": 160000, "classes": list(CLASSES)}))
    conversion.convert("ast", [source], tmp_path / "out", config=tmp_path / "c.json")
    _, found, _ = checkpoint.load(tmp_path / "out")
    assert config_grid(found) == (12, 101) and found.head == head("cls") and found.geometry["epsilon"] == 1e-6
    assert found.front_end["mean"] == -4.2677393


@pytest.mark.slow
def test_bad_input_is_one_sentence(tmp_path):
    good = save(tmp_path / "good.pth", fine_tuned())
    pretrained = save(tmp_path / "pretrained.pth", self_supervised())
    extra = save(tmp_path / "extra.pth", {**fine_tuned(), "v.strange": np.zeros(3, np.float32)})
    lacking = {key: array for key, array in fine_tuned().items() if key != "v.norm.bias"}
    cases = {
        "ast": (pretrained, "ast", {}, "self-supervised checkpoint, expected a classifier; use --family=ssast"),
        "extra": (extra, "ssast", {}, r"1 key left over \['v.strange'\]"),
        "lacking": (save(tmp_path / "l.pth", lacking), "ssast", {}, r"1 missing \['v.norm.bias'\]"),
        "hubert": (good, "hubert", {}, "holds spectrogram transformer .*expected HuBERT encoder"),
        "width": (good, "ssast", {"geometry": {"width": 32}}, "geometry.width is 16 by the file's shapes, 32 by"),
        "stride": (good, "ssast", {"geometry": {"stride": [4, 4]}}, "has 15 patches, but 32 mels and .*own stride"),
        "preset": (good, "ssast", {"preset": "amaut_tiny"}, "'amaut_tiny' is no spectrogram_transformer network"),
    }
    for family_of, (source, family, changes, words) in cases.items():
        with pytest.raises(ValueError, match=words) as error:
            conversion.convert(family, [source], tmp_path / "out", config=config_file(tmp_path, **changes))
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists(), family_of
