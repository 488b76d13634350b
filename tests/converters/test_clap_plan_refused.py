"""What `--family=clap` refuses, each in one sentence, and nothing is written."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from converters import conversion
from tests.converters.clap_files import config_json, hf_folder, laion_state, save_laion
from tests.nets.clap import write_vocabulary
from tests.runs import tiny

pytest.importorskip("torch", reason="writes the PyTorch files")


def refused(tmp_path, sources, words, **settings):
    with pytest.raises(ValueError, match=words) as error:
        conversion.convert(settings.pop("family", "clap"), sources, tmp_path / "out", **settings)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


TEXT = [key.removeprefix("module.") for key in laion_state() if ".text_" in key]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            dict.fromkeys(TEXT),
            r"a.pt: has no text tower \(text_branch.*word_embeddings.weight is missing\), expected a ",
        ),
        (
            {"audio_projection.0.weight": None},
            r"has no projection of sounds \(audio_projection.0.weight is missing\), expected a file that holds both",
        ),
        ({"audio_branch.norm.bias": None}, r"0 keys left over \[\], 1 missing \['towers/audio_branch.norm.bias'\]"),
        ({"extra.weight": np.ones(2)}, r"1 key left over \['towers/extra.weight'\]"),
        (
            {"audio_branch.logmel_extractor.melW": np.ones((513, 16), np.float32)},
            r"its table of mel filters .* is up to 1 from the front end's \(slaney bands, 50-14000 Hz\), expected",
        ),
        (
            {"audio_branch.logmel_extractor.melW": np.ones((257, 16), np.float32)},
            r"table of mel filters .* has the shape \(257, 16\), unlike the front end's",
        ),
    ],
)
def test_a_file_that_is_not_whole(changes, words, tmp_path):
    refused(tmp_path, [save_laion(tmp_path / "a.pt", laion_state(changes=changes))], words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"preset": "clap_htsat_base"},
            r"audio.width is 16 by the file, 128 by preset clap_htsat_base; .*; 8 more; the sizes are those of clap_t",
        ),
        (
            {"preset": "clap_test_fused"},
            r"audio.fusion is None by the file, 4 by preset clap_test_fused; the sizes are th",
        ),
        ({"preset": "clap_tset"}, r"--preset 'clap_tset' is no clap network, expected .*clap_test"),
        ({"preset": "amaut_sc2"}, r"--preset 'amaut_sc2' is no clap network"),
        (
            {"config": {"text": {"vocabulary": 9}}},
            r"text.vocabulary is 512 by the file, 9 by --config; the sizes are tho",
        ),
        ({"config": {"text": {"hats": 9}}}, r"text.hats in --config is none of width, depth, heads"),
        ({"config": {"text": {"heads": 3}}}, r"config text: width 16 is no multiple of 3 heads"),
        ({"config": {"text": 3}}, r"--config: .*c\.json: text is 3, expected an object"),
        ({"config": {"classes": ["a"]}}, r"has foreign keys \['classes'\], expected some of .*'audio', 'text', 'proj"),
        (
            {"tokenizer": "nowhere"},
            r"tokenizer nowhere: no such files, expected a folder with tokenizer.json, or vocab",
        ),
    ],
)
def test_settings_that_do_not_fit(settings, words, tmp_path):
    if "config" in settings:
        (tmp_path / "c.json").write_text(json.dumps(settings["config"]))
        settings = {"config": tmp_path / "c.json"}
    refused(tmp_path, [save_laion(tmp_path / "a.pt", laion_state())], words, **settings)


def test_a_tokenizer_of_a_larger_vocabulary_or_without_its_package(tmp_path, monkeypatch):
    key = "text_branch.embeddings.word_embeddings.weight"
    small = laion_state(changes={key: laion_state()[f"module.{key}"][:300]})
    vocabulary = write_vocabulary(tmp_path / "roberta")
    words = (
        r"--tokenizer: .*roberta numbers 338 tokens, but the text tower has 300; expected the one that the model was"
    )
    refused(tmp_path, [save_laion(tmp_path / "a.pt", small)], words, tokenizer=vocabulary)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    words = r"needs tokenizers, which is not installed: pip install 'dhauds_jax\[text\]'"
    refused(tmp_path, [save_laion(tmp_path / "a.pt", laion_state())], words, tokenizer=vocabulary)


def test_html_and_hostile_files(tmp_path):
    (tmp_path / "a.pt").write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    refused(tmp_path, [tmp_path / "a.pt"], "a.pt: is an HTML page, expected a PyTorch file; the download failed")

    class Command:
        def __reduce__(self):
            return print, ("ran",)

    path = save_laion(tmp_path / "b.pt", laion_state(), hook=[Command()])
    refused(tmp_path, [path], r"b.pt: holds an object of class builtins.print, which is refused")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": {"mystery": 1}}, r"hf/config.json: mystery is 1, and what it does is not known here; take the key"),
        ({"text": {"pad_token_id": 0}}, r"pad_token_id is 0, supported is 1"),
        ({"text": {"hidden_act": "relu"}}, r"hidden_act is 'relu', supported is 'gelu'"),
        (
            {"text": {"hidden_size": 32}},
            r"text.width is 16 by the file, 32 by the source's config.json; the sizes are tho",
        ),
        ({"audio": {"fusion_type": "channel_map"}}, r"fusion_type is 'channel_map', supported is 'aff_2d'"),
        ({"audio": {"enable_fusion": True}}, r"audio.fusion is None by the file, 16 by the source's config.json"),
        (
            {"audio": {"patch_stride": [4, 2]}},
            r"patch_size is \[4, 4\] and patch_stride \[4, 2\], supported is one num",
        ),
        ({"audio": {"model_type": "clip"}}, r"model_type is 'clip', supported is 'clap_audio_model'"),
        ({"model_type": "clip"}, r"model_type is 'clip', supported is 'clap'"),
        ({"text_config": [1]}, r"text_config is \[1\], expected an object"),
    ],
)
def test_a_folder_s_config_of_another_network(changes, words, tmp_path):
    refused(tmp_path, [hf_folder(tmp_path / "hf", **changes)], words)


def test_a_folder_s_config_and_a_preset_that_disagree(tmp_path):
    folder = hf_folder(tmp_path / "hf", text={"num_attention_heads": 4})
    words = r"conversion: text.heads is 4 by the file, 2 by preset clap_test; the sizes are those of clap_test"
    refused(tmp_path, [folder], words, preset="clap_test")


def test_another_way_of_padding_is_refused(tmp_path):
    path = hf_folder(tmp_path / "hf") / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "padding": "repeat"}))
    refused(tmp_path, [path.parent], r"preprocessor_config.json: padding is 'repeat', supported is 'repeatpad'")


def test_a_published_folder_s_keys_are_known():
    """Of laion/clap-htsat-fused's config.json, as older versions of the library wrote it."""
    from converters import huggingface_clap
    from converters.read import Source

    older = {"projection_hidden_size": 16, "fusion_num_hidden_layers": 2, "enable_patch_fusion": False, "top_k": 50}
    text = {"position_embedding_type": "absolute", "use_cache": True, "classifier_dropout": None, "max_length": 20}
    record = config_json(audio=older, text={**text, "projection_hidden_size": 16}, logit_scale_init_value=14.2)
    found = huggingface_clap.towers_of(Source(Path("hf"), {}, "", (), record))
    assert found["audio"]["width"] == 16 and found["text"]["positions"] == 80


def test_other_families_and_checkpoints(tmp_path):
    path = save_laion(tmp_path / "a.pt", laion_state())
    refused(
        tmp_path,
        [path],
        r"a.pt: holds CLAP's towers \(.*\), expected HuBERT encoder for family hubert",
        family="hubert",
    )
    words = "--tokenizer: family hubert has no text tower, expected --family=clap"
    refused(tmp_path, [path], words, family="hubert", tokenizer=tmp_path)
    conversion.convert("clap", [path], tmp_path / "clap")
    with pytest.raises(
        ValueError, match=r"--family: hubert, but the checkpoint .*clap is an audio-text model's, expect"
    ):
        conversion.reverse("hubert", tmp_path / "clap", tmp_path / "back")
    tiny.make_checkpoint(tmp_path / "net")
    with pytest.raises(
        ValueError, match=r"--family: clap, but the checkpoint .*net is a classifier's, expected the fam"
    ):
        conversion.reverse("clap", tmp_path / "net", tmp_path / "back")
