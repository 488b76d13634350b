"""Folders that transformers writes, converted: logits from the same waveforms beside its own models.

Needs the extra `test-parity`. Each of the settings below was converted without a word into another network.
"""

import json

import jax
import numpy as np
import pytest

from converters import conversion
from dhauds_jax.nets import checkpoint, zoo
from dhauds_jax.nets.normalisers import EVAL
from tests.converters import faces

torch = pytest.importorskip("torch", reason="the PyTorch side")
transformers = pytest.importorskip("transformers", reason="the PyTorch side", exc_type=(ImportError, OSError))

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:At least one mel filter:UserWarning")]


def converted(tmp_path, family, verify=False):
    """The report, the config, and ours: waveforms -> (features, logits)."""
    (tmp_path / "length.json").write_text(json.dumps({"length": faces.WAVE.shape[1]}))
    made = conversion.convert(
        family, [tmp_path / "hf"], tmp_path / "out", config=tmp_path / "length.json", verify=verify
    )
    variables, config, _ = checkpoint.load(tmp_path / "out")
    net = zoo.build(config)
    run = jax.jit(lambda v, w: (net.features(w), net.apply(v, w, mode=EVAL)[0].logits))
    return made, config, [np.asarray(each) for each in run(variables, faces.WAVE)]


def theirs(model, extractor):
    """The library's features and logits of the same waveforms."""
    inputs = extractor(list(faces.WAVE), sampling_rate=16000, return_tensors="pt")["input_values"]
    with torch.no_grad():
        return inputs.numpy(), model(inputs).logits.numpy()


PRE_NORM = {"do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True}
SETTINGS = {
    "as published": {},
    "hidden_act": {"hidden_act": "relu"},
    "feat_extract_activation": {"feat_extract_activation": "relu"},
    "layer_norm_eps": {"layer_norm_eps": 1e-2},
    "all, pre-norm": {**PRE_NORM, "hidden_act": "silu", "feat_extract_activation": "gelu_new", "layer_norm_eps": 1e-3},
    "strides": {"conv_stride": (5, 4, 3)},
    "layer sum": {"use_weighted_layer_sum": True},
    "layer sum, pre-norm": {**PRE_NORM, "use_weighted_layer_sum": True},
    "layer sum, pre-norm, version 4": {**PRE_NORM, "use_weighted_layer_sum": True, "tie_last_hidden_states": True},
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_hubert_for_sequence_classification(name, tmp_path):
    model = faces.hubert(tmp_path / "hf", shards="20KB" if name == "as published" else None, **SETTINGS[name])
    made, config, (features, logits) = converted(tmp_path, "hubert", verify=name.startswith(("as", "all", "layer sum")))
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "hf")
    inputs, expected = theirs(model, extractor)
    assert np.abs(features - inputs).max() < 1e-5 and np.abs(logits - expected).max() < 2e-5
    assert np.abs(expected).max() > 0.3 and config.classes == ("a", "b", "c")
    assert made.used == len(model.state_dict()) - 1 and made.ignored == ["encoder/hubert.masked_spec_embed"]
    if made.verified:
        assert made.beside == "transformers' HubertForSequenceClassification"
        assert list(made.verified) == ["features", "conv features", "block 1", "block 2", "last hidden", "logits"]
        assert max(made.verified.values()) < 2e-5


def test_wav2vec2_is_the_same_network(tmp_path):
    model = faces.hubert(tmp_path / "hf", cls="Wav2Vec2ForSequenceClassification")
    made, _, (_, logits) = converted(tmp_path, "hubert", verify=True)
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(tmp_path / "hf")
    assert np.abs(logits - theirs(model, extractor)[1]).max() < 2e-5
    assert made.beside == "transformers' Wav2Vec2ForSequenceClassification" and max(made.verified.values()) < 2e-5


@pytest.mark.parametrize("changes", [{"hidden_act": "relu"}, {"layer_norm_eps": 1e-2, "hidden_act": "gelu_new"}])
def test_ast(changes, tmp_path):
    model = faces.ast(tmp_path / "hf", **changes)
    made, _, (features, logits) = converted(tmp_path, "ast", verify=True)
    inputs, expected = theirs(model, transformers.ASTFeatureExtractor.from_pretrained(tmp_path / "hf"))
    assert np.abs(features - inputs).max() < 1e-3 and np.abs(logits - expected).max() < 1e-4
    assert made.beside == "transformers' ASTForAudioClassification" and max(made.verified.values()) < 1e-3
    assert made.verified["logits"] < 1e-5


def test_verify_runs_the_folder_s_own_module(tmp_path):
    """It ran ours, with the same mistake: a network that is not the folder's was verified to 7e-7."""
    faces.ast(tmp_path / "hf", hidden_act="relu")
    record = json.loads((tmp_path / "hf/config.json").read_text())
    from converters import huggingface

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(huggingface.ACTIVATIONS, "relu", "gelu")
        made, _, _ = converted(tmp_path, "ast", verify=True)
    assert record["hidden_act"] == "relu" and made.verified["features"] < 1e-3 and made.verified["patches"] < 1e-5
    assert made.verified["block 1"] > 0.01 and made.verified["logits"] > 0.01
    assert made.notes[-1].endswith("this network does not compute what transformers' ASTForAudioClassification does")


def test_verify_says_what_transformers_does_not_load(tmp_path):
    faces.ast(tmp_path / "hf")
    path = tmp_path / "hf/config.json"
    record = json.loads(path.read_text())
    del record["num_hidden_layers"]
    for more, words in (
        ({}, r"finds \['.*, expected the sizes of the weights in config.json$"),
        ({"num_hidden_layers": None}, r"does not load .*hf \(.*num_hidden_layers.*\), expected a whole folder$"),
    ):
        path.write_text(json.dumps({**record, **more}))
        with pytest.raises(ValueError, match=rf"^--verify: transformers {words}"):
            converted(tmp_path, "ast", verify=True)
