"""`--family=clap`: LAION's files and Hugging Face's folders, there and back, and what is said of them."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from converters import clap_text, conversion, huggingface_clap
from converters.read import Source
from dhauds_jax.nets import checkpoint, clap_prompts, clap_zoo
from tests.converters.clap_files import hf_folder, laion_state, save_laion
from tests.nets.clap import variables_of, write_vocabulary

pytest.importorskip("torch", reason="writes the PyTorch files")
safetensors_numpy = pytest.importorskip("safetensors.numpy", reason="reads and writes safetensors files")


def equal(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize("name", ["clap_test", pytest.param("clap_test_fused", marks=pytest.mark.slow)])
def test_laion_s_file_there_and_back(name, tmp_path):
    state = laion_state(name)
    made = conversion.convert("clap", [save_laion(tmp_path / "630k.pt", state)], tmp_path / "out")
    variables, config, extra = checkpoint.load_audio_text(tmp_path / "out")
    equal(variables, variables_of(name))
    assert config.replace(source={}) == clap_zoo.PRESETS[name]
    bands = "long clips are fused, htk" if name.endswith("fused") else "no fusion of long clips, slaney"
    assert made.notes[0] == f"sizes of {name}, {bands} mel bands, an int16 step"
    tables = [note for note in made.notes if note.startswith("its table of mel filters is ours to ")]
    assert len(tables) == (name == "clap_test") and all(float(note.split()[-1]) < 2e-8 for note in tables)
    assert made.notes[-1].startswith("no tokenizer: sentences cannot be embedded before tokenizer.json, or vocab.json")
    assert len(made.ignored) == 6 and made.used == len(state) - 6 and len(extra["conversion"]["ignored"]) == 6
    (file,) = config.source["files"]
    assert (file["part"], file["name"], file["style"], file["prefix"]) == ("towers", "630k.pt", "laion", "module.")
    (path,) = conversion.reverse("clap", tmp_path / "out", tmp_path / "back")
    back = safetensors_numpy.load_file(path)
    assert path.name == "630k.safetensors" and set(back) == set(state)
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array)
        assert back[key].dtype == array.dtype


@pytest.mark.parametrize("name", ["clap_test", pytest.param("clap_test_fused", marks=pytest.mark.slow)])
def test_a_hugging_face_folder_there_and_back(name, tmp_path):
    folder = hf_folder(tmp_path / "hf", name)
    made = conversion.convert("clap", [folder], tmp_path / "out")
    variables, config, _ = checkpoint.load_audio_text(tmp_path / "out")
    equal(variables, variables_of(name))
    preset = clap_zoo.PRESETS[name]
    assert config.text == {**preset.text, "epsilon": 1e-12} and config.audio == {**preset.audio, "drop_path": 0.0}
    assert config.front_end == {**preset.front_end, "quantise": False} and (config.net, config.length) == (name, 48000)
    assert "no int16 step" in made.notes[0] and len(made.ignored) == 1
    (path,) = conversion.reverse("clap", tmp_path / "out", tmp_path / "back")
    back, state = safetensors_numpy.load_file(path), safetensors_numpy.load_file(folder / "model.safetensors")
    assert set(back) == set(state)
    for key, array in state.items():
        np.testing.assert_array_equal(back[key], array)


@pytest.mark.slow
def test_a_folder_s_own_statements_hold(tmp_path):
    text = {"num_attention_heads": 4, "layer_norm_eps": 1e-5}
    conversion.convert("clap", [hf_folder(tmp_path / "hf", text=text)], tmp_path / "out")
    config = checkpoint.load_audio_text_config(tmp_path / "out")
    assert (config.text["heads"], config.text["epsilon"], config.net) == (4, 1e-5, "custom")


@pytest.mark.slow
def test_config_gives_what_no_shape_shows(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"text": {"heads": 4}, "length": 40000, "net": "mine"}))
    path = save_laion(tmp_path / "a.pt", laion_state())
    conversion.convert("clap", [path], tmp_path / "out", config=tmp_path / "c.json")
    config = checkpoint.load_audio_text_config(tmp_path / "out")
    assert (config.text["heads"], config.length, config.net) == (4, 40000, "mine")


def test_the_tokenizer_is_copied_in_and_sentences_are_embedded(tmp_path, monkeypatch):
    monkeypatch.setattr(
        clap_text, "PHRASES", ("rain", "a dog", "park", "a siren")
    )  # all of one length are compiled once
    vocabulary = write_vocabulary(tmp_path / "roberta")
    path = save_laion(tmp_path / "a.pt", laion_state())
    made = conversion.convert("clap", [path], tmp_path / "out", tokenizer=vocabulary)
    assert sorted(each.name for each in (tmp_path / "out" / "tokenizer").iterdir()) == ["merges.txt", "vocab.json"]
    variables, config, _ = checkpoint.load_audio_text(tmp_path / "out")
    model = clap_zoo.build_audio_text(config)
    vectors = clap_prompts.embed_texts(model, variables, clap_text.PHRASES, tmp_path / "out")
    apart = np.mean([vectors[i] @ vectors[j] for i in range(4) for j in range(4) if i != j])
    assert clap_text.mean_cosine(vectors) == pytest.approx(apart, abs=1e-6) and apart < 0.9
    said = f"tokenizer of roberta (vocab.json and merges.txt): the mean cosine of 4 unlike sentences is {apart:.2f}"
    assert made.notes[-1] == said


@pytest.mark.slow
def test_a_folder_s_own_tokenizer_is_taken(tmp_path):
    folder = write_vocabulary(hf_folder(tmp_path / "hf"), whole=True)
    made = conversion.convert("clap", [folder], tmp_path / "out")
    assert made.notes[-1].startswith("tokenizer of hf (tokenizer.json): the mean cosine of 8 unlike sentences is 0.")
    assert (tmp_path / "out/tokenizer/tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()


@pytest.mark.slow
def test_a_collapsed_text_tower_is_said(tmp_path):
    """The last layer gives nearly the same for all, as that of larger_clap_music does."""
    state = laion_state()
    key = "module.text_projection.2.bias"
    state[key] = state[key] + 50
    path = save_laion(tmp_path / "a.pt", state)
    made = conversion.convert("clap", [path], tmp_path / "out", tokenizer=write_vocabulary(tmp_path / "roberta"))
    assert made.notes[-2].endswith("the mean cosine of 8 unlike sentences is 1.00")
    assert made.notes[-1].startswith(
        "the text tower tells sentences hardly apart (above 0.95): its vectors have collap"
    )


@pytest.mark.slow
def test_half_precision_becomes_float32(tmp_path):
    state = {key: v.astype(np.float16) if v.dtype == np.float32 else v for key, v in laion_state().items()}
    made = conversion.convert("clap", [save_laion(tmp_path / "a.pt", state)], tmp_path / "out")
    assert "a.pt has float16 tensors; they became float32 (--reverse writes float32)" in made.notes


def test_the_families_are_listed_with_their_presets():
    from converters import families, presets

    assert presets.names(families.find("clap")) == sorted(clap_zoo.PRESETS)


def test_what_a_preprocessor_s_record_leaves_out_is_the_library_s():
    """`ClapFeatureExtractor()` of transformers: bands from 0 Hz, where the published files say 50."""

    def front_end(**record):
        return huggingface_clap.front_end_of(Source(Path("hf"), {}, "", (), {}, record))

    found, length = front_end(feature_extractor_type="ClapFeatureExtractor", top_db=None)
    assert found == {
        **{"sample_rate": 48_000, "n_mels": 64, "n_fft": 1024, "win_length": 1024, "hop": 480},
        **{"f_min": 0.0, "f_max": 14_000.0, "scale": "htk", "norm": None},
    }
    assert length == 480_000
    found, length = front_end(truncation="rand_trunc", frequency_min=50, max_length_s=7, nb_max_samples=5)
    assert (found["f_min"], found["scale"], length) == (50.0, "slaney", 336_000)
    assert front_end() == ({}, None)
