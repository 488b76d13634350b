"""Every key of a Hugging Face `config.json`, the head in an encoder's file, and what a folder says of normalisation."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from converters import conversion, families, hubert, hubert_plan, huggingface, presets
from converters.mapping import flatten
from dhauds_jax.errors import BadInput
from dhauds_jax.nets import checkpoint, zoo
from tests.goldens.golden_weights import golden_array

safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="reads and writes safetensors files")

TINY = zoo.preset("hubert_tiny", tuple("abc"))
SIZES = TINY.geometry
HEAD = {"kind": "projected_mean", "features": 12}
PUBLISHED = {
    "_name_or_path": "./hubert-base",
    "activation_dropout": 0.1,
    "apply_spec_augment": True,
    "architectures": ["HubertModel"],
    "attention_dropout": 0.1,
    "bos_token_id": 1,
    "conv_bias": False,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "ctc_loss_reduction": "sum",
    "ctc_zero_infinity": False,
    "do_stable_layer_norm": False,
    "eos_token_id": 2,
    "feat_extract_activation": "gelu",
    "feat_extract_dropout": 0.0,
    "feat_extract_norm": "group",
    "feat_proj_dropout": 0.1,
    "feat_proj_layer_norm": True,
    "final_dropout": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "layerdrop": 0.1,
    "mask_feature_length": 10,
    "mask_feature_prob": 0.0,
    "mask_time_length": 10,
    "mask_time_prob": 0.05,
    "model_type": "hubert",
    "num_attention_heads": 12,
    "num_conv_pos_embedding_groups": 16,
    "num_conv_pos_embeddings": 128,
    "num_feat_extract_layers": 7,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "torch_dtype": "float32",
    "transformers_version": "4.10.0.dev0",
    "vocab_size": 32,
}
"""The keys of a published base model's file."""


def record_of(**changes):
    """A `config.json` of the tiny HuBERT."""
    channels, taps, strides = ([conv[i] for conv in SIZES["convs"]] for i in range(3))
    own = {
        "hidden_size": SIZES["width"],
        "num_hidden_layers": SIZES["depth"],
        "num_attention_heads": SIZES["heads"],
        "intermediate_size": SIZES["feed_forward"],
        "conv_dim": channels,
        "conv_kernel": taps,
        "conv_stride": strides,
        "num_conv_pos_embeddings": SIZES["positional_taps"],
        "num_conv_pos_embedding_groups": SIZES["positional_groups"],
        "id2label": {"0": "x", "1": "y", "2": "z"},
        "architectures": ["HubertForSequenceClassification"],
    }
    return {**PUBLISHED, **own, **changes}


def state_of(head=True, summed=False):
    """The tensors of the tiny HuBERT's `HubertForSequenceClassification`."""
    geometry = {**SIZES, **({"layer_sum": "blocks"} if summed else {})}
    config = TINY.replace(head=HEAD, geometry=geometry)
    shapes = {path: leaf.shape for path, leaf in flatten(zoo.shapes(zoo.build(config))).items()}
    leaves = hubert.leaves(config, "huggingface", False) + (hubert.own_head_leaves(config) if head else [])
    state = {}
    for each in leaves:
        template = each.transform.back([np.zeros(shapes[path], np.float32) for path in each.paths])
        for key, array in zip(each.keys, template):
            key = key.removeprefix("encoder/")
            beside = key.startswith(("projector.", "classifier.", "layer_weights"))
            state[key if beside else f"hubert.{key}"] = golden_array(key, array.shape)
    return state


def folder_of(place, state, record, preprocessor=None):
    place.mkdir()
    safetensors_numpy.save_file(state, place / "model.safetensors")
    (place / "config.json").write_text(json.dumps(record))
    if preprocessor is not None:
        (place / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return place


def given(tmp_path, **values):
    (tmp_path / "given.json").write_text(json.dumps({"length": 4000, **values}))
    return tmp_path / "given.json"


def test_a_published_file_is_read_without_a_word():
    geometry = huggingface.geometry_of(huggingface.HUBERT, PUBLISHED, Path("hf"))
    base = {**zoo.preset("hubert_base").geometry, "layer_drop": 0.1, "inner_dropout": 0.1}
    assert {**base, "epsilon": 1e-5, "activation": "gelu", "conv_activation": "gelu"} == geometry


@pytest.mark.parametrize(
    ("face", "changes", "words"),
    [
        ("HUBERT", {"hidden_act": "mish"}, "hidden_act is 'mish' (geometry.activation), supported is one of gelu, "),
        (
            "HUBERT",
            {"feat_extract_activation": "selu"},
            "feat_extract_activation is 'selu' (geometry.conv_activation), ",
        ),
        ("HUBERT", {"conv_pos_batch_norm": True}, "conv_pos_batch_norm is True, supported is False"),
        ("HUBERT", {"feat_proj_layer_norm": False}, "feat_proj_layer_norm is False, supported is True"),
        ("HUBERT", {"add_adapter": True}, "add_adapter is True, supported is False"),
        (
            "HUBERT",
            {"adapter_attn_dim": 16},
            "adapter_attn_dim is 16, and what it does is not known here; take the key",
        ),
        ("HUBERT", {"pooling_mode": "max"}, "pooling_mode is 'max', and what it does is not known here; take the key"),
        ("HUBERT", {"quantization_config": {"bits": 4}}, "quantization_config is {'bits': 4}, and what it does is not"),
        ("HUBERT", {"model_type": "wavlm"}, "model_type is 'wavlm', supported is 'hubert' or 'wav2vec2'"),
        ("HUBERT", {"problem_type": "regression"}, "problem_type is 'regression', supported is None or 'single_label"),
        (
            "HUBERT",
            {"num_feat_extract_layers": 6},
            "the convolutions differ in number (conv_dim 7, conv_kernel 7, conv_",
        ),
        ("AST", {"model_type": "vit"}, "model_type is 'vit', supported is 'audio-spectrogram-transformer'"),
        ("AST", {"qkv_bias": False}, "qkv_bias is False, supported is True"),
        ("AST", {"head_dim": 7, "hidden_size": 16, "num_attention_heads": 2}, "head_dim is 7, supported is 8 (hidden_"),
        ("AST", {"hidden_act": "tanh"}, "hidden_act is 'tanh' (geometry.activation), supported is one of gelu, "),
    ],
)
def test_what_the_network_cannot_have_is_named(face, changes, words):
    record = {**PUBLISHED, **changes} if face == "HUBERT" else changes
    with pytest.raises(BadInput) as error:
        huggingface.geometry_of(getattr(huggingface, face), record, Path("hf"))
    assert str(error.value).startswith(f"hf/config.json: {words}") and "\n" not in str(error.value)


def test_all_that_stops_is_in_one_sentence_and_null_says_nothing():
    record = {**PUBLISHED, "hidden_act": "mish", "add_adapter": True, "pooling_mode": None}
    with pytest.raises(
        BadInput, match=r"^hf/config.json: hidden_act is 'mish' .*; add_adapter is True, supported is F"
    ):
        huggingface.geometry_of(huggingface.HUBERT, record, Path("hf"))
    assert huggingface.geometry_of(huggingface.HUBERT, {"pooling_mode": None, "hidden_act": None}, Path("hf")) == {}


@pytest.mark.slow
def test_every_key_of_the_library_s_own_configs_is_known():
    transformers = pytest.importorskip("transformers", reason="has the keys")
    for face, name in (("HUBERT", "HubertConfig"), ("HUBERT", "Wav2Vec2Config"), ("AST", "ASTConfig")):
        record = json.loads(getattr(transformers, name)(num_labels=3).to_json_string(use_diff=False))
        assert huggingface.geometry_of(getattr(huggingface, face), record, Path("hf"))["heads"] == 12


def test_what_a_file_carries_out_is_held_against_config(tmp_path):
    """A file's relu goes into the config; --config cannot say otherwise, and an unknown key of it is refused."""
    stated = {"activation": "relu", "conv_activation": "gelu", "epsilon": 1e-2}
    found = presets.resolve(families.find("hubert"), SIZES, None, "hubert_tiny", {"classes": ["a"]}, stated)
    assert found.geometry == {**SIZES, "activation": "relu", "epsilon": 1e-2}
    for geometry, words in (
        ({"activation": "gelu"}, "activation is 'relu' in the source's config.json, 'gelu' by preset or --config"),
        ({"epsilon": 1e-5}, "epsilon is 0.01 in the source's config.json, 1e-05 by preset or --config"),
        ({"headz": 2}, "headz in --config is none of convs, conv_bias"),
    ):
        config = {"preset": "hubert_tiny", "classes": ["a"], "geometry": geometry}
        with pytest.raises(BadInput, match=words):
            presets.resolve(families.find("hubert"), SIZES, None, None, config, stated)


def test_a_refusal_lists_the_presets_that_fit():
    family = families.find("hubert")
    large = zoo.preset("hubert_large").geometry
    with pytest.raises(BadInput) as error:
        presets.resolve(family, {"width": 1024, "depth": 24}, None, "hubert_base", {}, {})
    fit = (
        "hubert_large, hubert_large_rs, hubert_large_sc1, hubert_large_sc2, hubert_large_us8, hubert_large_vs, hubert_"
    )
    assert "geometry.width is 1024 by the file's shapes, 768 by preset hubert_base" in str(error.value)
    assert str(error.value).endswith(f"by the file's shapes these presets fit: {fit}large_vs_fce")
    assert presets.fitting(family, large, {"pre_norm": False}) == "no preset has these shapes"
    ssast = presets.fitting(families.find("ssast"), {"width": 768, "patch": [16, 16]}, {})
    assert ssast.startswith(
        "by the file's shapes these presets fit: ast_audioset, ast_base_fsc89, ast_base_fsc89_patches, "
    ) and (ssast.endswith(" more (--list has all)"))


def test_the_head_in_the_encoder_s_file_is_used(tmp_path):
    """It was left out, with "the source has no classification head"."""
    state = state_of()
    source = folder_of(tmp_path / "hf", state, record_of(), {"do_normalize": False, "sampling_rate": 16000})
    made = conversion.convert("hubert", [source], tmp_path / "out", config=given(tmp_path))
    variables, config, _ = checkpoint.load(tmp_path / "out")
    assert made.notes == ["the source's own head was kept: a projector of 12, the mean, 3 classes"]
    assert (
        config.head == HEAD
        and config.classes == ("x", "y", "z")
        and config.geometry == {**SIZES, "inner_dropout": 0.1, "layer_drop": 0.1}
    )
    assert config.front_end == {"kind": "wave", "normalise": False} and made.ignored == []
    np.testing.assert_array_equal(variables["params"]["head"]["classifier"]["kernel"], state["classifier.weight"].T)
    (written,) = conversion.reverse("hubert", tmp_path / "out", tmp_path / "back")
    back = safetensors_numpy.load_file(written)
    assert back.keys() == state.keys() and all(np.array_equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("values", "labels", "reason"),
    [
        ({"classes": list("pqrs")}, "xyz", "4 classes are wanted; leave out --preset and classes to keep it"),
        pytest.param(
            {"classes": list("abc")},
            "xyz",
            "its classes are others (x, y, z, ...); leave out --preset and classes to keep",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"classes": list("xyz"), "head": TINY.head},
            "xyz",
            "--config asks for head audio_classifier",
            marks=pytest.mark.slow,
        ),
        ({"classes": list("zyx")}, "xyz", None),
        ({"classes": list("abc")}, "", "kept"),
        ({"preset": "hubert_tiny"}, "xyz", "kept"),
    ],
)
def test_a_head_that_does_not_fit_is_set_aside_and_it_is_said_why(tmp_path, values, labels, reason, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", lambda folder, *_: (folder.mkdir(), folder)[1])
    names = {str(i): labels[i] if labels else f"LABEL_{i}" for i in range(3)}
    source = folder_of(tmp_path / "hf", state_of(), record_of(id2label=names), {"do_normalize": False})
    if reason is None:
        with pytest.raises(
            BadInput, match=r"^--config: classes are the file's in another order \(z, y, x, ...\), expec"
        ):
            conversion.convert("hubert", [source], tmp_path / "out", config=given(tmp_path, **values))
        return
    made = conversion.convert("hubert", [source], tmp_path / "out", config=given(tmp_path, **values))
    if reason == "kept":
        assert made.notes == ["the source's own head was kept: a projector of 12, the mean, 3 classes"]
    else:
        assert made.notes[0].startswith(
            f"the source's own head (3 classes, projector of 12) was set aside: {reason}"
        ) and made.notes[1:] == ["the new head: random weights, seed 0; train before use"]
        assert "encoder/projector.weight" in made.ignored


@pytest.mark.parametrize(
    ("changes", "layer_sum"),
    [
        ({"transformers_version": "4.30.0"}, "states"),
        ({"transformers_version": "5.24.0"}, "blocks"),
        ({"transformers_version": "5.24.0", "tie_last_hidden_states": True}, "states"),
        ({"use_weighted_layer_sum": False}, "none"),
    ],
)
def test_the_learned_sum_of_layers_is_the_one_of_the_file_s_version(tmp_path, changes, layer_sum, monkeypatch):
    saved = []
    monkeypatch.setattr(checkpoint, "save", lambda folder, *made: (folder.mkdir(), saved.append(made), folder)[2])
    record = record_of(use_weighted_layer_sum=True, **changes) if layer_sum != "none" else record_of(**changes)
    source = folder_of(tmp_path / "hf", state_of(summed=True), record, {"do_normalize": False})
    made = conversion.convert("hubert", [source], tmp_path / "out", config=given(tmp_path))
    ((variables, config, *_),) = saved
    assert config.geometry.get("layer_sum", "none") == layer_sum
    assert ("layer_weights" in variables["params"]["encoder"]) is (layer_sum != "none")
    assert made.ignored == (["encoder/layer_weights"] if layer_sum == "none" else [])


def test_a_file_without_its_config_says_what_was_taken_for_granted(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "save", lambda folder, *_: (folder.mkdir(), folder)[1])
    safetensors_numpy.save_file(state_of(head=False), tmp_path / "model.safetensors")
    config = given(tmp_path, preset="hubert_tiny", classes=["a", "b"])
    (tmp_path / "config.json").write_text("{}")
    made = conversion.convert("hubert", [tmp_path / "model.safetensors"], tmp_path / "out", config=config)
    assert made.notes[0] == (
        "config.json beside model.safetensors was not read: gelu and epsilon 1e-5 are taken for granted; give the "
        "folder in place of the file"
    )


def test_labels_and_kinds_of_problem():
    assert huggingface.labels_of({}) == (None, True)
    assert huggingface.labels_of({"id2label": {"1": "LABEL_1", "0": "LABEL_0"}}) == (["LABEL_0", "LABEL_1"], True)
    assert huggingface.labels_of({"id2label": {"10": "k", "9": "j"}}) == (["j", "k"], False)
    (note,) = huggingface.notes_of({"problem_type": "multi_label_classification"})
    assert note.endswith("classes are read by the largest logit here")


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (["x", "y"], "is ['x', 'y']"),
        ({"a": "x"}, "has 'a': 'x'"),
        ({"0": "x", "-1": "y"}, "has '-1': 'y'"),
        ({"0": "x", "1": None}, "has '1': None"),
        ({"1": "x", "01": "y"}, "has '1': 'x'"),
    ],
)
def test_a_table_of_names_that_is_none_is_told_in_a_sentence(table, found):
    """It was a traceback."""
    with pytest.raises(BadInput) as caught:
        huggingface.labels_of({"id2label": table})
    assert str(caught.value) == (
        f"config.json: id2label {found}, expected an object of the number of each output, once, and its name, such as "
        '{"0": "dog", "1": "cat"}'
    )


def test_a_folder_s_epsilon_goes_before_a_preset_s():
    """The preset's 1e-5 was taken in silence."""
    file = SimpleNamespace(path=Path("hf"), preprocessor={"do_normalize": True}, record=None)
    parts = {"encoder": SimpleNamespace(state={})}
    kind, given = families.find("hubert"), {"classes": ["a", "b"]}
    request = families.Request("hubert", kind, [file], parts, "hubert_large", given, "corrected", 0)
    found = hubert_plan._with_normalisation(hubert_plan._Stated(request, {}, {}, []))
    assert found.request.given["front_end"] == {"kind": "wave", "normalise": True, "epsilon": 1e-7}
    assert found.notes == [
        "hf: preprocessor_config.json has do_normalize=True (epsilon 1e-07), which was taken in place of the preset's "
        "normalise=True (epsilon 1e-05)"
    ]
